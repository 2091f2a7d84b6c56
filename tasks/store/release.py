"""Giving a step back: to wait for a provider, a limit or a budget, or to another worker."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from . import sql
from .finish import CLOCK_STOPPING, TERMINAL
from .pool import Connection, pipelined


@dataclass(frozen=True, slots=True)
class Release:
    """Why a step is given back. Without `seconds` it goes straight back to the queue (drain, hand-over)."""

    step_id: str
    run_id: str
    fence: int
    worker: str
    reason: str = ""
    seconds: float | None = None
    detail: str = ""


async def release(pool: AsyncConnectionPool[Connection], what: Release) -> bool:
    """Give a step back; False when it was no longer ours."""
    async with pipelined(pool) as connection:
        locking = connection.cursor(row_factory=dict_row)
        active = connection.cursor()
        await locking.execute(sql.LOCK_RUN, {"run": what.run_id})
        await active.execute(
            "SELECT count(*) FROM tasks_step WHERE run_id = %(run)s AND id <> %(step)s"
            " AND state IN ('ready', 'running')",
            {"run": what.run_id, "step": what.step_id},
        )
        run = await locking.fetchone()
        others = await active.fetchone()
        if run is None or run["state"] in TERMINAL:
            return False
        waits = what.seconds is not None and not (others and others[0])
        events: list[Mapping[str, Any]] = []
        if waits and (run["state"], run["wait_reason"]) != ("waiting", what.reason):
            payload = {"reason": what.reason, "detail": what.detail[:300]}
            events.append(
                {
                    "seq": run["event_seq"] + 1,
                    "type": "run.waiting",
                    "step_id": what.step_id,
                    "payload": payload,
                }
            )
        cursor = await connection.execute(
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
                "event_seq": run["event_seq"] + len(events),
                "event_rows": Jsonb(events),
                "run_state": "waiting" if waits else run["state"],
                "wait_reason": what.reason if waits else run["wait_reason"],
                "stop_clock": waits and what.reason in CLOCK_STOPPING,
            },
        )
        changed = await cursor.fetchone()
        if changed is None or changed[0] == 0:
            return False
    return True
