"""Workers are killed at random and come back under their names; everything ends, and nothing is paid twice."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agents.models import ModelCall
from tasks.models import Run, Step, Worker

from .mesh import ENDED, Mesh
from .workers import WorkerProcess

SLOTS = ("s1", "s2", "s3", "s4")


@dataclass
class Storm:
    """Kills a ready worker at random and starts its slot again, `kills` times over `tasks` tasks."""

    mesh: Mesh
    tasks: int
    kills: int
    at_once: int = 6  # tasks that are kept in the works
    in_flight: int = 0  # calls that were open in the workers that were killed

    def blow(self, dice: random.Random) -> list[Run]:
        begin = self.beginning()
        workers = {slot: self.mesh.begin_worker(slot) for slot in SLOTS}
        runs: list[Run] = []
        killed = 0
        while killed < self.kills or len(runs) < self.tasks:
            # Tasks are spread over the storm: the last ones come with the last kills.
            due = self.tasks if killed >= self.kills else 1 + killed * self.tasks // self.kills
            for number in range(len(runs) + 1, due + 1):
                runs += begin(number)
            if killed < self.kills:
                victim = self.mesh.until(
                    lambda: self._ready(list(workers.values()), dice), "a worker to kill"
                )
                self._kill(victim)
                workers[victim.slot] = self.mesh.begin_worker(victim.slot)
                killed += 1
            self.mesh.until(self._keeps_pace, "the runs keep pace", 90)
        return runs

    def beginning(self) -> Callable[[int], list[Run]]:
        """Return what starts the runs, by their numbers."""
        network = self.mesh.network()

        def begin(number: int) -> list[Run]:
            brief = f"Plan the email campaign number {number} of a launch"
            return self.mesh.submit(network, description=brief)

        return begin

    def look_after(self) -> None:
        """Do what people do meanwhile."""

    def over(self) -> bool:
        """Whether every run has ended."""
        return self._left() == 0

    def _keeps_pace(self) -> bool:
        return self._left() <= self.at_once

    def _left(self) -> int:
        self.look_after()
        return Run.objects.exclude(state__in=ENDED).count()

    def _ready(self, workers: list[WorkerProcess], dice: random.Random) -> WorkerProcess | None:
        """Choose among those that claim; one worker is always left alone."""
        ready = set(
            Worker.objects.filter(pid__in=[worker.pid for worker in workers]).values_list("pid", flat=True)
        )
        return dice.choice([worker for worker in workers if worker.pid in ready]) if len(ready) > 1 else None

    def _kill(self, victim: WorkerProcess) -> None:
        victim.signal(signal.SIGSTOP)  # so that what is counted is what is lost
        owner = Worker.objects.get(pid=victim.pid).pk
        self.in_flight += ModelCall.objects.filter(owner=owner, state="started").count()
        victim.kill()


def ride_out(mesh: Mesh, storm: Storm) -> str:
    mesh.vendors.anthropic.latency = 0.25
    runs = storm.blow(random.Random(7))
    mesh.until(storm.over, "the runs ended", 120)
    mesh.wait_ended(runs)
    mesh.assert_sound()
    assert mesh.repeats() <= storm.in_flight
    crashes = Step.objects.filter(crashes__gt=0)
    return (
        f"{storm.kills} kills over {storm.tasks} tasks: {crashes.count()} steps lost their worker; "
        f"{storm.in_flight} calls in flight at the kills, {mesh.repeats()} completed twice at the vendor, "
        f"{mesh.paid_again()} made again after their reply was committed"
    )


def test_it_rides_out_a_storm_of_kills(mesh: Mesh) -> None:
    print(ride_out(mesh, Storm(mesh, tasks=20, kills=12)))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_it_rides_out_a_hundred_kills(mesh: Mesh) -> None:
    print(ride_out(mesh, Storm(mesh, tasks=50, kills=100)))
