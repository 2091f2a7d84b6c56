"""What the two hedges share: who can be asked, how soon he usually answers, and what it has cost.

`listening.HedgedTranscription` and `speaking.HedgedSpeaker` look like a single service. A backup is started
beside a service that is late, not after a time-out; whoever answers first goes on, the other is stopped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from agents.providers.errors import ChainUnavailable, Failure, ProviderError
from agents.resilience.breaker import Permit
from agents.resilience.policy import TABLE

from .prices import cost
from .types import SpeechUse

FIRST_AUDIO: Final = 250.0  # ms without first audio after which a second voice is started
FIRST_WORDS: Final = 300.0  # ms of speech without words after which a second recogniser is started
FINALS: Final = 300.0  # ms after the turn's end without its finals
LOW: Final = 250.0  # ms of unplayed audio below which a silence of the service is dangerous
LONGEST: Final = 600.0  # ms: the most patience that habit can earn
DEMOTED: Final = 30.0  # seconds a call does without a service that it found wanting

S = TypeVar("S")


class Pace:
    """How soon a service usually answers, learnt from all calls of the process.

    A service that is slow by nature would lose every race against a quick backup; it is given half as long
    again as it usually takes. `least` is what every service is given, `most` bounds what habit can earn.
    """

    def __init__(self, expected: float, least: float, most: float = LONGEST) -> None:
        self._usual = expected
        self._least = least
        self._most = most

    @property
    def patience(self) -> float:
        """Milliseconds to wait before a backup is started."""
        return max(self._least, min(self._usual * 1.5, self._most))

    def answered(self, milliseconds: float) -> None:
        self._usual += (milliseconds - self._usual) * 0.2

    def gave_up(self, milliseconds: float) -> None:
        """It had not answered by then."""
        self._usual = max(self._usual, min(milliseconds, self._most))


@dataclass(frozen=True, slots=True, eq=False)
class Candidate(Generic[S]):
    """A service that can be asked in one call. `refusal` tells at no cost that its breaker is open.

    `pace` is of the first result, `closing` (recognisers) of the finals after the turn's end.
    """

    name: str
    service: S
    permit: Callable[[], Permit]
    refusal: Callable[[], ProviderError | None]
    pace: Pace
    closing: Pace = field(default_factory=lambda: Pace(100.0, FINALS))


class Meter:
    """What a call has used, by service."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._seconds: dict[str, float] = {}
        self._characters: dict[str, int] = {}

    def heard(self, connector: str, seconds: float) -> None:
        self._seconds[connector] = self._seconds.get(connector, 0.0) + seconds

    def spoke(self, connector: str, characters: int) -> None:
        self._characters[connector] = self._characters.get(connector, 0) + characters

    def use(self) -> tuple[SpeechUse, ...]:
        """A line a service, in the order of their first use."""
        return tuple(
            SpeechUse(
                name,
                self._kind,
                seconds=(seconds := self._seconds.get(name, 0.0)),
                characters=(characters := self._characters.get(name, 0)),
                cost=cost(self._kind, name, seconds=seconds, characters=characters),
            )
            for name in dict.fromkeys([*self._seconds, *self._characters])
        )


def internal(name: str, error: Exception) -> ProviderError:
    """An exception of ours, as the only kind of error that connectors raise."""
    failure = ProviderError(Failure.INTERNAL, f"{name}: {error!r:.300}", provider=name)
    failure.__cause__ = error
    return failure


def late(name: str, milliseconds: float) -> ProviderError:
    return ProviderError(
        Failure.DEADLINE, f"{name}: nothing for {milliseconds:.0f} ms, a backup took over", provider=name
    )


def unavailable(kind: str, errors: Sequence[ProviderError]) -> ProviderError:
    """The one error of a chain in which nobody is left. `errors` in the order of events."""
    if not errors:
        return ProviderError(Failure.AUTHENTICATION, f"No {kind} service can be asked.", nothing_sent=True)
    last = next((error for error in reversed(errors) if TABLE[error.category].waits), None)
    if last is None:
        return errors[-1]
    error = ChainUnavailable(
        last.category,
        f"No {kind} service can be used now. {last}",
        provider=last.provider,
        status=last.status,
        retry_after=last.retry_after,
    )
    error.__cause__ = last
    return error
