"""What voice counts and observes, as Prometheus sees it."""

import pytest
from prometheus_client import REGISTRY

from agents.providers.errors import Failure
from voice import metrics
from voice.connectors.types import SpeechUse
from voice.pipeline.ports import CallSummary, TurnRecord


class Change:
    """How much a sample has grown since this was made."""

    def __init__(self, name: str, **labels: str) -> None:
        self._name, self._labels = name, labels
        self._before = self._now()

    def _now(self) -> float:
        return REGISTRY.get_sample_value(self._name, self._labels) or 0.0

    @property
    def value(self) -> float:
        return round(self._now() - self._before, 6)


def summary(reason: str = "idle") -> CallSummary:
    return CallSummary(reason, 30.0, 2, 3, 1, 4.2, (SpeechUse("azure", "tts", characters=10, cost=0.25),))


def test_it_counts_calls_while_they_are_there_and_when_they_end() -> None:
    active = Change("mesh_voice_calls_active")
    ended = Change("mesh_voice_calls_total", reason="idle")
    seconds = Change("mesh_voice_call_seconds_sum")
    mos = Change("mesh_voice_mos_sum")
    metrics.call_started()
    assert (active.value, ended.value) == (1, 0)
    metrics.call_ended(summary())
    assert (active.value, ended.value, seconds.value, mos.value) == (0, 1, 30, 4.2)


def test_it_tells_real_interruptions_from_false_ones() -> None:
    real = Change("mesh_voice_interruptions_total", kind="real")
    false = Change("mesh_voice_interruptions_total", kind="false")
    cost = Change("mesh_voice_speech_cost_usd_total", kind="tts", connector="azure")
    metrics.call_started()
    metrics.call_ended(summary())
    assert (real.value, false.value, cost.value) == (3, 1, 0.25)


def test_it_observes_the_stages_of_a_turn() -> None:
    turns, notes = (
        Change("mesh_voice_turns_total", kind="caller"),
        Change("mesh_voice_turns_total", kind="note"),
    )
    first = Change("mesh_voice_turn_seconds_sum", stage="first_frame")
    metrics.turn(TurnRecord(1, "", "", "", latencies={"first_frame": 420.0}))
    metrics.turn(TurnRecord(2, "", "", "", note=True))
    assert (turns.value, notes.value, first.value) == (1, 1, 0.42)


@pytest.mark.parametrize(
    ("name", "sample", "labels"),
    [
        ("barge_in_ms", "mesh_voice_barge_in_seconds_sum", {}),
        ("onset_ms", "mesh_voice_measured_seconds_sum", {"what": "onset"}),
    ],
)
def test_it_observes_what_calls_measure(name: str, sample: str, labels: dict[str, str]) -> None:
    change = Change(sample, **labels)
    metrics.measure(name, 50.0)
    assert change.value == 0.05


def test_it_counts_speculation() -> None:
    kept = Change("mesh_voice_speculations_total", outcome="kept")
    dropped = Change("mesh_voice_speculations_total", outcome="dropped")
    for type_ in ("speculation.kept", "speculation.dropped", "speculation.dropped", "turn.started"):
        metrics.event(type_, {})
    assert (kept.value, dropped.value) == (1, 2)


def test_it_observes_speech_services() -> None:
    observer = metrics.PrometheusSpeechObserver()
    labels = {"kind": "tts", "from": "azure", "to": "local", "reason": "late"}
    hedged = Change("mesh_voice_connector_fallbacks_total", **labels)
    failed = Change(
        "mesh_voice_connector_failures_total", kind="stt", connector="deepgram", failure="connection"
    )
    first = Change("mesh_voice_connector_first_result_seconds_sum", kind="tts", connector="azure")
    observer.hedged(kind="tts", slow="azure", to="local", reason="late")
    observer.failed(kind="stt", connector="deepgram", failure=Failure.CONNECTION)
    observer.first_result(kind="tts", connector="azure", milliseconds=90.0)
    observer.breaker_changed(provider="azure", identity="azure|x", state="open", cause=None)
    assert (hedged.value, failed.value, first.value) == (1, 1, 0.09)
    assert REGISTRY.get_sample_value("mesh_voice_breaker_state", {"connector": "azure"}) == 2


def test_it_counts_who_was_turned_away_and_what_was_lost() -> None:
    refused = Change("mesh_voice_refused_total", reason="full")
    lost = Change("mesh_voice_log_dropped_total", kind="event")
    failed = Change("mesh_voice_log_failed_writes_total")
    lag = Change("mesh_voice_loop_lag_seconds_sum")
    metrics.refused("full")
    metrics.log_dropped("event")
    metrics.log_failed()
    metrics.loop_lag(0.02)
    assert (refused.value, lost.value, failed.value, lag.value) == (1, 1, 1, 0.02)


def test_it_bounds_the_names_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_names", set())
    other = Change("mesh_voice_calls_total", reason="other")
    for n in range(metrics._MOST_NAMES + 5):
        metrics.call_started()
        metrics.call_ended(CallSummary(f"made_up_{n}", 1, 0, 0, 0, None))
    assert other.value == 5
