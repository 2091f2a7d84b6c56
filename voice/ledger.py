"""The ledger of the model calls that answer callers: queued when they are sent, settled when they end."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agents.resilience.ports import CallEnd, CallStart, PastTry
from voice.agent_ports import CallContext
from voice.records import RecordWriter
from voice.timestamps import iso
from web.ids import new_id

Tell = Callable[[str, Mapping[str, Any]], None]


class LedgerJournal:
    """The `CallJournal` of one answer. Writing waits for nothing; the row is on its way when the request is.

    Rows of a speculative answer are marked so until `keep`, and the events it causes wait for it, too.
    """

    def __init__(
        self,
        writer: RecordWriter,
        call: CallContext,
        *,
        agent_id: str = "",
        turn: int = 0,
        speculative: bool = False,
        tell: Tell = lambda type, payload: None,
    ) -> None:
        self.cost = 0.0
        self.input_tokens = 0
        self.output_tokens = 0
        self._writer = writer
        self._call = call
        self._agent_id = agent_id
        self._turn = turn
        self._speculative = speculative
        self._tell = tell
        self._calls: list[str] = []
        self._held: list[tuple[str, Mapping[str, Any]]] = []

    async def begin(self, start: CallStart) -> str:
        call_id = new_id("mcall")
        self._calls.append(call_id)
        row = {
            "id": call_id,
            "project": self._call.project_id,
            "network": self._call.network_id,
            "agent": self._agent_id,
            "call": self._call.call_id,
            "turn": max(0, self._turn),
            "try": len(self._calls),
            "owner": self._call.worker,
            "provider": start.provider,
            "model": start.model,
            "requested": start.requested_model,
            "reserved": round(start.estimated_cost, 6),
            "speculative": self._speculative,
            "started_at": iso(time.time()),
        }
        self._writer.put("begin", row, urgent=True)
        return call_id

    async def settle(self, end: CallEnd) -> None:
        self.cost += end.cost
        self.input_tokens += end.usage.input
        self.output_tokens += end.usage.output
        row = {
            "id": end.call_id,
            "call": self._call.call_id,
            "state": end.state,
            "failure": str(end.failure or ""),
            "message": end.message[:500],
            "status": end.status,
            "input_tokens": end.usage.input,
            "output_tokens": end.usage.output,
            "cached_tokens": end.usage.cached,
            "cost": round(end.cost, 6),
            "latency_ms": round(end.latency_ms, 2),
            "first_token_ms": None if end.first_token_ms is None else round(end.first_token_ms, 2),
            "request_id": end.request_id,
            "finished_at": iso(time.time()),
        }
        self._writer.put("settle", row)

    def past_tries(self) -> Sequence[PastTry]:
        return ()

    def note(self, event_type: str, payload: Mapping[str, Any]) -> None:
        if self._speculative:
            self._held.append((event_type, payload))
        else:
            self._tell(event_type, payload)

    def keep(self) -> None:
        """The answer was taken: its calls were no speculation after all."""
        if not self._speculative:
            return
        self._speculative = False
        for call_id in self._calls:
            self._writer.put("kept", {"id": call_id})
        for type_, payload in self._held:
            self._tell(type_, payload)
        self._held.clear()
