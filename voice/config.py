"""The config of a voice session: what is in it, and which service hands over to which. Pure.

`parse` (voice/config_parsing.py) makes it from JSON. It never changes: a hot update is a new object with the
next `version`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

TRANSPORT: Final = "transport"


@dataclass(frozen=True, slots=True)
class Edge:
    """One arrow of the flow. `stream` is audio or text."""

    source: str
    target: str
    stream: Literal["audio", "text"]


@dataclass(frozen=True, slots=True)
class Connector:
    """Which services do a stage's work, in the order they are tried, and what they are told."""

    primary: str
    fallback: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return (self.primary, *self.fallback)


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """How turns are taken. Times in milliseconds where the name says so."""

    silence_ms: int = 500
    interrupt: Literal["pause_then_decide", "immediate", "never"] = "pause_then_decide"
    speculate: bool = True
    filler: tuple[str, ...] = ("One moment.", "Let me see.")
    filler_after_ms: int = 700
    greeting: str = ""
    goodbye: str = ""
    max_call_seconds: int = 3600
    idle_seconds: int = 60  # nobody spoke: ask once, then hang up
    voicemail: Literal["ignore", "hang_up", "message"] = "ignore"
    voicemail_message: str = ""
    record: bool = False  # only with the caller's consent
    consent_prompt: str = ""
    redact: bool = False  # personal data out of transcripts
    dtmf_timeout_ms: int = 2000


@dataclass(frozen=True, slots=True)
class DialogSettings:
    """The published workflow that leads a call, from its first word until it hands over to the agent.

    `input` is added to the run's. `at_end`: what follows where the workflow ends without handing over; `on_failure`:
    where it fails.
    """

    workflow_id: str
    input: Mapping[str, Any] = field(default_factory=dict)
    at_end: Literal["hang_up", "agent"] = "hang_up"
    on_failure: Literal["agent", "person", "hang_up"] = "agent"


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Everything a call is run by."""

    system_prompt: str
    name: str
    flow: tuple[Edge, ...]
    connectors: Mapping[str, Connector]
    turn: TurnSettings = field(default_factory=TurnSettings)
    language: str = "en-US"
    network_id: str = ""
    version: int = 1
    dialog: DialogSettings | None = None

    def next_of(self, service: str) -> str:
        """The service that consumes what `service` makes; raises `KeyError` when nothing does."""
        for edge in self.flow:
            if edge.source == service:
                return edge.target
        raise KeyError(service)

    def path(self, start: str, end: str) -> tuple[str, ...]:
        """The services strictly between two, in order: `path("stt", "llm")` is what a transcript passes."""
        found: list[str] = []
        service = self.next_of(start)
        while service != end:
            found.append(service)
            service = self.next_of(service)
        return tuple(found)
