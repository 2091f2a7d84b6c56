"""A run is cancelled at once in whatever state it is, and no vendor is asked again."""

from collections.abc import Callable

import pytest

from tasks.lifecycle import cancel_run
from tasks.models import Run, Step
from tests.fakes.vendor_script import Fault

from .mesh import Mesh


def _ready(mesh: Mesh, run: Run) -> None:
    """Nobody has claimed it."""


def _in_a_call(mesh: Mesh, run: Run) -> None:
    mesh.vendors.anthropic.latency = 30
    mesh.start_worker()
    mesh.until(mesh.calls, "a call is in flight")


def _delegated(mesh: Mesh, run: Run) -> None:
    mesh.vendors.anthropic.latency = 1
    mesh.start_worker()
    mesh.until(mesh.calls, "the coordinator is asked")
    mesh.vendors.anthropic.latency = 30
    mesh.until(lambda: len(mesh.calls()) >= 3, "specialists are at work")


def _waiting(mesh: Mesh, run: Run) -> None:
    mesh.vendors.anthropic.always = Fault(status=529)
    mesh.start_worker()
    mesh.wait_waiting(run, "provider")
    mesh.vendors.anthropic.always = None


@pytest.mark.parametrize("reach", [_ready, _in_a_call, _delegated, _waiting])
def test_it_ends_a_run_at_once(mesh: Mesh, reach: Callable[[Mesh, Run], None]) -> None:
    [run] = mesh.submit(mesh.network())
    reach(mesh, run)
    assert cancel_run(run_id=run.pk)
    [ended] = mesh.wait_ended([run], seconds=0, state="cancelled")
    assert not Step.objects.filter(run=run).exclude(state__in=("cancelled", "succeeded")).exists()
    before = mesh.calls()
    mesh.until(
        lambda: all(call.complete or call.gone.is_set() for call in mesh.calls()), "calls are aborted", 5
    )
    # What would come later comes with the next task at the latest: the worker is alive and sweeps.
    mesh.vendors.anthropic.latency = 0
    if not mesh.workers:
        mesh.start_worker()
    assert run.network is not None
    [other] = mesh.submit(run.network, description="Write another email campaign")
    mesh.wait_ended([other], seconds=60)
    assert len(mesh.calls()) == len(before) + 6
    assert Run.objects.get(pk=run.pk).event_seq == ended.event_seq
    assert not cancel_run(run_id=run.pk)
    mesh.assert_sound()
