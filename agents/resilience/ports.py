"""What the wrappers ask of the world: a journal to write into, a catalogue and credentials to look up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from agents.providers.errors import Failure
from agents.providers.types import Capabilities, ModelRequest, Reply, Usage


@dataclass(frozen=True, slots=True)
class CallStart:
    """One request to one provider, about to be sent. `model` is the catalogue id that will be asked."""

    provider: str
    model: str
    requested_model: str
    request: ModelRequest
    estimated_cost: float = 0.0  # US dollars, the most it is expected to cost


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended. A failure that was not sent costs nothing; an unknown one its estimate."""

    call_id: str
    state: Literal["succeeded", "failed", "cancelled"]
    latency_ms: float
    reply: Reply | None = None
    failure: Failure | None = None
    message: str = ""
    status: int | None = None
    usage: Usage = field(default_factory=Usage)
    cost: float = 0.0
    first_token_ms: float | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class PastTry:
    """A journaled try of this turn in the present pass over the chain; `failure` None: outcome unknown."""

    provider: str
    model: str
    failure: Failure | None


class CallJournal(Protocol):
    """Where calls are written before they are sent and settled when they end."""

    async def begin(self, start: CallStart) -> str:
        """Write the call, return its id. Raises when the right to call is lost; then nothing may be sent."""
        ...

    async def settle(self, end: CallEnd) -> None: ...

    def past_tries(self) -> Sequence[PastTry]:
        """The tries to resume after, oldest first; empty at the first pass."""
        ...

    def note(self, event_type: str, payload: Mapping[str, Any]) -> None:
        """Remember an event (`model.fallback`, `breaker.opened`) to be written with the next record."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key may ask of a model in a minute, over all workers. None is unlimited."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A catalogue entry: `id` is what the provider is asked for."""

    id: str
    provider: str
    tier: str
    capabilities: Capabilities
    limits: Limits = field(default_factory=Limits)


class Catalogue(Protocol):
    def resolve(self, name: str) -> ModelInfo | None:
        """Look up an id or an alias."""
        ...

    def default_chain(self, tier: str = "standard") -> Sequence[str]:
        """The order in which models of a tier are tried."""
        ...


@dataclass(frozen=True, slots=True)
class Credential:
    """How to reach a provider. `fingerprint` tells keys apart without telling the key."""

    api_key: str
    base_url: str
    fingerprint: str
    model: str = ""


class Credentials(Protocol):
    def get(self, project_id: str, provider: str) -> Credential | None:
        """The project's own key, else the installation's, else None: the provider is skipped."""
        ...


class CallObserver(Protocol):
    """Metrics. Called on the event loop: be quick, and do not raise."""

    def call_finished(self, start: CallStart, end: CallEnd) -> None: ...

    def fallback(self, *, from_model: str, to_model: str, failure: Failure) -> None: ...

    def breaker_changed(self, *, provider: str, identity: str, state: str, cause: Failure | None) -> None:
        """`state` is closed, open or half-open; `identity` tells keys apart without telling them."""
        ...


class NullObserver:
    """An observer that looks away."""

    def call_finished(self, start: CallStart, end: CallEnd) -> None: ...

    def fallback(self, *, from_model: str, to_model: str, failure: Failure) -> None: ...

    def breaker_changed(self, *, provider: str, identity: str, state: str, cause: Failure | None) -> None: ...
