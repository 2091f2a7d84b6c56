"""A worker that is killed at any point loses no work, and no call whose reply was committed is made again."""

import pytest

from tasks.engine import crash
from tasks.models import Attempt, Step

from .mesh import Mesh

CALLS = 6  # coordinator, four specialists, synthesis


def test_it_runs_a_task_to_its_end(mesh: Mesh) -> None:
    mesh.start_worker()
    [run] = mesh.wait_ended(mesh.submit(mesh.network()))
    assert run.model_calls == len(mesh.calls()) == CALLS
    assert mesh.repeats() == 0
    mesh.assert_sound()


@pytest.mark.parametrize(
    ("point", "repeats"),
    [
        (crash.CLAIMED, 0),
        (crash.CALL_JOURNALED, 0),  # killed before the request left
        (crash.REPLY_RECEIVED, 1),  # the vendor was done, and nobody wrote it down
        (crash.FINISH_BEFORE_COMMIT, 1),
        (crash.FINISH_COMMITTED, 0),
    ],
)
@pytest.mark.parametrize("nth", [1, 3])
def test_it_survives_a_kill(mesh: Mesh, point: str, repeats: int, nth: int) -> None:
    mesh.vendors.anthropic.latency = 0.05
    victim = mesh.begin_worker("victim", crash=f"{point}:{nth}")
    heir = mesh.begin_worker("heir", MESH_WORKER_STEPS="4")
    runs = mesh.submit(mesh.network(), 4)
    mesh.wait_dead(victim)
    mesh.wait_ready(heir)
    mesh.wait_ended(runs)
    lost = Attempt.objects.filter(outcome="lease_lost").count()
    assert lost == Step.objects.filter(crashes=1).count()
    assert mesh.repeats() <= max(repeats, lost)
    mesh.assert_sound()
