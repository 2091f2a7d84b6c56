"""Tasks and their execution: runs, steps, attempts, events, and the workers that hold leases.

The engine writes these tables by the hand-written SQL in `tasks/store`; the ORM reads them, and writes
what is not on the hot path. JSON bodies live in tables of their own. A foreign key has no index of its own
where another begins with its column, or where only the deletion of a whole project would use it: each change
of a step's state writes all its indexes anew.
"""

from .approvals import Approval, ApprovalComment, ApprovalMail
from .runs import Run, RunBody, Snapshot, Task
from .states import RunState, StepState, WaitReason
from .steps import Attempt, Event, Step, StepBody
from .webhooks import WebhookDelivery, WebhookEndpoint
from .workers import Worker

__all__ = [
    "Approval",
    "ApprovalComment",
    "ApprovalMail",
    "Attempt",
    "Event",
    "Run",
    "RunBody",
    "RunState",
    "Snapshot",
    "Step",
    "StepBody",
    "StepState",
    "Task",
    "WaitReason",
    "WebhookDelivery",
    "WebhookEndpoint",
    "Worker",
]
