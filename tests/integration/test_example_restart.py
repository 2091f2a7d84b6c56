"""The example that waits for a person, through the front door: everything is stopped and started while it waits."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.service import request_json
from tests.integration.processes import ROOT, until
from tests.integration.test_supervisor import free_port

KEY = "restart-key-of-no-worth-0123456789"
NAME = "Campaign brief with approval"


class Product:
    """`manage.py up` on one data directory, as often as it is started."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self._env = {
            **{
                name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")
            },
            "PORT": str(port),
            "PUBLIC_BASE_URL": f"http://localhost:{port}",
            "MESH_DATA_DIR": str(data_dir),
            "MESH_API_KEY": KEY,
            "MESH_LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "meshsite.settings",
        }
        self._url = f"http://localhost:{port}"
        self._log = data_dir / "up.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--workers", "1"],
                env=self._env,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        until(self._works, "a worker is there", 90)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return request_json(method, self._url + path, body, {"Authorization": f"Bearer {KEY}"})

    def _works(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()[-3000:]
        try:
            return bool(self.ask("GET", "/api/mesh/health")["workers"]["alive"])
        except OSError:
            return False


@pytest.fixture
def product() -> Iterator[Product]:
    with tempfile.TemporaryDirectory(prefix="mesh-restart-") as folder:
        Path(folder).chmod(0o711)
        product = Product(Path(folder), free_port())
        yield product
        product.stop()


def ended(steps: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {step["id"]: step for step in steps if step["status"] == "completed"}


def test_it_goes_on_after_everything_was_stopped(product: Product) -> None:
    product.start()
    [workflow] = [one for one in product.ask("GET", "/api/workflows") if one["name"] == NAME]
    given = {"input": {"product": "TechPro X1", "audience": "commuters", "budget": 40_000}}
    run = product.ask("POST", f"/api/workflows/{workflow['id']}/runs", given)["run_id"]

    def waits() -> Any:
        found = product.ask("GET", f"/api/runs/{run}")
        assert found["status"] in ("in_progress", "waiting_approval"), found["error"]
        return found if found["status"] == "waiting_approval" else None

    until(waits, "somebody is asked", 30)
    before = waits()
    product.stop()
    product.start()
    [approval] = product.ask("GET", f"/api/approvals?status=pending&run_id={run}")
    product.ask("POST", f"/api/approvals/{approval['id']}/approve", {"comment": "Good."})
    after = product.ask("GET", f"/api/runs/{run}?wait=30")
    assert after["status"] == "completed"
    steps = ended(after["steps"])
    assert {id_: steps[id_] for id_ in ended(before["steps"])} == ended(before["steps"]), "none was repeated"
    assert len({step["key"] for step in after["steps"]}) == len(after["steps"])
    assert {step["attempt"] for step in steps.values()} == {1}
