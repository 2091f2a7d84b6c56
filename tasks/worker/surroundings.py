"""What tools work with in a worker: guarded requests, secrets of the moment, shared memory, mail."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from psycopg_pool import AsyncConnectionPool

from agents import crypto
from agents.tools.base import Caller, MemoryPort, Secrets, Surroundings, ToolFailed
from tasks.store import workflow_sql
from tasks.store.pool import Connection
from tasks.store.reading import ReadStore
from web.egress import Egress, EgressPolicy
from web.ids import new_id
from workflows.expressions import ExpressionError, evaluate


def make_surroundings(pool: AsyncConnectionPool[Connection], egress: Egress | None = None) -> Surroundings:
    """Put them together over the worker's pool."""
    return surroundings_with(PoolSecrets(pool), PoolMemory(pool), egress)


def surroundings_with(
    secrets: Secrets, memory: MemoryPort | None = None, egress: Egress | None = None
) -> Surroundings:
    """The installation's: what it may reach, evaluate, send and start."""
    return Surroundings(
        egress=egress or Egress(EgressPolicy.parse(settings.MESH_EGRESS_ALLOW)),
        secrets=secrets,
        memory=memory,
        evaluate=_evaluate,
        send_email=_send_email if settings.EMAIL_ON else None,
        mcp_commands=settings.MESH_MCP_COMMANDS,
    )


class PoolSecrets:
    """Reads a tool's secrets when it is called: those of now, whatever the run's snapshot holds."""

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool

    async def of(self, tool_id: str) -> Mapping[str, str]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(workflow_sql.TOOL_SECRETS, {"tool": tool_id})
            row = await cursor.fetchone()
        if row is None:
            raise ToolFailed("unknown_tool", "The tool was deleted.")
        if not row[0]:
            return {}
        try:
            secrets: dict[str, str] = json.loads(crypto.decrypt(row[0]))
        except crypto.CannotDecrypt as error:
            raise ToolFailed("bad_tool_config", f"The tool's secrets cannot be read: {error}") from None
        return secrets


class PoolMemory:
    """The shared memory of the network that a run belongs to."""

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool
        self._reads = ReadStore(pool)

    async def search(self, caller: Caller, query: str, limit: int) -> list[dict[str, Any]]:
        return [
            {
                "id": item.id,
                "type": item.type,
                "content": item.content,
                "confidence": item.confidence,
                "source": item.source if item.trusted else f"{item.source} (unverified hearsay)",
            }
            for item in await self._reads.recall(caller.network_id, query, limit)
        ]

    async def remember(self, caller: Caller, type: str, content: str, confidence: float) -> str:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                workflow_sql.REMEMBER,
                {
                    "id": new_id("memory"),
                    "project": caller.project_id,
                    "network": caller.network_id,
                    "type": type,
                    "content": content,
                    "confidence": confidence,
                    "agent": caller.agent_id,
                    "run": caller.run_id,
                    "step": caller.step_id,
                    "key": f"tool:{caller.idempotency_key}"[:80],
                },
            )
            row = await cursor.fetchone()
        return str(row[0]) if row else ""


def _evaluate(expression: str) -> Any:
    try:
        return evaluate(expression, {}, strict=True)
    except ExpressionError as error:
        raise ToolFailed("bad_arguments", str(error)) from None


async def _send_email(to: str, subject: str, body: str, key: str) -> None:
    message = EmailMessage(
        subject, body, to=[to], headers={"Message-ID": f"<{key.replace(':', '.')}@mesh.invalid>"}
    )
    try:
        await asyncio.to_thread(message.send)
    except OSError as error:  # every error of smtplib is one
        raise ToolFailed(
            "tool_unreachable", f"The mail was not taken: {error}"[:300], retryable=True, unknown=True
        ) from None
