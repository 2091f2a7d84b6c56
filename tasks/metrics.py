"""The engine's counters and histograms, behind plain functions so that the engine names no Prometheus.

Labels are closed sets (states, kinds, planners): an id here would make a time series per run. Figures that
the database knows better (queue depth, live workers) are asked of it at scrape time, by `meshsite.metrics`.
"""

from prometheus_client import Counter, Gauge, Histogram

_STEP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_QUEUE_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_RUN_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 86_400)
_LAG_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)

_runs = Counter("mesh_runs_finished", "Runs that reached a terminal state.", ["state", "planner"])
_run_seconds = Histogram(
    "mesh_run_seconds", "From a run's start to its end.", ["state", "planner"], buckets=_RUN_BUCKETS
)
_steps = Counter("mesh_steps", "Attempts of steps that ended, by outcome.", ["kind", "outcome"])
_step_seconds = Histogram(
    "mesh_step_seconds", "From a step's claim to its end.", ["kind"], buckets=_STEP_BUCKETS
)
_queued_seconds = Histogram(
    "mesh_step_queued_seconds", "From a step becoming ready to its claim.", ["kind"], buckets=_QUEUE_BUCKETS
)
_claims = Counter("mesh_claims", "Claim statements, by whether they won any step.", ["result"])
_claimed = Counter("mesh_steps_claimed", "Steps claimed.")
_stale_writes = Counter("mesh_stale_writes", "Writes dropped because the step's fence had moved on.")
_leases_lost = Counter("mesh_leases_lost", "Steps taken from a worker whose lease ran out.")
_hints = Counter("mesh_hints", "Wake-up messages to the broker.", ["result"])
# In multiprocess mode a gauge is summed or maximised over the processes that still live.
_in_flight = Gauge("mesh_steps_in_flight", "Steps that this process runs now.", multiprocess_mode="livesum")
_loop_lag = Histogram("mesh_loop_lag_seconds", "How late the event loop woke up.", buckets=_LAG_BUCKETS)
_events = Counter("mesh_events", "Events appended to run logs.")


def run_finished(state: str, planner: str, seconds: float) -> None:
    """Count a run that ended as `state` after `seconds`."""
    _runs.labels(state, planner).inc()
    _run_seconds.labels(state, planner).observe(max(0.0, seconds))


def step_finished(kind: str, outcome: str, seconds: float, queued_seconds: float) -> None:
    """Count an attempt that ended; `outcome` is one of `Attempt.Outcome`."""
    _steps.labels(kind, outcome).inc()
    _step_seconds.labels(kind).observe(max(0.0, seconds))
    _queued_seconds.labels(kind).observe(max(0.0, queued_seconds))


def claimed(count: int) -> None:
    """Count one claim statement and the steps it won; zero is a lost race or an empty queue."""
    _claims.labels("won" if count else "empty").inc()
    if count:
        _claimed.inc(count)


def stale_write() -> None:
    """Count a write that changed no row because another worker or a cancel had moved the fence."""
    _stale_writes.inc()


def lease_lost(count: int = 1) -> None:
    """Count steps that the sweeper took back from a dead or stopped worker."""
    if count > 0:
        _leases_lost.inc(count)


def hint_published() -> None:
    """Count a hint that the broker accepted."""
    _hints.labels("published").inc()


def hint_dropped() -> None:
    """Count a hint given up because the queue was full or the broker silent; the sweep finds the step."""
    _hints.labels("dropped").inc()


def steps_in_flight(count: int) -> None:
    """Set how many steps this process runs."""
    _in_flight.set(count)


def loop_lag(seconds: float) -> None:
    """Observe how much later than asked the event loop woke up."""
    _loop_lag.observe(max(0.0, seconds))


def events_appended(count: int) -> None:
    """Count lines added to event logs."""
    if count > 0:
        _events.inc(count)
