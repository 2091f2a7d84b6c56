"""Voice in Prometheus: calls, turns, interruptions, latencies, quality, what speech services did.

Behind plain functions, so that callers name no Prometheus. Labels are closed sets; where a name comes from
outside, the number of distinct ones a process reports is bounded.
"""

from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import Counter, Gauge, Histogram

from agents.providers.errors import Failure
from voice.pipeline.ports import CallSummary, TurnRecord

_TURN_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 5, 10)
_QUICK_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.1, 0.2, 0.35, 0.5, 1, 2)
_CALL_BUCKETS: Final = (5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_STATES: Final[Mapping[str, int]] = {"closed": 0, "half-open": 1, "open": 2}
_MOST_NAMES: Final = 60

_active = Gauge("mesh_voice_calls_active", "Calls that this process has now.", multiprocess_mode="livesum")
_calls = Counter("mesh_voice_calls", "Calls that ended, by why.", ["reason"])
_call_seconds = Histogram("mesh_voice_call_seconds", "How long calls lasted.", buckets=_CALL_BUCKETS)
_refused = Counter("mesh_voice_refused", "Callers that were turned away, by why.", ["reason"])
_turns = Counter("mesh_voice_turns", "Exchanges; a note is one that the agent began.", ["kind"])
_interruptions = Counter(
    "mesh_voice_interruptions",
    "Times a caller spoke over the agent; false ones were resumed after.",
    ["kind"],
)
_speculations = Counter("mesh_voice_speculations", "Answers begun before the turn had ended.", ["outcome"])
_stage_seconds = Histogram(
    "mesh_voice_turn_seconds",
    "From the caller's last sound to each stage of the answer.",
    ["stage"],
    buckets=_TURN_BUCKETS,
)
_measured_seconds = Histogram(
    "mesh_voice_measured_seconds", "Other times that calls measure.", ["what"], buckets=_QUICK_BUCKETS
)
_barge_in = Histogram(
    "mesh_voice_barge_in_seconds",
    "From the decision that a caller interrupts to the order to be silent.",
    buckets=_QUICK_BUCKETS,
)
_mos = Histogram(
    "mesh_voice_mos", "Estimated listening quality of calls.", buckets=(1.5, 2, 2.5, 3, 3.5, 3.8, 4, 4.2, 4.4)
)
_fallbacks = Counter(
    "mesh_voice_connector_fallbacks",
    "Times a backup speech service was started.",
    ["kind", "from", "to", "reason"],
)
_first_result = Histogram(
    "mesh_voice_connector_first_result_seconds",
    "To the first audio of a clause, or the first words of a caller.",
    ["kind", "connector"],
    buckets=_TURN_BUCKETS,
)
_failures = Counter(
    "mesh_voice_connector_failures", "Speech services' failures.", ["kind", "connector", "failure"]
)
_breaker_state = Gauge(
    "mesh_voice_breaker_state", "0 closed, 1 half open, 2 open.", ["connector"], multiprocess_mode="livemax"
)
_loop_lag = Histogram(
    "mesh_voice_loop_lag_seconds", "How late a voice process's event loop woke up.", buckets=_QUICK_BUCKETS
)
_cost = Counter("mesh_voice_speech_cost_usd", "US dollars by speech service.", ["kind", "connector"])
_log_failed = Counter("mesh_voice_log_failed_writes", "Batches of the call log that must be tried again.")
_log_dropped = Counter("mesh_voice_log_dropped", "Call records that were lost.", ["kind"])
_bus_dropped = Counter("mesh_voice_bus_dropped", "Events that could not be published on NATS.")
_stage_fallbacks = Counter(
    "mesh_voice_stage_fallbacks", "Times a stage outside did not do its work.", ["stage", "reason"]
)

_names: set[str] = set()


def _bounded(name: str) -> str:
    if name in _names or len(_names) < _MOST_NAMES:
        _names.add(name)
        return name
    return "other"


def call_started() -> None:
    """Count a call that this process has from now on."""
    _active.inc()


def call_ended(summary: CallSummary) -> None:
    """Count a call that was started and is over."""
    _active.dec()
    _calls.labels(_bounded(summary.reason)).inc()
    _call_seconds.observe(max(0.0, summary.seconds))
    if summary.mos is not None:
        _mos.observe(summary.mos)
    _interruptions.labels("real").inc(summary.interruptions)
    _interruptions.labels("false").inc(summary.false_interruptions)
    for use in summary.use:
        if use.cost > 0:
            _cost.labels(use.kind, _bounded(use.connector)).inc(use.cost)


def refused(reason: str) -> None:
    """Count a caller who was told that nobody is free, or whose signature or token was wrong."""
    _refused.labels(_bounded(reason)).inc()


def turn(record: TurnRecord) -> None:
    """Count an exchange and how long its stages took."""
    _turns.labels("note" if record.note else "caller").inc()
    for stage, milliseconds in record.latencies.items():
        _stage_seconds.labels(_bounded(stage)).observe(max(0.0, milliseconds / 1000))


def event(type: str, payload: Mapping[str, Any]) -> None:
    """Count what the log tells and no other figure shows."""
    if type == "speculation.kept":
        _speculations.labels("kept").inc()
    elif type == "speculation.dropped":
        _speculations.labels("dropped").inc()
    elif type == "stage.fallback":
        _stage_fallbacks.labels(_bounded(payload["stage"]), payload["reason"]).inc()


def measure(name: str, value: float) -> None:
    """Observe a figure of a call, in milliseconds: `barge_in_ms`, and whatever else calls measure."""
    if name == "barge_in_ms":
        _barge_in.observe(max(0.0, value / 1000))
    else:
        _measured_seconds.labels(_bounded(name.removesuffix("_ms"))).observe(max(0.0, value / 1000))


def loop_lag(seconds: float) -> None:
    """Observe how much later than asked the event loop woke up."""
    _loop_lag.observe(max(0.0, seconds))


def log_failed() -> None:
    """Count a batch of the call log that the database did not take."""
    _log_failed.inc()


def log_dropped(kind: str) -> None:
    """Count a call record that is lost."""
    _log_dropped.labels(kind).inc()


def bus_dropped() -> None:
    """Count an event that was not published."""
    _bus_dropped.inc()


class PrometheusSpeechObserver:
    """The `SpeechObserver` of a process that is scraped."""

    def hedged(self, *, kind: str, slow: str, to: str, reason: str) -> None:
        _fallbacks.labels(kind, _bounded(slow), _bounded(to), _bounded(reason)).inc()

    def first_result(self, *, kind: str, connector: str, milliseconds: float) -> None:
        _first_result.labels(kind, _bounded(connector)).observe(max(0.0, milliseconds / 1000))

    def failed(self, *, kind: str, connector: str, failure: Failure) -> None:
        _failures.labels(kind, _bounded(connector), str(failure)).inc()

    def breaker_changed(self, *, provider: str, identity: str, state: str, cause: Failure | None) -> None:
        _breaker_state.labels(_bounded(provider)).set(_STATES.get(state, _STATES["open"]))
