"""Every provider against the simulated vendors: the real SDKs over real sockets."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.conformance.provider_case import KINDS, Case
from tests.fakes.vendor_server import Vendors, vendor_servers


@pytest.fixture
async def vendors() -> AsyncIterator[Vendors]:
    async with vendor_servers() as running:
        yield running


@pytest.fixture
async def open_case(vendors: Vendors) -> AsyncIterator[Callable[..., Case]]:
    opened: list[Case] = []

    def make(kind: str, *, stream: bool = True) -> Case:
        name, model = KINDS[kind]
        opened.append(Case(kind, vendors.all[name], vendors, model, stream))
        return opened[-1]

    yield make
    for case in opened:
        for provider in case.opened:
            await provider.aclose()


@pytest.fixture(params=[True, False], ids=["stream", "whole"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest, open_case: Callable[..., Case], stream: bool) -> Case:
    """Each provider, streamed and whole."""
    return open_case(request.param, stream=stream)


@pytest.fixture(params=KINDS)
def streamed(request: pytest.FixtureRequest, open_case: Callable[..., Case]) -> Case:
    """Each provider, streamed."""
    return open_case(request.param, stream=True)
