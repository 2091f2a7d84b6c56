"""The ledger of model calls: written before a request is sent, settled when it ends, replayed after a crash."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from agents.providers.errors import Failure
from agents.providers.types import FinishReason, ModelRequest, Opaque, Reply, ToolCall, Usage
from agents.resilience.ports import CallEnd, CallStart, PastTry
from tasks.engine.ports import StepWork

from . import sql
from .calls import CallWriter, NewCall
from .pool import Connection

EventRows = Sequence[tuple[str, Mapping[str, Any]]]


@dataclass(slots=True)
class Journal:
    """What the ledger already holds of a step: replies by turn, and the tries of the present pass."""

    replies: dict[int, Reply] = field(default_factory=dict)
    tries: dict[int, list[PastTry]] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)


class JournalStore:
    def __init__(self, pool: AsyncConnectionPool[Connection], owner: str) -> None:
        self._pool = pool
        self._owner = owner
        self._writer = CallWriter(pool)

    async def read(self, step_id: str, chain_pass: int) -> Journal:
        """Read a step's journal, for an attempt that is not the first."""
        journal = Journal()
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(sql.JOURNAL, {"step": step_id})
            async for row in cursor:
                turn = row["turn"]
                journal.counts[turn] = journal.counts.get(turn, 0) + 1
                if row["state"] == "succeeded" and row["reply"] is not None:
                    journal.replies[turn] = replace(reply_from_json(row["reply"]), model=row["model"])
                elif row["chain_pass"] == chain_pass and row["state"] in ("failed", "started", "unknown"):
                    failure = Failure(row["failure"]) if row["failure"] else None
                    journal.tries.setdefault(turn, []).append(PastTry(row["provider"], row["model"], failure))
        return journal

    async def begin(
        self,
        work: StepWork,
        start: CallStart,
        *,
        call_id: str,
        turn: int,
        try_number: int,
        chain_pass: int,
        context: Mapping[str, Any] | None,
        events: EventRows,
        alone: bool = False,
    ) -> None:
        """Write a call before it is sent, with the step's frozen context and the events that tell of it.

        `alone`: this worker has no other step that may be about to write one.

        Raises `LeaseLost` (then nothing may be sent) and `BudgetReached`.
        """
        await self._writer.write(
            NewCall(
                run_id=work.run_id,
                estimated_cost=start.estimated_cost,
                row={
                    "call": call_id,
                    "run": work.run_id,
                    "step": work.id,
                    "fence": work.fence,
                    "project": work.project_id,
                    "network": work.network_id,
                    "agent": work.agent_id,
                    "owner": self._owner,
                    "turn": turn,
                    "try": try_number,
                    "pass": chain_pass,
                    "provider": start.provider,
                    "model": start.model,
                    "requested": start.requested_model,
                    "reserved": round(start.estimated_cost, 6),
                    "context": context,
                    # Turn 0 is the frozen context itself; later turns depend on what was answered.
                    "request": request_to_json(start.request) if turn else None,
                    "events": [{"type": type_, "payload": payload} for type_, payload in events],
                },
            ),
            alone=alone,
        )

    async def has(self, call_id: str) -> bool:
        """Tell whether a call was written."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute("SELECT 1 FROM agents_modelcall WHERE id = %s", (call_id,))
            return await cursor.fetchone() is not None

    async def settle(self, end: CallEnd) -> None:
        """Write how a call ended: by its id, whatever has become of its step."""
        parameters = settlement(end)
        async with self._pool.connection() as connection:
            if end.state != "succeeded" and not end.cost and not end.usage.output:
                await connection.execute(sql.SETTLE_FREE_CALL, parameters)
                return
            async with connection.pipeline(), connection.transaction():
                await connection.execute(
                    "SELECT 1 FROM tasks_run WHERE id = (SELECT run_id FROM agents_modelcall WHERE id = %(call)s)"
                    " FOR UPDATE",
                    parameters,
                )
                await connection.execute(sql.SETTLE_CALL, parameters)


def settlement(end: CallEnd) -> dict[str, Any]:
    """Return the parameters of `sql.SETTLE_CALL`."""
    return {
        "call": end.call_id,
        "state": end.state,
        "failure": end.failure or "",
        "message": end.message[:500],
        "status": end.status,
        "input_tokens": end.usage.input,
        "output_tokens": end.usage.output,
        "cached_tokens": end.usage.cached,
        "cost": round(end.cost, 6),
        "latency": end.latency_ms,
        "first_token": end.first_token_ms,
        "request_id": (end.request_id or (end.reply.request_id if end.reply else ""))[:100],
        "model": "",
        "reply": Jsonb(reply_to_json(end.reply)) if end.reply else None,
    }


def request_to_json(request: ModelRequest) -> dict[str, Any]:
    """Return a request as JSON, without what is empty."""
    return {name: value for name, value in asdict(request).items() if value not in (None, (), "")}


def reply_to_json(reply: Reply) -> dict[str, Any]:
    return asdict(reply)


def reply_from_json(data: Mapping[str, Any]) -> Reply:
    return Reply(
        text=data["text"],
        finish_reason=FinishReason(data["finish_reason"]),
        usage=Usage(**data["usage"]),
        provider=data["provider"],
        model=data["model"],
        request_id=data["request_id"],
        tool_calls=tuple(ToolCall(**call) for call in data["tool_calls"]),
        opaque=Opaque(data["opaque"]["provider"], data["opaque"]["model"], tuple(data["opaque"]["blocks"]))
        if data["opaque"]
        else None,
        truncated=data["truncated"],
    )
