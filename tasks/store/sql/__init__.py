"""The statements of the hot path.

Those that run under a run's lock take the time of the statement, not of the transaction: a transaction that
waited for the lock began before the one it waited for, and a child would start before its parent ended.
"""

from .calls import (
    ABANDON_CALLS,
    BEGIN_CALLS,
    CLOSE_LOST_CALLS,
    CLOSE_STALE_CALLS,
    JOURNAL,
    LOCK_RUNS_FOR_CALLS,
    RESERVED,
    SETTLE_CALL,
    SETTLE_FREE_CALL,
    STALE_CALLS,
)
from .claiming import CLAIM, LOAD, LOST_STEPS, PRIORITY_SECONDS, RESULTS, SNAPSHOT
from .ending import (
    END_RUN,
    FINISH_STEP,
    HOLD_RUN,
    INSERT_STEPS,
    LOCK_RUN,
    SHIFT_DEADLINES,
    STEPS,
    WAKE_PARENT,
)
from .leases import EXPIRED, GONE_WORKERS, RECOVER_STEP, REGISTER_WORKER, RENEW_LEASE
from .waiting import (
    FUNDED_RUNS,
    NEXT_DUE,
    OTHER_STEPS,
    OVERDUE_RUNS,
    OVERDUE_STEPS,
    RELEASE_STEP,
    RESUME_FUNDED,
    WAKE_DUE,
)

__all__ = [
    "ABANDON_CALLS",
    "BEGIN_CALLS",
    "CLAIM",
    "CLOSE_LOST_CALLS",
    "CLOSE_STALE_CALLS",
    "END_RUN",
    "EXPIRED",
    "FINISH_STEP",
    "FUNDED_RUNS",
    "GONE_WORKERS",
    "HOLD_RUN",
    "INSERT_STEPS",
    "JOURNAL",
    "LOAD",
    "LOCK_RUN",
    "LOCK_RUNS_FOR_CALLS",
    "LOST_STEPS",
    "NEXT_DUE",
    "OTHER_STEPS",
    "OVERDUE_RUNS",
    "OVERDUE_STEPS",
    "PRIORITY_SECONDS",
    "RECOVER_STEP",
    "REGISTER_WORKER",
    "RELEASE_STEP",
    "RENEW_LEASE",
    "RESERVED",
    "RESULTS",
    "RESUME_FUNDED",
    "SETTLE_CALL",
    "SETTLE_FREE_CALL",
    "SHIFT_DEADLINES",
    "SNAPSHOT",
    "STALE_CALLS",
    "STEPS",
    "WAKE_DUE",
    "WAKE_PARENT",
]
