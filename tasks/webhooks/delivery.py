"""Sends what is due, in every worker process: claimed row by row, sent without a connection, written down."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import structlog
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from agents.crypto import CannotDecrypt, decrypt
from tasks.store.pool import Connection
from web.egress import Egress, EgressDenied, EgressFailed, EgressRequest

from .schedule import GIVE_UP_SECONDS, pause_after
from .signing import signed

log = structlog.get_logger(__name__)

POLL_SECONDS: Final = 1.0
AT_ONCE: Final = 16
SEND_SECONDS: Final = 15.0
CLAIM_SECONDS: Final = 60.0  # after which another worker may send it, should this one have died

_CLAIM: Final = """
UPDATE tasks_webhookdelivery d
SET claimed_until = now() + make_interval(secs => %(hold)s), attempts = d.attempts + 1
FROM (
    SELECT d.id FROM tasks_webhookdelivery d JOIN tasks_webhookendpoint w ON w.id = d.endpoint_id AND w.active
    WHERE d.state = 'pending' AND d.next_at <= now() AND (d.claimed_until IS NULL OR d.claimed_until < now())
    ORDER BY d.next_at LIMIT %(limit)s FOR UPDATE OF d SKIP LOCKED
) due, tasks_webhookendpoint w
WHERE d.id = due.id AND w.id = d.endpoint_id
RETURNING d.id, d.event_id, d.payload, d.attempts, w.id AS endpoint_id, w.url, w.encrypted_secret
"""
_DELIVERED: Final = """
WITH done AS (
    UPDATE tasks_webhookdelivery SET state = 'delivered', delivered_at = now(), claimed_until = NULL, next_at = NULL,
        status = %(status)s, error = '', response = %(response)s
    WHERE id = %(id)s RETURNING endpoint_id
)
UPDATE tasks_webhookendpoint w SET failing_since = NULL FROM done
WHERE w.id = done.endpoint_id AND w.failing_since IS NOT NULL
"""
_FAILED: Final = """
WITH failed AS (
    UPDATE tasks_webhookdelivery SET claimed_until = NULL, status = %(status)s::int, error = %(error)s,
        response = %(response)s, state = CASE WHEN %(pause)s::float8 IS NULL THEN 'failed' ELSE 'pending' END,
        next_at = now() + make_interval(secs => %(pause)s::float8)
    WHERE id = %(id)s RETURNING endpoint_id
)
UPDATE tasks_webhookendpoint w
SET failing_since = coalesce(w.failing_since, now()),
    active = w.active AND NOT %(gone)s AND coalesce(w.failing_since, now()) > now() - make_interval(secs => %(give_up)s),
    disabled_reason = CASE
        WHEN %(gone)s THEN 'The address answered 410 Gone.'
        WHEN coalesce(w.failing_since, now()) <= now() - make_interval(secs => %(give_up)s)
        THEN 'Every delivery failed for three days.' ELSE w.disabled_reason END
FROM failed WHERE w.id = failed.endpoint_id
"""


class Deliverer:
    """Delivers for one process. `run_forever` is a job of the worker's loop; cancelled, it lets claims lapse."""

    def __init__(self, pool: AsyncConnectionPool[Connection], egress: Egress) -> None:
        self._pool = pool
        self._egress = egress

    async def run_forever(self) -> None:
        while True:
            try:
                sent = await self.deliver_due()
            except Exception as error:  # an outage, or a defect: neither may end the worker
                log.warning("webhooks cannot be delivered now", error=str(error)[:200])
                sent = 0
            if sent < AT_ONCE:
                await asyncio.sleep(POLL_SECONDS)

    async def deliver_due(self) -> int:
        """Send what is due, at most `AT_ONCE`; returns how many were tried."""
        async with self._pool.connection() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(_CLAIM, {"hold": CLAIM_SECONDS, "limit": AT_ONCE})
            due = await cursor.fetchall()
        if due:
            await asyncio.gather(*(self._deliver(row) for row in due))
        return len(due)

    async def _deliver(self, row: Mapping[str, Any]) -> None:
        status: int | None = None
        error, response, retry_after = "", "", None
        try:
            body, headers = signed(decrypt(row["encrypted_secret"]), row["event_id"], row["payload"])
            answer = await self._egress.send(
                EgressRequest(
                    "POST", row["url"], headers, body, SEND_SECONDS, most_bytes=64 * 1024, redirects=0
                )
            )
            status = answer.status
            response = answer.body.decode("utf-8", errors="replace").replace("\0", "")[:1000]
            if not 200 <= status < 300:
                error = f"The address answered {status}."
                retry_after = _seconds(answer.headers.get("Retry-After", ""))
        except (EgressDenied, EgressFailed) as failure:
            error = str(failure)
        except CannotDecrypt as failure:
            error = f"The signing secret cannot be used: {failure}"
        values = {"id": row["id"], "status": status, "response": response}
        async with self._pool.connection() as connection:
            if not error:
                await connection.execute(_DELIVERED, values)
                return
            await connection.execute(
                _FAILED,
                values
                | {
                    "error": error[:300],
                    "pause": pause_after(row["attempts"], retry_after=retry_after),
                    "gone": status == 410,
                    "give_up": GIVE_UP_SECONDS,
                },
            )
        log.info(
            "a webhook was not delivered", endpoint=row["endpoint_id"], attempt=row["attempts"], why=error
        )


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else None
