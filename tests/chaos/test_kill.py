"""A worker that is killed at any point loses no work, and no call whose reply was committed is made again."""

import pytest

from tasks.engine import crash
from tasks.models import Attempt

from .mesh import Mesh

CALLS = 6  # coordinator, four specialists, synthesis


def test_it_runs_a_task_to_its_end(mesh: Mesh) -> None:
    mesh.start_worker()
    [run] = mesh.wait_ended(mesh.submit(mesh.network()))
    assert run.model_calls == len(mesh.calls()) == CALLS
    mesh.assert_sound()


@pytest.mark.parametrize(
    ("point", "vendor_calls", "ledger_calls"),
    [
        (crash.CLAIMED, CALLS, CALLS),
        (crash.CALL_JOURNALED, CALLS, CALLS + 1),  # written down, and killed before the request left
        (crash.REPLY_RECEIVED, CALLS + 1, CALLS + 1),  # the vendor was done, and nobody wrote it down
        (crash.FINISH_BEFORE_COMMIT, CALLS + 1, CALLS + 1),
        (crash.FINISH_COMMITTED, CALLS, CALLS),
    ],
)
def test_it_survives_a_kill(mesh: Mesh, point: str, vendor_calls: int, ledger_calls: int) -> None:
    victim = mesh.begin_worker(crash=f"{point}:1")
    runs = mesh.submit(mesh.network())
    mesh.wait_dead(victim)
    mesh.begin_worker()
    [run] = mesh.wait_ended(runs)
    assert (len(mesh.calls()), run.model_calls) == (vendor_calls, ledger_calls)
    assert Attempt.objects.filter(outcome="lease_lost").count() >= 1
    mesh.assert_sound()
