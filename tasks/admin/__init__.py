"""Staff pages of tasks and their execution, from the task down to each event.

The engine writes these tables, so the forms are read-only; what staff can do goes through
`tasks.lifecycle`, under the same locks and fences as the API.
"""

from .runs import RunAdmin
from .steps import AttemptAdmin, EventAdmin, StepAdmin
from .tasks import TaskAdmin
from .workers import WorkerAdmin

__all__ = ["AttemptAdmin", "EventAdmin", "RunAdmin", "StepAdmin", "TaskAdmin", "WorkerAdmin"]
