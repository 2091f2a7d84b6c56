"""Hints may come late, often or never: the claim decides."""

from celery import Celery

from tasks.models import Attempt, Step

from .mesh import Mesh


def test_it_runs_a_step_once_however_often_it_is_hinted(mesh: Mesh, broker: Celery) -> None:
    mesh.start_workers("w1", "w2")
    [run] = runs = mesh.submit(mesh.network())
    step = Step.objects.get(run=run)
    for _ in range(10):
        broker.send_task(f"mesh.{step.kind}", args=[step.pk], kwargs={"run_id": run.pk}, queue="steps")
    mesh.wait_ended(runs)
    assert len(mesh.calls()) == 6
    assert list(Attempt.objects.filter(step=step).values_list("outcome", flat=True)) == ["succeeded"]
    mesh.assert_sound()


def test_it_lets_one_of_two_workers_have_a_step(mesh: Mesh) -> None:
    mesh.vendors.anthropic.latency = 0.1
    mesh.start_workers("w1", "w2", MESH_WORKER_STEPS="4")
    runs = mesh.submit(mesh.network(), 10)
    mesh.wait_ended(runs)
    assert len(mesh.calls()) == 6 * len(runs)
    assert not Step.objects.exclude(fence=1).exists()
    assert len(set(Attempt.objects.values_list("worker", flat=True))) == 2
    mesh.assert_sound()
