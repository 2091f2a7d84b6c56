"""`/metrics`: what it shows, from which processes, and to whom."""

import os
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from meshsite import metrics
from tasks.models import Run, Step, Worker
from tests.integration.admin_world import make_world


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    return samples(text)[name, frozenset(labels.items())]


@pytest.fixture(autouse=True)
def fresh(settings: Any) -> None:
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    metrics.queue._read_at = float("-inf")


@pytest.mark.django_db
def test_it_counts_the_queue_in_the_database() -> None:
    make_world(runs=2, steps=3)
    Step.objects.filter(key="s0").update(state="ready")
    Run.objects.filter(pk=Run.objects.first().pk).update(state="succeeded")  # type: ignore[union-attr]
    Worker.objects.create(
        slot="gone", host="h", pid=2, lease_until="2020-01-01T00:00Z", started_at="2020-01-01T00:00Z"
    )
    text = Client().get("/metrics").content.decode()
    assert value(text, "mesh_database_up") == 1
    assert value(text, "mesh_runs", state="running") == 1
    assert value(text, "mesh_steps_queued", state="ready") == 1  # those of an ended run do not count
    assert value(text, "mesh_steps_queued", state="waiting") == 2
    assert value(text, "mesh_workers", state="serving") == 1
    assert value(text, "mesh_oldest_ready_seconds") > 0


@pytest.mark.django_db
def test_it_asks_the_database_once_in_two_seconds() -> None:
    with CaptureQueriesContext(connection) as captured:
        for _ in range(5):
            metrics.render(with_queue=True)
    assert len(captured) == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("", 401),
        ("Bearer wrong", 401),
        ("Basic the-token-of-the-scraper", 401),
        ("Bearer the-token-of-the-scraper", 200),
    ],
)
def test_it_guards_the_scrape_by_a_token(settings: Any, header: str, status: int) -> None:
    settings.METRICS_TOKEN = "the-token-of-the-scraper"
    assert Client().get("/metrics", headers={"Authorization": header}).status_code == status


PROCESS = """
    import os, sys, time
    sys.path.insert(0, os.getcwd())
    from agents.metrics import PrometheusObserver
    from agents.providers.errors import Failure
    from tasks import metrics
    metrics.step_finished("delegate", "succeeded", 0.5, 0.01)
    metrics.steps_in_flight(3)
    PrometheusObserver().fallback(from_model="a", to_model="b", failure=Failure.OVERLOADED)
    print("ready", flush=True)
    sys.stdin.read()
"""


def worker_process(directory: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROCESS)],
        env=os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(directory)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_it_shows_all_processes_and_forgets_the_gauges_of_dead_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    one, two = worker_process(tmp_path), worker_process(tmp_path)
    try:
        text = metrics.render(with_queue=False).decode()
        assert value(text, "mesh_steps_total", kind="delegate", outcome="succeeded") == 2
        assert value(text, "mesh_steps_in_flight") == 6
        fallback = {"from": "a", "to": "b", "failure": "overloaded"}
        assert value(text, "mesh_model_fallbacks_total", **fallback) == 2
        one.kill()
        one.wait()
        text = metrics.render(with_queue=False).decode()
        assert (
            value(text, "mesh_steps_total", kind="delegate", outcome="succeeded") == 2
        )  # what was done stays done
        assert value(text, "mesh_steps_in_flight") == 3
    finally:
        for process in (one, two):
            process.kill()
            process.communicate()


def test_it_answers_on_a_port_of_its_own_where_no_disk_is_shared(settings: Any, unused_tcp_port: int) -> None:
    settings.METRICS_TOKEN = "the-token-of-the-scraper"
    stop = metrics.serve(unused_tcp_port, "127.0.0.1")
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{unused_tcp_port}/metrics")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(request, timeout=5)
        request.add_header("Authorization", "Bearer the-token-of-the-scraper")
        with urllib.request.urlopen(request, timeout=5) as answer:
            text = answer.read().decode()
        assert "mesh_steps_in_flight" in text
        assert "mesh_database_up" not in text  # the web tells it once; a sum over workers would be wrong
    finally:
        stop()


def test_it_works_on_when_its_port_is_taken(settings: Any, unused_tcp_port: int) -> None:
    settings.MESH_METRICS_PORT = unused_tcp_port
    stop = metrics.serve(unused_tcp_port)
    try:
        metrics.serve_web()
    finally:
        stop()


def test_it_keeps_made_up_model_names_from_making_series_without_end() -> None:
    from agents.metrics import _Names

    names = _Names(limit=2)
    assert [names(name) for name in ("a", "b", "c", "a")] == ["a", "b", "other", "a"]


@pytest.mark.django_db
def test_it_scrapes_quickly_with_a_long_history() -> None:
    make_world(runs=1)
    started = time.perf_counter()
    metrics.render(with_queue=True)
    assert time.perf_counter() - started < 5  # a guard against a scan of all tables, not a measurement
