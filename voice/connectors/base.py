"""The interfaces of speech services, which the hedge shares: a chain of services looks like a single one.

All raise `agents.providers.errors.ProviderError` with the service as `provider`, and nothing else; a connector
that is not configured raises it with `Failure.AUTHENTICATION` and `nothing_sent`.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from voice.audio import AudioFormat

from .types import Speech, SpeechUse, SttOptions, Transcript, TtsOptions


class Transcription(Protocol):
    """One caller's audio on its way through a recogniser, from the call's start to its end."""

    def feed(self, audio: bytes) -> None:
        """Take the next audio, of any length. Never blocks and never raises: errors come out of `results`."""
        ...

    def finish_turn(self) -> None:
        """The caller has paused: the finals are wanted now. One result with `closes` answers each call."""
        ...

    def results(self) -> AsyncGenerator[Transcript, None]:
        """Yield transcripts until `aclose`. Iterated once. Raises `ProviderError` when the service is lost."""
        ...

    async def aclose(self) -> None: ...


class Listener(Transcription, Protocol):
    """What a call listens by: a chain of services with a hedge (`voice.connectors.listening`). A service that is
    lost is replaced inside the turn; `results` raises only when none is left."""

    @property
    def connector(self) -> str:
        """The service whose words came last; before the first words, the one that is asked."""
        ...

    @property
    def connectors(self) -> tuple[str, ...]:
        """The services that can be asked, in order. Empty where that is not known."""
        ...

    def speech_began(self) -> None:
        """The caller is heard speaking: words should come now. If they do not, a backup is started."""
        ...

    def speech_ended(self) -> None:
        """The caller is not heard speaking any more."""
        ...

    def use(self) -> tuple[SpeechUse, ...]:
        """What was used so far, a line a service."""
        ...


class SpeechToText(Protocol):
    """A recogniser. One object a process, project and key; kept for the life of the event loop.

    `partials` tells that words come while the caller speaks; `expected_ms` how soon after speech began they
    usually do, or after `finish_turn` the finals where there are no partials.
    """

    name: str
    partials: bool
    expected_ms: float

    async def open(self, format: AudioFormat, options: SttOptions) -> Transcription:
        """Begin to listen to a caller. Returns when audio can be fed; what is fed at once is not lost."""
        ...

    async def warm(self) -> None:
        """Load what the first caller would have to wait for. Raises nothing; may do nothing."""
        ...

    async def aclose(self) -> None: ...


class TextToSpeech(Protocol):
    """A voice. One object a process, project and key; kept for the life of the event loop.

    `expected_ms` is how soon the first audio usually comes."""

    name: str
    expected_ms: float

    def synthesize(self, text: str, format: AudioFormat, options: TtsOptions) -> AsyncGenerator[Speech, None]:
        """Speak one clause or sentence; yields audio as it comes. Closing the generator stops the vendor."""
        ...

    async def warm(self, format: AudioFormat, options: TtsOptions) -> None:
        """Open what the next `synthesize` would have to wait for. Raises nothing; may do nothing."""
        ...

    async def aclose(self) -> None: ...


class Speaker(Protocol):
    """What a call speaks by: a chain of services with a hedge (`voice.connectors.speaking`)."""

    @property
    def connectors(self) -> tuple[str, ...]:
        """The services that can be asked, in order. Empty where that is not known."""
        ...

    def speak(self, text: str, *, queued_ms: Callable[[], float]) -> AsyncGenerator[Speech, None]:
        """Speak one clause. `queued_ms` tells how much unplayed audio the call still has: when it runs low
        and nothing comes, the next service is started beside the first one."""
        ...

    async def warm(self) -> None:
        """Open what the next clause would have to wait for. Raises nothing."""
        ...

    def use(self) -> tuple[SpeechUse, ...]:
        """What was used so far, a line a service; given-up attempts are charged too."""
        ...

    async def aclose(self) -> None: ...
