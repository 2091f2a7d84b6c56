"""Giving a step back: to wait for a provider, a limit or a budget, or to another worker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg_pool import AsyncConnectionPool

from . import sql
from .finish import TERMINAL, event_rows
from .growth import NewEvent
from .planning import CLOCK_STOPPING, reason_of
from .pool import Connection
from .work import Query, Work, transact


@dataclass(frozen=True, slots=True)
class Release:
    """Why a step is given back. Without `seconds` it goes straight back to the queue (drain, hand-over).

    With `failed` it is tried again after the pause: it counts as one of its tries, and its time begins anew.
    """

    step_id: str
    run_id: str
    fence: int
    worker: str
    reason: str = ""
    seconds: float | None = None
    detail: str = ""
    failed: bool = False
    deadline_seconds: float | None = None
    events: Sequence[tuple[str, Mapping[str, Any]]] = ()


async def release(pool: AsyncConnectionPool[Connection], what: Release) -> bool:
    """Give a step back; False when it was no longer ours."""
    return await transact(pool, _releasing(what))


def _releasing(what: Release) -> Work[bool]:
    parameters = {"run": what.run_id, "step": what.step_id}
    [runs, [others]] = yield (Query(sql.LOCK_RUN, parameters), Query(sql.OTHER_STEPS, parameters))
    if not runs or runs[0]["state"] in TERMINAL:
        return False
    run = runs[0]
    waits = what.seconds is not None and not others["active"]
    reason = reason_of([what.reason, *others["reasons"]]) if waits else run["wait_reason"]
    events: list[NewEvent] = [(type_, what.step_id, payload) for type_, payload in what.events]
    if waits and (run["state"], run["wait_reason"]) != ("waiting", reason):
        payload = {"reason": reason, "detail": what.detail[:300]}
        events.append(("run.waiting", what.step_id, payload))
    [changed] = yield (
        Query(
            sql.RELEASE_STEP,
            {
                "step": what.step_id,
                "run": what.run_id,
                "fence": what.fence,
                "worker": what.worker,
                "state": "ready" if what.seconds is None else "waiting",
                "reason": what.reason,
                "seconds": what.seconds or 0.0,
                "detail": what.detail[:500],
                "tries": int(what.failed),
                "outcome": "retried" if what.failed else "released",
                "deadline_seconds": what.deadline_seconds,
                "event_seq": run["event_seq"] + len(events),
                "event_rows": event_rows(events, run["event_seq"] + 1),
                "run_state": "waiting" if waits else run["state"],
                "wait_reason": reason,
                "stop_clock": waits and reason in CLOCK_STOPPING,
            },
        ),
    )
    return bool(changed[0]["count"])
