"""A fresh service, as a user starts it."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_supervisor import Service


@pytest.fixture
def service() -> Iterator[Service]:
    folder = Path(tempfile.mkdtemp(prefix="mesh-test-"))
    folder.chmod(0o711)  # PostgreSQL runs as another user, where we are root
    service = Service(folder)
    service.wait_for("is ready")
    yield service
    service.process.send_signal(signal.SIGTERM)
    service.wait_ended()
    shutil.rmtree(folder, ignore_errors=True)
