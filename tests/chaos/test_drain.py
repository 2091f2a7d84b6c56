"""Workers that are sent away finish what they hold: a rolling restart costs nothing."""

import signal

from tasks.models import Attempt, Worker

from .mesh import BRIEF, Mesh


def test_it_restarts_under_load_without_a_trace(mesh: Mesh) -> None:
    mesh.vendors.anthropic.latency = 0.3
    old = mesh.start_workers("w1", "w2")
    network = mesh.network()
    runs = mesh.submit(network, 6)
    for number, worker in enumerate(old):
        mesh.until(lambda: len(mesh.calls()) >= 4, "work is under way")
        worker.signal(signal.SIGTERM)
        runs += mesh.submit(network, 2, description=f"{BRIEF}, wave {number}")
        mesh.wait_dead(worker, 75)
        mesh.start_worker(worker.slot)
    mesh.wait_ended(runs)
    assert [worker.process.returncode for worker in old] == [0, 0]
    assert mesh.repeats() == 0
    assert len(mesh.calls()) == 6 * len(runs)
    assert not Attempt.objects.exclude(outcome="succeeded").exists()
    assert Worker.objects.count() == 2  # those who left have signed off
    mesh.assert_sound()
