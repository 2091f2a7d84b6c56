"""One attempt of one step: the executor's port and the chain's journal in one."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agents.providers.base import complete
from agents.providers.types import ModelRequest, Reply
from agents.resilience.gateway import ModelGateway
from agents.resilience.ports import CallEnd, CallStart, PastTry
from tasks.engine import crash
from tasks.engine.ports import (
    ChildRun,
    EndedStep,
    PartResult,
    Recalled,
    SubTask,
    ToolOutcome,
    ToolRequest,
)
from tasks.store.claim import Claimed
from tasks.store.journal import Journal
from web.ids import new_id

from .incarnation import Incarnation
from .persist import persist
from .subtasks import start_sub_task
from .tool_calls import ToolCalls

CALL_SECONDS = 180.0  # what one turn may take over the whole chain
TURNS_A_TRY = 1000  # a step that is tried again counts its turns on from here, so that it asks anew


class StepSession:
    """Implements `StepPort` for the executor and `CallJournal` for the model chain.

    The reply of the last turn is held back to be committed together with the step's finish: one
    transaction instead of two. `held` is what has to be written if the finish does not come. `alone` tells whether
    its worker has no other step in hand.
    """

    def __init__(
        self,
        claimed: Claimed,
        journal: Journal,
        life: Incarnation,
        gateway: ModelGateway,
        alone: Callable[[], bool] = lambda: False,
    ) -> None:
        self.work = claimed.work
        self.held: CallEnd | None = None
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self._before = claimed.before
        self._pass = claimed.releases
        self._journal = journal
        self._calls = life.journal
        self._reads = life.reads
        self._gateway = gateway
        self._alone = alone
        self._life = life
        self._tools: ToolCalls | None = None
        self._turn = 0
        self._first_turn = claimed.work.tries * TURNS_A_TRY
        self._asked = ""
        self._context: Mapping[str, Any] | None = None
        self._begun = claimed.work.frozen is not None
        self._until = None if claimed.seconds_left is None else time.monotonic() + claimed.seconds_left

    # --- StepPort -----------------------------------------------------------------------------------

    async def results(self) -> Sequence[PartResult]:
        return await persist(lambda: self._reads.results(self.work.run_id), "results")

    async def recall(self, query: str, limit: int) -> Sequence[Recalled]:
        return await persist(lambda: self._reads.recall(self.work.network_id, query, limit), "recall")

    def freeze(self, context: Mapping[str, Any]) -> None:
        self._context = context

    async def ended(self, nodes: Collection[str]) -> Sequence[EndedStep]:
        if self._before is not None:
            return self._before
        return await persist(
            lambda: self._reads.ended(self.work.run_id, nodes, self.work.parents), "ended steps"
        )

    async def child_run(self) -> ChildRun | None:
        return await persist(lambda: self._reads.child_run(self.work.id), "child run")

    async def start_task(self, task: SubTask) -> str:
        return await asyncio.to_thread(start_sub_task, self.work, task)

    async def call_tools(self, turn: int, requests: Sequence[ToolRequest]) -> Sequence[ToolOutcome]:
        turn += self._first_turn
        await self.flush()
        if self._tools is None:
            life = self._life
            self._tools = ToolCalls(self.work, life.tool_journal, life.tools, self._first_turn)

        async def begin(
            wanted: Mapping[int, ToolRequest], told: Sequence[tuple[str, Mapping[str, Any]]]
        ) -> None:
            events = [*self.opening(), *told]
            context = None if self._begun else self._context
            journal = self._life.tool_journal
            await persist(
                lambda: journal.begin(self.work, turn, wanted, context=context, events=events), "tool calls"
            )
            self._begun = True
            self.events.clear()

        outcomes, events = await self._tools.call(turn, requests, begin)
        self.events += events
        return outcomes

    @property
    def unsure(self) -> bool:
        """A tool was cut off that may have had an effect."""
        return self._tools is not None and self._tools.unsure

    async def ask(self, turn: int, request: ModelRequest, models: Sequence[str]) -> Reply:
        turn += self._first_turn
        if turn in self._journal.replies:
            return self._journal.replies[turn]
        await self.flush()
        self._turn = turn
        chain = self._gateway.chain(self.work.project_id, models, self, total_timeout=self._seconds())
        reply = await complete(chain, request)
        # By its catalogue id: vendors answer with the name of a dated snapshot.
        reply = replace(reply, model=self._asked or reply.model)
        crash.point(crash.REPLY_RECEIVED)
        self.events.append(
            (
                "agent.response",
                {
                    "agent_id": self.work.agent_id,
                    "turn": turn,
                    "model": reply.model,
                    "provider": reply.provider,
                    "input_tokens": reply.usage.input,
                    "output_tokens": reply.usage.output,
                },
            )
        )
        return reply

    # --- CallJournal --------------------------------------------------------------------------------

    async def begin(self, start: CallStart) -> str:
        events = list(self.events)
        if not self._begun:
            events = [*self._first_events(), *events]
        count = self._journal.counts.get(self._turn, 0)
        if count == 0:
            payload = {"agent_id": self.work.agent_id, "turn": self._turn, "model": start.model}
            events.append(("agent.request", payload))
        call_id, repeated = new_id("mcall"), False

        async def write() -> None:
            nonlocal repeated
            if repeated and await self._calls.has(call_id):
                return  # it was committed, and the answer lost with the connection
            repeated = True
            await self._calls.begin(
                self.work,
                start,
                call_id=call_id,
                turn=self._turn,
                try_number=count + 1,
                chain_pass=self._pass,
                context=None if self._begun else self._context,
                events=events,
                alone=self._alone(),
            )

        await persist(write, "call")
        self._begun = True
        self._asked = start.model
        self._journal.counts[self._turn] = count + 1
        self.events.clear()
        crash.point(crash.CALL_JOURNALED)
        return call_id

    async def settle(self, end: CallEnd) -> None:
        if end.state == "succeeded":
            self.held = end
            return
        await persist(lambda: self._calls.settle(end), "settle")

    def past_tries(self) -> Sequence[PastTry]:
        return self._journal.tries.get(self._turn, ())

    def note(self, event_type: str, payload: Mapping[str, Any]) -> None:
        self.events.append((event_type, payload))

    # --- the rest -----------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Commit the reply that is held back."""
        if self.held is not None:
            end = self.held
            await persist(lambda: self._calls.settle(end), "settle")
            self.held = None

    def opening(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The events that are still to be told when the step ends: that it started, if no write has said so."""
        return [*([] if self._begun else self._first_events()), *self.events]

    def _first_events(self) -> list[tuple[str, Mapping[str, Any]]]:
        work = self.work
        started = {
            "key": work.key,
            "kind": work.kind,
            "agent_id": self.work.agent_id,
            "label": work.label,
            "round": work.round,
        }
        events: list[tuple[str, Mapping[str, Any]]] = [("step.started", started)]
        recalled = (self._context or {}).get("recalled")
        if recalled:
            events.append(("memory.recalled", {"agent_id": self.work.agent_id, "memory_ids": recalled}))
        return events

    def _seconds(self) -> float:
        if self._until is None:
            return CALL_SECONDS
        return max(0.05, min(CALL_SECONDS, self._until - time.monotonic()))
