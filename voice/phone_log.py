"""What is written down of one call, and counted of it."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from voice import metrics
from voice.pipeline.ports import CallSummary, TurnRecord
from voice.records import RecordWriter
from voice.redaction import redact, redact_value
from voice.timestamps import iso

# Many a second, and worth nothing afterwards.
_ONLY_WATCHED: Final = frozenset({"transcript.partial", "speculation.kept", "speculation.dropped"})


class PhoneLog:
    """Where one call is written down: a `voice.pipeline.ports.CallLog`."""

    def __init__(self, writer: RecordWriter, call_id: str, redact: Callable[[], bool]) -> None:
        self.call_id = call_id
        self._writer = writer
        self._redact = redact
        self._over = False
        metrics.call_started()

    def event(self, type: str, payload: Mapping[str, Any]) -> None:
        metrics.event(type, payload)
        if type in _ONLY_WATCHED:
            return
        kept = redact_value(payload) if self._redact() else dict(payload)
        self._writer.put(
            "event", {"call": self.call_id, "type": type, "payload": kept, "at": iso(time.time())}
        )

    def turn(self, record: TurnRecord) -> None:
        clean = redact if self._redact() else str
        row = {
            "call": self.call_id,
            "number": record.number,
            "caller_text": clean(record.caller_text),
            "reply_text": clean(record.reply_text),
            "heard_text": clean(record.heard_text),
            "interrupted": record.interrupted,
            "speculative": record.speculative,
            "note": record.note,
            "latencies": {stage: round(value, 1) for stage, value in record.latencies.items()},
            "stt": record.stt,
            "tts": record.tts,
            "model": record.model,
            "cost": round(record.cost, 6),
            "config_version": record.config_version,
            "error": record.error,
            "started_at": iso(record.started_at or time.time()),
        }
        self._writer.put("turn", row)
        metrics.turn(record)

    def ended(self, summary: CallSummary) -> None:
        if self._over:
            return
        self._over = True
        row = {
            "call": self.call_id,
            "reason": summary.reason,
            "error": summary.error,
            "ended_at": iso(time.time()),
            "turns": summary.turns,
            "interruptions": summary.interruptions,
            "false_interruptions": summary.false_interruptions,
            "mos": summary.mos,
            "statistics": dict(summary.statistics) | {"seconds": round(summary.seconds, 2)},
            "use": [
                {
                    "connector": use.connector,
                    "kind": use.kind,
                    "seconds": round(use.seconds, 2),
                    "characters": use.characters,
                    "cost": round(use.cost, 6),
                }
                for use in summary.use
            ],
        }
        self._writer.put("summary", row, urgent=True)
        metrics.call_ended(summary)

    def measure(self, name: str, value: float) -> None:
        metrics.measure(name, value)
