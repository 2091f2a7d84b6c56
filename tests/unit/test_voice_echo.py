"""The agent's own voice is not taken for the caller's."""

import numpy as np
import pytest

from voice.pipeline.echo import FLOOR_DB, EchoGuard


def _agent(at: float) -> float:
    """Syllables of 180 ms, a quarter of them pauses."""
    random = np.random.default_rng(max(0, int(at // 180)))
    return float(-18 + random.normal(0, 4)) if at > 0 and random.random() < 0.75 else -96.0


def _echo(at: float, delay: float, loss: float) -> float:
    parts = [10 ** (_agent(at - delay - back) / 10) for back in (0, 8, 16, 24)]
    return float(10 * np.log10(np.mean(parts) * 10 ** (-loss / 10) + 1e-6))


def _listen(guard: EchoGuard, delay: float, loss: float, windows: int = 600) -> int:
    over = 0
    for window in range(windows):
        at = window * 32.0
        level = _echo(at, delay, loss)
        over += level > guard.window(at, level)
    return over


@pytest.mark.parametrize("delay", [120, 250, 400])
def test_it_does_not_take_an_echo_for_a_caller(delay: float) -> None:
    guard = EchoGuard(_agent)
    assert _listen(guard, delay, 25) <= 3  # of 600 windows, each by itself far from an interruption
    assert guard.delay_ms == pytest.approx(delay, abs=40)
    assert guard.loss_db == pytest.approx(25, abs=3)


def test_it_learns_a_loud_echo() -> None:
    guard = EchoGuard(_agent)
    _listen(guard, 250, 10, windows=100)
    assert _listen(guard, 250, 10) < 12
    assert guard.loss_db == pytest.approx(10, abs=3)


def test_it_lets_a_soft_caller_interrupt_where_there_is_no_echo() -> None:
    guard = EchoGuard(_agent)
    _listen(guard, 100, 90)
    assert guard.window(600 * 32.0, -96.0) <= -40


def test_it_still_hears_a_caller_after_one_has_spoken() -> None:
    guard = EchoGuard(_agent)
    _listen(guard, 250, 25)
    for window in range(600, 630):
        guard.window(window * 32.0, -20.0)  # a second of both at once
    assert guard.window(630 * 32.0, -96.0) < -24


def test_it_learns_an_echo_that_begins_on_a_quiet_line() -> None:
    guard = EchoGuard(_agent)
    for window in range(600):
        guard.window(window * 32.0, -96.0)
    assert guard.loss_db > 60
    for window in range(600, 700):  # the telephone is put on the table
        guard.window(window * 32.0, _echo(window * 32.0, 250, 25))
    over = 0
    for window in range(700, 1300):
        level = _echo(window * 32.0, 250, 25)
        over += level > guard.window(window * 32.0, level)
    assert over <= 3
    assert guard.delay_ms == pytest.approx(250, abs=40)


def test_it_asks_for_little_while_the_agent_is_silent() -> None:
    guard = EchoGuard(lambda at: -96.0)
    assert guard.window(1000, -20.0) == FLOOR_DB
