"""Calling the tools of a turn: what was called before is not called again, what may be lost is asked about."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from agents.tools.base import Caller, Effect, Surroundings, ToolFailed
from agents.tools.registry import call_tool
from tasks.engine import crash
from tasks.engine.output import storable
from tasks.engine.ports import NewApproval, PersonNeeded, StepWork, ToolOutcome, ToolRequest
from tasks.store.tool_journal import PastTool, ToolJournal, key_of

from .persist import persist

LARGEST_OUTPUT = 1024 * 1024  # characters of JSON, as large as a request may be
DECIDERS = ("owner", "editor")

Events = Sequence[tuple[str, Mapping[str, Any]]]
Begin = Callable[[Mapping[int, ToolRequest], Events], Awaitable[None]]


class ToolCalls:
    """The tool calls of one attempt of a step. `unsure`: one was cut off that may have had an effect."""

    def __init__(self, work: StepWork, journal: ToolJournal, world: Surroundings, tries_turn: int) -> None:
        self.unsure = False
        self._work = work
        self._journal = journal
        self._world = world
        self._first_turn = tries_turn
        self._past: Mapping[tuple[int, int], PastTool] | None = None

    async def call(
        self, turn: int, requests: Sequence[ToolRequest], begin: Begin
    ) -> tuple[Sequence[ToolOutcome], Events]:
        """Return the outcomes in order, and the events of those that were called now.

        `begin` writes calls down with the events that tell of them. Raises `PersonNeeded`, `LeaseLost`.
        """
        outcomes: dict[int, ToolOutcome] = {}
        wanted: dict[int, ToolRequest] = {}
        lost: list[PastTool] = []
        past = await self._read()
        for index, request in enumerate(requests):
            before = past.get((turn, index))
            if before is not None and (outcome := before.outcome) is not None:
                outcomes[index] = outcome
            elif before is not None and before.unknown and request.spec.effect is Effect.UNSAFE:
                lost.append(before)
            else:
                wanted[index] = request
        if lost:
            raise PersonNeeded(_question(lost))
        events: list[tuple[str, Mapping[str, Any]]] = []
        if wanted:
            await begin(
                wanted, [("tool.request", self._told(turn, index, wanted[index])) for index in wanted]
            )
            crash.point(crash.TOOLS_JOURNALED)
            for index, outcome in (await self._call_all(turn, wanted)).items():
                outcomes[index] = outcome
                ending = (
                    {"state": "failed", "code": outcome.error_code}
                    if outcome.error_code
                    else {"state": "succeeded"}
                )
                events.append(("tool.response", {**self._told(turn, index, wanted[index]), **ending}))
        return [outcomes[index] for index in range(len(requests))], events

    async def _read(self) -> Mapping[tuple[int, int], PastTool]:
        if self._past is None:
            first = self._work.fence <= 1
            self._past = (
                {} if first else await persist(lambda: self._journal.read(self._work.id), "tool calls")
            )
        return self._past

    async def _call_all(self, turn: int, wanted: Mapping[int, ToolRequest]) -> dict[int, ToolOutcome]:
        if all(request.spec.effect is Effect.READ_ONLY for request in wanted.values()):
            done = await asyncio.gather(*(self._call(turn, index, one) for index, one in wanted.items()))
            return dict(zip(wanted, done, strict=True))
        return {index: await self._call(turn, index, one) for index, one in wanted.items()}

    async def _call(self, turn: int, index: int, request: ToolRequest) -> ToolOutcome:
        work, spec = self._work, request.spec
        key = key_of(work.id, turn, index)
        caller = Caller(
            project_id=work.project_id,
            # The same however often the step is tried: the other side knows a call that it has seen.
            idempotency_key=key_of(work.id, turn - self._first_turn, index),
            network_id=work.network_id,
            agent_id=work.agent_id,
            run_id=work.run_id,
            step_id=work.id,
        )
        try:
            output = storable(await call_tool(spec, request.arguments, caller, self._world))
            outcome = ToolOutcome(output)
            if len(str(output)) > LARGEST_OUTPUT:
                outcome = ToolOutcome(error_code="bad_tool_answer", error_detail="The answer is too large.")
        except ToolFailed as error:
            unsure = error.unknown and spec.effect is Effect.UNSAFE
            outcome = ToolOutcome(
                error_code=error.code, error_detail=str(error), retryable=error.retryable and not unsure
            )
        except asyncio.CancelledError:
            self.unsure = self.unsure or spec.effect is Effect.UNSAFE
            raise
        crash.point(crash.TOOL_RETURNED)
        await persist(lambda: self._journal.settle(key, outcome), "tool call")
        return outcome

    def _told(self, turn: int, index: int, request: ToolRequest) -> Mapping[str, Any]:
        return {
            "tool_id": request.spec.id,
            "name": request.spec.name,
            "agent_id": self._work.agent_id,
            "turn": turn,
            "index": index,
        }


def _question(lost: Sequence[PastTool]) -> NewApproval:
    names = ", ".join(call.name for call in lost)
    return NewApproval(
        instructions=(
            f"A worker was lost while it called {names}: nobody knows whether the call was made. Edit: say what it"
            " returned. Approve: have it called again. Reject: count it as failed."
        ),
        data={
            "reason": "outcome_unknown",
            "tool_calls": [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in lost],
        },
        approvers=DECIDERS,
    )
