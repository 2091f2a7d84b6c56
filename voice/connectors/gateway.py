"""The one long-lived object of the speech side: a gateway per process and event loop.

It keeps the services' clients (a connection belongs to one loop), the breakers, which all processes share over
Redis, and what was learnt of each service's pace. Listeners and speakers are cheap and made per call.
"""

import asyncio
import time
from collections.abc import Callable, Container, Sequence
from typing import Any, Final, Generic, TypeVar

from agents.providers.errors import Failure, ProviderError
from agents.resilience import ports as resilience
from agents.resilience.board import Board
from agents.resilience.breaker import COOL_DOWN, Permit
from agents.resilience.deadline import Clock
from agents.resilience.shared import Link
from voice.audio import TELEPHONE, AudioFormat

from .base import Listener, Speaker, SpeechToText, TextToSpeech
from .hedge import FINALS, FIRST_AUDIO, FIRST_WORDS, Candidate, Pace
from .listening import HedgedTranscription
from .ports import Credential, NullObserver, SpeechCredentials, SpeechObserver
from .registry import LOCAL, RECOGNISERS, VOICES, RecogniserFactory, VoiceFactory, load_recogniser, load_voice
from .settings import stt_options, tts_options
from .speaking import HedgedSpeaker
from .types import SttOptions, TtsOptions

FAIL_MAX: Final = 3  # failures in a row, over all processes: a caller waits at each
BATCH_PATIENCE: Final = 3000.0  # ms at most for the finals of a service that works at the turn's end
_NO_KEY: Final = Credential("", "", "")
S = TypeVar("S", bound=SpeechToText | TextToSpeech)


class SpeechGateway:
    """Makes listeners and speakers. `start()` before use and `aclose()` at the end, both on the loop that
    uses it. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        credentials: SpeechCredentials,
        *,
        redis_url: str = "",
        observer: SpeechObserver | None = None,
        recogniser_loader: Callable[[str], RecogniserFactory] = load_recogniser,
        voice_loader: Callable[[str], VoiceFactory] = load_voice,
        fail_max: int = FAIL_MAX,
        cool_down: float = COOL_DOWN,
        prefix: str = "mesh:speech:",
        clock: Clock = time.monotonic,
    ) -> None:
        self._credentials = credentials
        self._observer = observer or NullObserver()
        self._clock = clock
        self._link = Link(redis_url, prefix)
        self._board = Board(self._link, clock, _Relay(self._observer), fail_max=fail_max, cool_down=cool_down)
        self._recognisers: _Services[SpeechToText] = _Services(recogniser_loader)
        self._voices: _Services[TextToSpeech] = _Services(voice_loader)
        self._paces: dict[str, tuple[Pace, Pace]] = {}

    async def start(self) -> None:
        """Learn what the other processes know of dead services; load what the installation's calls need: the
        local services only where there are no others."""
        for name, credential in self._usable(
            "", [name for name in RECOGNISERS if name != LOCAL], RECOGNISERS
        ):
            await (await asyncio.to_thread(self._recognisers.get, name, credential)).warm()
        for name, credential in self._usable("", [name for name in VOICES if name != LOCAL], VOICES):
            await (await asyncio.to_thread(self._voices.get, name, credential)).warm(TELEPHONE, TtsOptions())
        await self._link.start()

    async def aclose(self) -> None:
        """Close all clients. Calls in progress are lost: end them first."""
        await self._link.aclose()
        await self._recognisers.aclose()
        await self._voices.aclose()

    async def synchronise(self) -> None:
        """Exchange breakers with the other processes now; the background task does it by itself."""
        await self._link.synchronise()

    async def transcription(
        self, project_id: str, names: Sequence[str], format: AudioFormat, options: SttOptions
    ) -> Listener:
        """Begin to listen by the services named, in order; those without a key are skipped, and `local` is
        taken when none is left. Returns at once: what is fed before a service is reached is kept.
        """
        candidates: list[tuple[Candidate[SpeechToText], SttOptions]] = []
        for name, credential in self._usable(project_id, names, RECOGNISERS):
            service = self._recognisers.get(name, credential)
            identity = f"stt.{name}|{credential.base_url}|{credential.fingerprint}"
            pace, closing = self._paces.setdefault(identity, _recogniser_paces(service))
            candidate = Candidate(name, service, *self._breaker(name, identity), pace, closing)
            told = stt_options(options, name, first=name == next(iter(names), ""), names=tuple(RECOGNISERS))
            candidates.append((candidate, told))
        return HedgedTranscription(candidates, format, clock=self._clock, observer=self._observer)

    def speaker(
        self, project_id: str, names: Sequence[str], format: AudioFormat, options: TtsOptions
    ) -> Speaker:
        """Return a voice for one call, by the services named, chosen as `transcription` chooses."""
        candidates: list[tuple[Candidate[TextToSpeech], TtsOptions]] = []
        for name, credential in self._usable(project_id, names, VOICES):
            service = self._voices.get(name, credential)
            identity = f"tts.{name}|{credential.base_url}|{credential.fingerprint}"
            pace, closing = self._paces.setdefault(identity, (Pace(service.expected_ms, FIRST_AUDIO),) * 2)
            candidate = Candidate(name, service, *self._breaker(name, identity), pace, closing)
            told = tts_options(options, name, first=name == next(iter(names), ""), names=tuple(VOICES))
            candidates.append((candidate, told))
        return HedgedSpeaker(candidates, format, clock=self._clock, observer=self._observer)

    def status(self) -> dict[str, dict[str, Any]]:
        """Tell for health checks how the installation's own services fare, by `stt.deepgram`, `tts.azure`, …:
        `configured`, `breaker` (closed, open, half-open), `retry_after` in seconds."""
        report: dict[str, dict[str, Any]] = {}
        for kind, names in (("stt", RECOGNISERS), ("tts", VOICES)):
            for name in names:
                credential = self._credential("", name)
                line: dict[str, Any] = {"configured": credential is not None}
                line |= {"breaker": "closed", "retry_after": None}
                if credential is not None:
                    identity = f"{kind}.{name}|{credential.base_url}|{credential.fingerprint}"
                    breaker = self._board.get(identity, name)
                    line |= {"breaker": breaker.state, "retry_after": breaker.retry_after() or None}
                report[f"{kind}.{name}"] = line
        return report

    def _usable(
        self, project_id: str, names: Sequence[str], known: Container[str]
    ) -> list[tuple[str, Credential]]:
        """Return the services of those named that can be asked; `local` when there are none."""
        found = [
            (name, credential)
            for name in dict.fromkeys(names)
            if name in known and (credential := self._credential(project_id, name)) is not None
        ]
        return found or [(LOCAL, _NO_KEY)]

    def _credential(self, project_id: str, name: str) -> Credential | None:
        return _NO_KEY if name == LOCAL else self._credentials.get(project_id, name)

    def _breaker(
        self, name: str, identity: str
    ) -> tuple[Callable[[], Permit], Callable[[], ProviderError | None]]:
        def permit() -> Permit:
            return self._board.permit(name, identity, "")

        return permit, lambda: permit().refusal()


class _Services(Generic[S]):
    """The clients, one a service, address and key."""

    def __init__(self, load: Callable[[str], Callable[[Credential], S]]) -> None:
        self._load = load
        self._open: dict[tuple[str, str, str], S] = {}

    def get(self, name: str, credential: Credential) -> S:
        key = (name, credential.base_url, credential.fingerprint)
        service = self._open.get(key)
        if service is None:
            service = self._open[key] = self._load(name)(credential)
        return service

    async def aclose(self) -> None:
        services, self._open = list(self._open.values()), {}
        for service in services:
            await service.aclose()


class _Relay(resilience.NullObserver):
    """Tells our observer what the board tells its own."""

    def __init__(self, observer: SpeechObserver) -> None:
        self._observer = observer

    def breaker_changed(self, *, provider: str, identity: str, state: str, cause: Failure | None) -> None:
        self._observer.breaker_changed(provider=provider, identity=identity, state=state, cause=cause)


def _recogniser_paces(service: SpeechToText) -> tuple[Pace, Pace]:
    """Return how soon words and finals are expected."""
    if service.partials:
        return Pace(service.expected_ms, FIRST_WORDS), Pace(100.0, FINALS)
    return Pace(0.0, FIRST_WORDS), Pace(service.expected_ms, FINALS, BATCH_PATIENCE)
