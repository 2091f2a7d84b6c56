"""Staff pages of tasks and their execution, from the task down to each event.

The engine writes these tables, so the forms are read-only; what staff can do goes through
`tasks.lifecycle`, under the same locks and fences as the API.
"""

from .approvals import ApprovalAdmin, ApprovalMailAdmin
from .runs import RunAdmin
from .schedules import ScheduleAdmin
from .steps import AttemptAdmin, EventAdmin, StepAdmin
from .tasks import TaskAdmin
from .triggers import TriggerAdmin
from .webhooks import WebhookDeliveryAdmin, WebhookEndpointAdmin
from .workers import WorkerAdmin

__all__ = [
    "ApprovalAdmin",
    "ApprovalMailAdmin",
    "AttemptAdmin",
    "EventAdmin",
    "RunAdmin",
    "ScheduleAdmin",
    "StepAdmin",
    "TaskAdmin",
    "TriggerAdmin",
    "WebhookDeliveryAdmin",
    "WebhookEndpointAdmin",
    "WorkerAdmin",
]
