"""A run is tried again from one of its steps; what came before is not paid again."""

from agents.models import ModelCall
from tasks.lifecycle import retry_task
from tasks.models import Event, Step

from .mesh import Mesh


def test_it_pays_only_for_what_runs_again(mesh: Mesh) -> None:
    mesh.start_worker()
    [old] = mesh.wait_ended(mesh.submit(mesh.network()))
    synthesis = Step.objects.get(run=old, kind="synthesize")
    assert old.task is not None
    new = retry_task(task=old.task, from_step=synthesis.pk)
    mesh.wait_ended([new])
    assert len(mesh.calls()) == 7
    assert ModelCall.objects.filter(run_id=new.pk).count() == 1
    assert Step.objects.filter(run=new, kind="delegate", state="succeeded").count() == 4
    assert Event.objects.filter(run=new, payload__has_key="reused_from").count() == 5
    mesh.assert_sound()
