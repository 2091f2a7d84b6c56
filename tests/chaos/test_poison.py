"""A step that takes its worker down three times is failed, and nobody else suffers."""

from tasks.engine import crash
from tasks.models import Attempt, Step

from .mesh import Mesh


def test_it_fails_a_step_that_kills_three_workers(mesh: Mesh) -> None:
    [poisoned] = mesh.submit(network := mesh.network())
    for _ in range(3):
        mesh.wait_dead(mesh.begin_worker("w1", crash=f"{crash.REPLY_RECEIVED}:1"))
    mesh.start_worker("w1")
    others = mesh.submit(network, 2)
    [failed] = mesh.wait_ended([poisoned], state="failed")
    mesh.wait_ended(others)
    assert failed.error_code == "poison"
    step = Step.objects.get(run=poisoned)
    assert (step.state, step.error_code) == ("failed", "poison")
    assert list(Attempt.objects.filter(step=step).values_list("outcome", flat=True)) == ["lease_lost"] * 3
    assert len(mesh.calls()) == 3 + 2 * 6
    mesh.assert_sound()
