"""Who is asked at all: keys, aliases, the rehearsal, local models, and what health is told."""

from collections.abc import Callable

import pytest

from agents.providers.base import Provider, complete
from agents.providers.errors import Failure
from agents.providers.registry import Factory
from agents.providers.types import Capabilities
from agents.resilience.ports import Credential
from tests.unit.resilience_world import CLAUDE, GPT, World, failure, reply, request, virtual


@virtual
async def test_it_skips_candidates_without_a_key() -> None:
    world = World("openai")
    world.on("openai", reply("the one with a key"))
    assert (await complete(world.chain(), request())).text == "the one with a key"
    assert world.journal.notes == [], "a missing key is no failure"


@virtual
async def test_it_uses_another_provider_of_the_default_chain_before_it_rehearses() -> None:
    world = World("google")
    world.on("google", reply("Gemini"))
    assert (await complete(world.chain(CLAUDE), request())).text == "Gemini"


@virtual
async def test_it_uses_a_local_model_before_it_rehearses() -> None:
    world = World("openai_compatible", model="llama-9")
    world.on("openai_compatible", reply("local"))
    await complete(world.chain(), request())
    assert world.journal.asked == ["llama-9"]


@virtual
async def test_it_rehearses_only_when_no_provider_has_a_key() -> None:
    world = World("nobody")
    world.on("rehearsal", reply("a rehearsal"))
    await complete(world.chain(), request())
    assert [(start.provider, start.requested_model) for start in world.journal.starts] == [
        ("rehearsal", CLAUDE)
    ]


@virtual
async def test_it_never_rehearses_because_others_are_down() -> None:
    world = World("anthropic")
    world.on("anthropic", failure(Failure.AUTHENTICATION, status=401))
    world.on("rehearsal", reply())
    with pytest.raises(Exception, match="authentication"):
        await complete(world.chain(), request())
    assert not world.on("rehearsal").requests


@virtual
async def test_it_gives_names_nobody_knows_to_the_compatible_provider() -> None:
    world = World("anthropic", "openai_compatible", model="llama-9")
    world.on("openai_compatible", reply("local"))
    await complete(world.chain("mistral-42"), request())
    assert world.journal.asked == ["mistral-42"]


@virtual
async def test_it_asks_a_model_once_under_two_names() -> None:
    world = World()
    world.on("openai", failure(Failure.OVERLOADED))
    with pytest.raises(Exception, match="overloaded"):
        await complete(world.chain("gpt-4o", GPT), request())
    assert world.journal.asked == [GPT]


@virtual
async def test_it_keeps_a_client_per_provider_address_and_key() -> None:
    world = World()
    made: list[str] = []
    load = world.gateway._load

    def counting(kind: str) -> Factory:
        def make(credential: Credential, capabilities: Callable[[str], Capabilities]) -> Provider:
            made.append(credential.fingerprint)
            return load(kind)(credential, capabilities)

        return make

    world.gateway._load = counting
    world.on("anthropic", *[reply()] * 3)
    for project in ("owner", "owner", "stranger"):
        await complete(world.chain(project=project), request())
    assert made == ["key-owner", "key-stranger"]


@virtual
async def test_it_closes_its_clients_at_the_end() -> None:
    world = World()
    world.on("anthropic", reply())
    await complete(world.chain(), request())
    await world.gateway.aclose()
    assert world.on("anthropic").closed


@virtual
async def test_it_tells_health_what_is_configured_and_what_is_down() -> None:
    world = World("anthropic", "openai")
    world.on("anthropic", failure(Failure.BILLING, status=402))
    world.on("openai", reply())
    await complete(world.chain(), request())
    assert world.gateway.status() == {
        "anthropic": {"configured": True, "breaker": "open", "retry_after": 600},
        "openai": {"configured": True, "breaker": "closed", "retry_after": None},
        "google": {"configured": False, "breaker": "closed", "retry_after": None},
        "openai_compatible": {"configured": False, "breaker": "closed", "retry_after": None},
    }
