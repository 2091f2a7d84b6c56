"""Who holds a step, when its worker stops, dies or comes back."""

import signal
import time

from tasks.models import Attempt, Event, Step, Worker

from .mesh import Mesh
from .workers import LEASE_SECONDS, WorkerProcess


def test_it_drops_what_a_worker_writes_that_was_stopped_for_two_leases(mesh: Mesh) -> None:
    mesh.vendors.anthropic.latency = 1.0
    sleeper = mesh.start_worker("sleeper")
    runs = mesh.submit(mesh.network())
    mesh.until(mesh.calls, "a call is in flight")
    sleeper.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    heir = mesh.start_worker("heir")
    mesh.wait_ended(runs)
    mesh.until(lambda: time.monotonic() - stopped > 2 * LEASE_SECONDS, "two leases have passed")
    sleeper.signal(signal.SIGCONT)
    counted = Worker.objects.filter(pid=sleeper.pid, stale_writes=1)
    mesh.until(counted.exists, "the late write is counted")
    [lost] = Attempt.objects.filter(outcome="lease_lost")
    assert Event.objects.filter(step_id=lost.step_id, type="step.completed").count() == 1
    assert mesh.repeats() == 1  # the call that was in flight
    assert heir.alive
    mesh.assert_sound()


def test_it_takes_its_steps_back_at_once_when_its_slot_starts_again(mesh: Mesh) -> None:
    # A lease of a minute: only the slot's name can be the reason.
    old = _killed_in_a_call(mesh, "w1", MESH_LEASE_SECONDS="60")
    began = mesh.start_worker("w1", MESH_LEASE_SECONDS="60")
    step = mesh.until(Step.objects.filter(fence=2, state="running").first, "taken back", 10)
    assert step.owner == Worker.objects.get(pid=began.pid).pk
    assert not old.alive


def test_it_takes_over_from_a_dead_worker_when_the_lease_is_over(mesh: Mesh) -> None:
    mesh.begin_worker("heir")
    mesh.wait_ready(mesh.workers[0])
    mesh.workers[0].signal(signal.SIGSTOP)
    _killed_in_a_call(mesh, "w1")
    lease = Worker.objects.get(slot="w1").lease_until
    mesh.workers[0].signal(signal.SIGCONT)
    step = mesh.until(Step.objects.filter(fence=2).first, "taken over", LEASE_SECONDS + 6)
    assert step.claimed_at
    assert step.claimed_at >= lease


def test_it_leaves_a_slot_to_the_one_who_has_it(mesh: Mesh) -> None:
    mesh.vendors.anthropic.latency = 1.0
    mesh.start_worker("w1")
    runs = mesh.submit(mesh.network())
    mesh.until(mesh.calls, "a call is in flight")
    mesh.start_worker("w1")  # a second one of the same name, by mistake
    mesh.wait_ended(runs)
    assert not Attempt.objects.filter(outcome="lease_lost").exists()
    mesh.assert_sound()


def _killed_in_a_call(mesh: Mesh, slot: str, **env: str) -> WorkerProcess:
    mesh.vendors.anthropic.latency = 2.0
    worker = mesh.start_worker(slot, **env)
    mesh.submit(mesh.network())
    mesh.until(mesh.calls, "a call is in flight")
    worker.kill()
    return worker
