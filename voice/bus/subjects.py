"""The subjects of the bus. Pure.

<prefix>.voice.events.<project>.<call>   JetStream: what happened in a call, in order
<prefix>.voice.config.<session>          JetStream: the session's config, each time it changes
<prefix>.voice.stage.<kind>              core, queue group: work for whoever does this kind of stage
<prefix>.voice.at.<member>.<work>        core: more of a work that this member has taken; `ping`: are you there?
<prefix>.voice.to.<process>.<work>       core: what comes back to the voice process
"""

from dataclasses import dataclass
from typing import Final

from voice.config import SessionConfig

KINDS: Final = ("stt", "llm", "tts", "translate", "filter")  # what can live outside
CORE: Final = frozenset({"stt", "llm", "tts"})
PING: Final = "ping"
QUEUE: Final = "stages"


@dataclass(frozen=True, slots=True)
class Subjects:
    """The names under one prefix: installations that share a server have different ones."""

    prefix: str = "mesh"

    def events(self, project: str = "*", call: str = "*") -> str:
        return f"{self.prefix}.voice.events.{project}.{call}"

    def config(self, session: str = "*") -> str:
        return f"{self.prefix}.voice.config.{session}"

    def stage(self, kind: str) -> str:
        return f"{self.prefix}.voice.stage.{kind}"

    def at(self, member: str, work: str = "*") -> str:
        return f"{self.prefix}.voice.at.{member}.{work}"

    def to(self, process: str, work: str = "*") -> str:
        return f"{self.prefix}.voice.to.{process}.{work}"

    @property
    def streams(self) -> dict[str, str]:
        """The JetStream streams by name, and the subjects that each keeps."""
        name = self.prefix.upper()
        return {f"{name}_VOICE_EVENTS": self.events("*", "*"), f"{name}_VOICE_CONFIG": self.config("*")}


def kind_of(config: SessionConfig, service: str) -> str:
    """What kind of work a service of the flow does: `stt`, `llm`, `tts`, or the text stage it is."""
    return service if service in CORE else config.connectors[service].primary


def last(subject: str) -> str:
    """The last token of a subject."""
    return subject.rpartition(".")[2]
