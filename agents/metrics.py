"""What model calls cost in time, tokens and money, as Prometheus metrics.

Provider and model are labels. A compatible server can be asked for any model name, so the number of
distinct names a process reports is bounded; the rest is counted as `other`.
"""

import threading
from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

from agents.providers.errors import Failure
from agents.resilience.ports import CallEnd, CallStart

_MAX_NAMES = 200
_CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)
BREAKER_STATES: Mapping[str, int] = {"closed": 0, "half-open": 1, "open": 2}

_calls = Counter(
    "mesh_model_calls", "Requests to model providers, by how they ended.", ["provider", "model", "outcome"]
)
_call_seconds = Histogram(
    "mesh_model_call_seconds",
    "From sending a request to its last byte.",
    ["provider", "model"],
    buckets=_CALL_BUCKETS,
)
_first_token_seconds = Histogram(
    "mesh_model_first_token_seconds",
    "From sending a request to its first token.",
    ["provider", "model"],
    buckets=_CALL_BUCKETS,
)
_tokens = Counter(
    "mesh_model_tokens",
    "Tokens by the vendor's count; input includes cached, output reasoning.",
    ["provider", "model", "kind"],
)
_cost = Counter("mesh_model_cost_usd", "US dollars by the catalogue's prices.", ["provider", "model"])
_fallbacks = Counter(
    "mesh_model_fallbacks", "Times a chain went on to its next model.", ["from", "to", "failure"]
)
# Each process keeps its own copy of a breaker; the worst state among the live ones is shown.
_breaker_state = Gauge(
    "mesh_breaker_state", "0 closed, 1 half open, 2 open.", ["breaker"], multiprocess_mode="livemax"
)
_breaker_transitions = Counter(
    "mesh_breaker_transitions", "Changes of a breaker's state.", ["breaker", "state", "cause"]
)


class _Names:
    """Lets the first so many distinct names through and calls every later one `other`."""

    def __init__(self, limit: int = _MAX_NAMES) -> None:
        self._limit = limit
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, name: str) -> str:
        if name in self._seen:
            return name
        with self._lock:
            if len(self._seen) < self._limit:
                self._seen.add(name)
                return name
        return "other"


_model = _Names()
_breaker = _Names()


class PrometheusObserver:
    """The `CallObserver` of a process that is scraped."""

    def call_finished(self, start: CallStart, end: CallEnd) -> None:
        provider, model = start.provider, _model(start.model)
        _calls.labels(provider, model, str(end.failure or end.state)).inc()
        _call_seconds.labels(provider, model).observe(max(0.0, end.latency_ms / 1000))
        if end.first_token_ms is not None:
            _first_token_seconds.labels(provider, model).observe(max(0.0, end.first_token_ms / 1000))
        for kind in ("input", "output", "cached", "reasoning"):
            if count := getattr(end.usage, kind):
                _tokens.labels(provider, model, kind).inc(count)
        if end.cost > 0:
            _cost.labels(provider, model).inc(end.cost)

    def fallback(self, *, from_model: str, to_model: str, failure: Failure) -> None:
        _fallbacks.labels(_model(from_model), _model(to_model), str(failure)).inc()

    def breaker_changed(self, *, provider: str, identity: str, state: str, cause: Failure | None) -> None:
        name = _breaker(identity if identity.startswith(provider) else f"{provider} {identity}")
        _breaker_state.labels(name).set(BREAKER_STATES.get(state, BREAKER_STATES["open"]))
        _breaker_transitions.labels(name, state, str(cause or "")).inc()
