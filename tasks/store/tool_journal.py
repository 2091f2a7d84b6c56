"""The ledger of tools' calls: written before a call is made, settled when it ends, replayed after a crash."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from tasks.engine.ports import LeaseLost, StepWork, ToolOutcome, ToolRequest
from web.ids import new_ids

from . import sql, workflow_sql
from .pool import Connection
from .work import Query, Work, transact

TRY_AGAIN = "try_again"  # what a person said of a call whose outcome nobody knew


@dataclass(frozen=True, slots=True)
class PastTool:
    """A call that an earlier attempt wrote down."""

    id: str
    turn: int
    index: int
    name: str
    state: str
    output: Any
    error_code: str
    error_detail: str
    arguments: Mapping[str, Any]

    @property
    def outcome(self) -> ToolOutcome | None:
        """What came of it; None where that is not known, or where it is to be made again."""
        if self.state == "succeeded":
            return ToolOutcome(self.output)
        if self.state == "failed" and self.error_code != TRY_AGAIN:
            return ToolOutcome(error_code=self.error_code, error_detail=self.error_detail)
        return None

    @property
    def unknown(self) -> bool:
        return self.state in ("started", "unknown")


def key_of(step_id: str, turn: int, index: int) -> str:
    """The key of a call, the same however often its step crashes."""
    return f"{step_id}:{turn}:{index}"


class ToolJournal:
    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool

    async def read(self, step_id: str) -> dict[tuple[int, int], PastTool]:
        """Return the calls of a step by turn and place."""
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(workflow_sql.TOOL_CALLS, {"step": step_id})
            return {(row["turn"], row["index"]): PastTool(**row) for row in await cursor.fetchall()}

    async def begin(
        self,
        work: StepWork,
        turn: int,
        requests: Mapping[int, ToolRequest],
        *,
        context: Mapping[str, Any] | None,
        events: Sequence[tuple[str, Mapping[str, Any]]],
    ) -> None:
        """Write calls, by their places in the turn, before they are made. Raises `LeaseLost`: then none may be."""
        if not await transact(self._pool, _beginning(work, turn, requests, context, events)):
            raise LeaseLost(work.id)

    async def settle(self, key: str, outcome: ToolOutcome, *, unknown: bool = False) -> None:
        """Write how a call ended, or that nobody knows."""
        state = "unknown" if unknown else "failed" if outcome.error_code else "succeeded"
        async with self._pool.connection() as connection:
            await connection.execute(
                workflow_sql.SETTLE_TOOL,
                {
                    "key": key,
                    "state": state,
                    "output": None if outcome.output is None else Jsonb(outcome.output),
                    "code": outcome.error_code[:40],
                    "detail": outcome.error_detail[:1000],
                },
            )


def _beginning(
    work: StepWork,
    turn: int,
    requests: Mapping[int, ToolRequest],
    context: Mapping[str, Any] | None,
    events: Sequence[tuple[str, Mapping[str, Any]]],
) -> Work[bool]:
    calls = [
        {
            "id": id_,
            "tool_id": request.spec.id,
            "index": index,
            "name": request.spec.name,
            "idempotency_key": key_of(work.id, turn, index),
            "arguments": request.arguments,
        }
        for id_, (index, request) in zip(new_ids("tcall", len(requests)), requests.items(), strict=True)
    ]
    _, [written] = yield (
        Query(sql.HOLD_RUN, {"run": work.run_id}),
        Query(
            workflow_sql.BEGIN_TOOLS,
            {
                "step": work.id,
                "fence": work.fence,
                "run": work.run_id,
                "project": work.project_id,
                "agent": work.agent_id,
                "turn": turn,
                "context": None if context is None else Jsonb(context),
                "calls": Jsonb(calls),
                "events": Jsonb([{"type": type_, "payload": payload} for type_, payload in events]),
            },
        ),
    )
    return bool(written["written"])
