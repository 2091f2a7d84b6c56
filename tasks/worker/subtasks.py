"""Starting a task for a step that will wait for it."""

from django.db import connections, transaction

from networks.models import Network
from tasks.engine.ports import LeaseLost, StepFailed, StepWork, SubTask
from tasks.models import Step, StepState
from tasks.services import create_task
from web.problems import Problem


def start_sub_task(work: StepWork, task: SubTask) -> str:
    """Start a task's run and return its id; in a thread of its own. Raises `LeaseLost`, `StepFailed`."""
    try:
        with transaction.atomic():
            held = Step.objects.select_for_update().filter(
                pk=work.id, state=StepState.RUNNING, fence=work.fence
            )
            if held.first() is None:
                raise LeaseLost(work.id)
            network = (
                Network.objects.select_related("project")
                .filter(pk=task.network_id, project_id=work.project_id)
                .first()
            )
            if network is None:
                raise StepFailed("unknown_network", f"There is no network {task.network_id}.", final=True)
            made = create_task(
                network=network,
                description=task.description,
                context=task.context,
                priority=task.priority,
                output_schema=task.output_schema,
                process=True,
                parent_step_id=work.id,
            )
            return str(made.run_id)
    except Problem as error:
        raise StepFailed(error.code, error.detail) from None
    finally:
        connections.close_all()
