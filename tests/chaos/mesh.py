"""A mesh under test: a project with networks, worker processes, simulated vendors, and the last word on it."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from agents.models import ModelCall
from agents.services import create_network_with_agents
from networks.models import Network, Project
from networks.services import create_project
from tasks.lifecycle import start_run
from tasks.models import Attempt, Event, Run, Step, Task, Worker
from tasks.store.invariants import check
from tests.fakes.vendor import Call
from tests.fakes.vendor_server import Vendors

from .workers import LEASE_SECONDS, SWEEP_SECONDS, WorkerProcess

T = TypeVar("T")
KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "google": "GEMINI_API_KEY"}
CLAUDE, CLAUDE_GPT, CLAUDE_GPT_GEMINI = "anthropic", "anthropic openai", "anthropic openai google"
ENDED = ("succeeded", "failed", "cancelled")
BRIEF = "Plan an email campaign for the launch, its layout, the metrics and the audience segments"


class Mesh:
    """Everything a chaos test has in hand. The database is Django's, which the workers use as well."""

    def __init__(self, *, database_url: str, redis_url: str, vendors: Vendors, folder: Path) -> None:
        self.vendors = vendors
        self.workers: list[WorkerProcess] = []
        self.project: Project = create_project(name="Chaos")
        self._folder = folder
        self._env = {
            "DJANGO_SETTINGS_MODULE": "meshsite.settings",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "MESH_LEASE_SECONDS": str(LEASE_SECONDS),
            "MESH_SWEEP_SECONDS": str(SWEEP_SECONDS),
            "MESH_LOG_FORMAT": "json",
            "MESH_EGRESS_ALLOW": "127.0.0.1",
            "ANTHROPIC_BASE_URL": vendors.anthropic.url,
            "OPENAI_BASE_URL": vendors.openai.url,
            "GOOGLE_GEMINI_BASE_URL": vendors.google.url,
        }

    # --- processes ----------------------------------------------------------------------------------

    def begin_worker(
        self, slot: str = "w1", *, crash: str = "", keys: str = CLAUDE, **env: str
    ) -> WorkerProcess:
        """Start a worker and return at once. `crash` arms a crash point: `name:count`.

        `keys` are the vendors it may ask; each costs the import of its SDK.
        """
        log = self._folder / f"{len(self.workers)}-{slot}.log"
        given = {KEYS[vendor]: f"key-of-{vendor}" for vendor in keys.split()}
        worker = WorkerProcess(slot, {**self._env, **given, "MESH_CRASH": crash, **env}, log)
        self.workers.append(worker)
        return worker

    def start_worker(self, slot: str = "w1", **options: str) -> WorkerProcess:
        """Start a worker and wait until it claims."""
        worker = self.begin_worker(slot, **options)
        self.wait_ready(worker)
        return worker

    def start_workers(self, *slots: str, **options: str) -> list[WorkerProcess]:
        """Start several at once: their start is what takes time."""
        workers = [self.begin_worker(slot, **options) for slot in slots]
        for worker in workers:
            self.wait_ready(worker)
        return workers

    def wait_ready(self, worker: WorkerProcess) -> None:
        self.until(
            lambda: Worker.objects.filter(pid=worker.pid).exists() or not worker.alive, f"{worker.slot} ready"
        )

    def wait_dead(self, worker: WorkerProcess, seconds: float = 20) -> None:
        self.until(lambda: not worker.alive, f"{worker.slot} dies", seconds)

    def stop(self) -> None:
        for worker in self.workers:
            worker.kill()

    def via(self, vendor: str, port: int) -> str:
        """A vendor's base URL by way of another port."""
        return urlsplit(self.vendors.all[vendor].url)._replace(netloc=f"127.0.0.1:{port}").geturl()

    # --- work ---------------------------------------------------------------------------------------

    def network(
        self, *, project: Project | None = None, agents: Sequence[Mapping[str, Any]] = (), **fields: Any
    ) -> Network:
        """Make a network; without agents it has the five defaults."""
        fields.setdefault("name", "Chaos network")
        return create_network_with_agents(project=project or self.project, agents=agents, **fields)[0]

    def submit(
        self, network: Network, count: int = 1, *, description: str = BRIEF, **fields: Any
    ) -> list[Run]:
        """Create tasks and start them. Each says its own words, so that no two ask a vendor the same."""
        return [
            start_run(task=self.task(network, f"{description} ({number})", **fields))
            for number in range(1, count + 1)
        ]

    def task(self, network: Network, description: str = BRIEF, **fields: Any) -> Task:
        return Task.objects.create(
            project_id=network.project_id, network=network, description=description, **fields
        )

    # --- waiting ------------------------------------------------------------------------------------

    def until(self, condition: Callable[[], T | None], what: str, seconds: float = 75.0) -> T:
        """Wait until a condition holds and return its value; the only waiting there is."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {what}")
            time.sleep(0.03)
        return value

    def wait_ended(self, runs: Iterable[Run], seconds: float = 60.0, state: str = "succeeded") -> list[Run]:
        """Wait until all of the runs have ended, and as what."""
        ids = [run.pk for run in runs]
        ended = Run.objects.filter(pk__in=ids, state__in=ENDED)
        self.until(lambda: ended.count() == len(ids), f"{len(ids)} runs ended", seconds)
        rows = list(ended.order_by("pk"))
        assert {run.state for run in rows} == {state}, [
            (run.state, run.error_code, run.error_detail) for run in rows
        ]
        return rows

    def wait_waiting(self, run: Run, reason: str, seconds: float = 75.0) -> Run:
        waiting = Run.objects.filter(pk=run.pk, state="waiting", wait_reason=reason)
        return self.until(waiting.first, f"the run waits for {reason}", seconds)

    @staticmethod
    def clock() -> float:
        return time.monotonic()

    # --- what happened ------------------------------------------------------------------------------

    def calls(self, vendor: str | None = None) -> list[Call]:
        """The requests that vendors saw, oldest first."""
        chosen = [self.vendors.all[vendor]] if vendor else self.vendors.all.values()
        return sorted((call for one in chosen for call in list(one.calls)), key=lambda call: call.at)

    def events(self, run: Run) -> list[str]:
        return list(Event.objects.filter(run=run).order_by("seq").values_list("type", flat=True))

    def repeats(self) -> int:
        """How many calls vendors completed beyond the first of the same request."""
        complete = [call.body_sha256 for call in self.calls() if call.complete and call.status == 200]
        return len(complete) - len(set(complete))

    def paid_again(self) -> int:
        """Calls that were sent although a reply to their turn had been committed."""
        replies = ModelCall.objects.filter(state="succeeded").values_list("step_id", "turn", "finished_at")
        return sum(
            ModelCall.objects.filter(step_id=step, turn=turn, started_at__gt=at).count()
            for step, turn, at in replies
        )

    def assert_sound(self) -> None:
        """`check_invariants`, with the vendors' own lists."""
        calls = {
            name: [call.to_json() for call in list(vendor.calls)] for name, vendor in self.vendors.all.items()
        }
        del calls["local"]
        findings = check(lease_seconds=LEASE_SECONDS, sweep_seconds=SWEEP_SECONDS, vendor_calls=calls)
        broken = {finding.rule: finding.offenders for finding in findings if finding.offenders}
        assert not broken, broken
        assert self.paid_again() == 0

    def story(self) -> str:
        """What a failed test leaves to read: runs that did not succeed, what was lost, the workers' last words."""
        lines = []
        for run in Run.objects.exclude(state="succeeded")[:5]:
            lines.append(f"{run.pk} {run.state} {run.wait_reason} {run.error_code} {run.error_detail}")
            for step in Step.objects.filter(run=run):
                lines.append(
                    f"  {step.key} {step.state} {step.wait_reason} owner={step.owner} fence={step.fence}"
                    f" crashes={step.crashes} releases={step.releases} {step.error_code} {step.error_detail}"
                )
        lost = Attempt.objects.exclude(outcome="succeeded").order_by("id")[:20]
        lines += [
            f"{one} by {one.worker} {one.started_at:%T.%f} to {one.finished_at:%T.%f} {one.detail}"
            for one in lost
        ]
        return "\n".join([*lines, *(worker.tail() for worker in self.workers)])
