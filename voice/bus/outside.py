"""One call's view of the stages outside: which of its services they are, and the works it gives them."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from voice.agent_ports import CallContext
from voice.audio import AudioFormat
from voice.config import SessionConfig
from voice.pipeline.ports import CallLog

from .dispatch import Dispatcher, StageAway, Work
from .messages import Job
from .subjects import CORE, kind_of


class Outside:
    """`stages` are the kinds that live outside. What could not be done there is written into the call's log."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        stages: frozenset[str],
        *,
        call: CallContext,
        session: str,
        config: Callable[[], SessionConfig],
        format: AudioFormat,
        log: CallLog,
    ) -> None:
        self.config = config
        self.format = format
        self.log = log
        self.spoken: tuple[str, Work] | None = None  # a clause that a text stage has handed on to the voice
        self._members: dict[str, str] = {}  # who did it last
        self._dispatcher = dispatcher
        self._stages = stages
        self._call = call
        self._session = session

    def has(self, service: str) -> bool:
        """Whether a service of the session lives outside."""
        return kind_of(self.config(), service) in self._stages

    def run_to(self, target: str) -> tuple[str, ...]:
        """The services outside right before `target`, in order: what reaches the first of them reaches it
        without us."""
        config = self.config()
        path = config.path("stt", "llm") if target == "llm" else config.path("llm", "tts")
        run: list[str] = []
        for service in reversed(path):
            if not self.has(service):
                break
            run.insert(0, service)
        return tuple(run)

    def run_from(self, service: str) -> tuple[str, ...]:
        """The text stages outside from `service` on, in order."""
        config = self.config()
        run: list[str] = []
        while service not in CORE and self.has(service):
            run.append(service)
            service = config.next_of(service)
        return tuple(run)

    def follows_outside(self, service: str) -> bool:
        """Whether what comes to a service comes from a stage outside, which hands it on by itself."""
        config = self.config()
        return any(edge.target == service and edge.source not in CORE and self.has(edge.source)
                   for edge in config.flow)  # fmt: skip

    def start(self, service: str, body: Mapping[str, Any]) -> Work:
        """Give a work to a service's stage. Raises `StageAway`."""
        config = self.config()
        job = Job(
            id=uuid.uuid4().hex,
            service=service,
            project=self._call.project_id,
            network=self._call.network_id,
            call=self._call.call_id,
            worker=self._call.worker,
            session=self._session,
            version=config.version,
            format=self.format,
            outside=tuple(sorted(self._stages)),
            body=body,
        )
        work = self._dispatcher.start(kind_of(config, service), job)
        work.on_accepted = self._accepted
        return work

    def away(self, error: StageAway, to: str) -> None:
        """A stage did not do its work, and `to` does it: another member of its group, or this process."""
        if error.reason == "hung":
            self._dispatcher.avoid(kind_of(self.config(), error.service))
        self.log.event("stage.fallback", {"stage": error.service, "reason": error.reason, "to": to})

    def _accepted(self, service: str, member: str) -> None:
        if self._members.get(service) != member:
            self._members[service] = member
            self.log.event("stage.outside", {"stage": service, "member": member})

    def drop_spoken(self) -> None:
        """Forget what was handed on and is not wanted any more."""
        if self.spoken is not None:
            self.spoken[1].close()
            self.spoken = None
