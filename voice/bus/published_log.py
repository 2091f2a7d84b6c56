"""A call's log that is also published, for whoever follows calls from outside. Pure."""

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from voice.agent_ports import CallContext
from voice.pipeline.ports import CallLog, CallSummary, TurnRecord
from voice.redaction import redact_value

from .subjects import Subjects


class Publishes(Protocol):
    """`voice.bus.publishing.Publisher`, as far as a log needs it."""

    subjects: Subjects

    def put(self, subject: str, payload: Mapping[str, Any], id: str = "") -> None: ...


class PublishedLog:
    """A call's log that is also published: `<prefix>.voice.events.<project>.<call>`, a message an event, numbered.

    `redact` is asked each time whether personal data is kept out.
    """

    def __init__(self, log: CallLog, to: Publishes, call: CallContext, redact: Callable[[], bool]) -> None:
        self._log = log
        self._to = to
        self._call = call
        self._redact = redact
        self._subject = to.subjects.events(call.project_id, call.call_id)
        self._number = 0
        self._begun = uuid.uuid4().hex[:8]

    def event(self, type: str, payload: Mapping[str, Any]) -> None:
        self._log.event(type, payload)
        self._publish(type, payload)

    def turn(self, record: TurnRecord) -> None:
        self._log.turn(record)
        self._publish(
            "turn",
            {
                "number": record.number,
                "caller_text": record.caller_text,
                "reply_text": record.reply_text,
                "heard_text": record.heard_text,
                "interrupted": record.interrupted,
                "latencies": {name: round(value, 1) for name, value in record.latencies.items()},
                "stt": record.stt,
                "tts": record.tts,
                "model": record.model,
                "cost": record.cost,
                "config_version": record.config_version,
                "error": record.error,
            },
        )

    def ended(self, summary: CallSummary) -> None:
        self._log.ended(summary)

    def measure(self, name: str, value: float) -> None:
        self._log.measure(name, value)

    def _publish(self, type: str, payload: Mapping[str, Any]) -> None:
        self._number += 1
        call = self._call
        message = {
            "v": 1,
            "type": type,
            "call_id": call.call_id,
            "project_id": call.project_id,
            "network_id": call.network_id,
            "number": self._number,
            "at": time.time(),
            "payload": redact_value(payload) if self._redact() else dict(payload),
        }
        self._to.put(self._subject, message, f"{call.call_id}.{self._begun}.{self._number}")
