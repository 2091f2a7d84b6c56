"""What the speech gateway asks of the world: keys, and somebody who counts."""

from typing import Protocol

from agents.providers.errors import Failure
from agents.resilience.ports import Credential

__all__ = ["Credential", "NullObserver", "SpeechCredentials", "SpeechObserver"]


class SpeechCredentials(Protocol):
    def get(self, project_id: str, service: str) -> Credential | None:
        """The project's own key of a speech service, else the installation's, else None: it is skipped.

        `base_url` empty means the vendor's own address. Called on the event loop: no waiting.
        """
        ...


class SpeechObserver(Protocol):
    """Metrics. Called on the event loop, in the frame path: be quick, and do not raise."""

    def hedged(self, *, kind: str, slow: str, to: str, reason: str) -> None:
        """A backup was started beside or instead of `slow`. `kind` is stt or tts; `reason` is late, stalled
        or the failure's name."""
        ...

    def first_result(self, *, kind: str, connector: str, milliseconds: float) -> None:
        """The first audio of a clause, or the first words after the caller began to speak."""
        ...

    def failed(self, *, kind: str, connector: str, failure: Failure) -> None: ...

    def breaker_changed(self, *, provider: str, identity: str, state: str, cause: Failure | None) -> None:
        """`state` is closed, open or half-open; `identity` tells keys apart without telling them."""
        ...


class NullObserver:
    """An observer that looks away."""

    def hedged(self, *, kind: str, slow: str, to: str, reason: str) -> None: ...

    def first_result(self, *, kind: str, connector: str, milliseconds: float) -> None: ...

    def failed(self, *, kind: str, connector: str, failure: Failure) -> None: ...

    def breaker_changed(self, *, provider: str, identity: str, state: str, cause: Failure | None) -> None: ...
