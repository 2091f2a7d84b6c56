"""Fixtures of the tests that drive the engine's stores themselves."""

from collections.abc import Iterator

import pytest

from tasks.worker.incarnation import Incarnation
from tests.integration.engine_world import EngineWorld


@pytest.fixture
def engine(
    transactional_db: None, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EngineWorld]:
    """The engine's stores without workers: nobody hears a hint or a notice."""
    monkeypatch.setattr("tasks.worker.hints.publish", lambda kind, step_id, run_id: True)
    monkeypatch.setattr("tasks.lifecycle.publish_notice", lambda run_id, **_: None)
    world = EngineWorld(database_url)
    yield world
    world.close()


@pytest.fixture
def life(engine: EngineWorld) -> Incarnation:
    """A worker's first life."""
    return engine.life()
