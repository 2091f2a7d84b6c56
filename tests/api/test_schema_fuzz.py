"""Schemathesis over the whole OpenAPI document: no 5xx, and nothing that the document does not say."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from agents.models import Agent
from meshsite.wsgi import application
from networks.models import Network
from tasks.models import Task
from workflows.services import create_workflow

from .conftest import Caller, make_caller
from .endpoints import A_GRAPH, ENDPOINTS, Endpoint
from .voice_world import have_recordings, never_dial, never_join, never_speak, voice_ids

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = 25
HEALTH = Endpoint("GET", "api/mesh/health")
#: What is well formed may still be refused: a model nobody has, a deadline that is over.
NOT_CHECKED: list[Any] = [positive_data_acceptance]


@cache
def document() -> Any:
    """The document as it is served, read once."""
    return schemathesis.openapi.from_wsgi("/api/schema", application)


@pytest.fixture(autouse=True)
def unhurried(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No request limit, and nobody waits the minute he asks for."""
    settings.MESH_RATE_LIMIT_PER_MINUTE = 10**9

    async def no_patience(subject: str, until: float) -> None:
        return None

    monkeypatch.setattr("tasks.api.waiting._watch", no_patience)
    have_recordings(monkeypatch, tmp_path)
    never_dial(monkeypatch)
    never_join(monkeypatch)
    never_speak(monkeypatch)


@pytest.fixture
def ids(owner: Caller, network: Network, task: Task, memory_item: Any) -> dict[str, str]:
    agent = Agent.objects.filter(network=network).exclude(type="coordinator").first()
    assert agent is not None
    key = make_caller(owner.project, "read").key
    return {
        "network_id": network.pk,
        "agent_id": agent.pk,
        "task_id": task.pk,
        "memory_id": memory_item.pk,
        "key_id": key.pk,
        "workflow_id": create_workflow(project=owner.project, name="Brief", graph=A_GRAPH).pk,
        "number": "1",
        "other": "1",
    } | voice_ids(network)


@pytest.mark.parametrize("endpoint", [*ENDPOINTS, HEALTH], ids=str)
def test_it_keeps_to_its_document(owner: Caller, ids: dict[str, str], endpoint: Endpoint) -> None:
    path = "/" + endpoint.route.replace("<str:", "{").replace(">", "}")
    operation = document()[path][endpoint.method]
    known = {name: value for name, value in ids.items() if f"{{{name}}}" in path}
    headers = {"Authorization": f"Bearer {owner.secret}"}

    def cases() -> Iterator[st.SearchStrategy[Case]]:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if mode.is_positive or operation.query or operation.body:
                yield operation.as_strategy(mode, headers=headers, path_parameters=known or None)
        yield operation.as_strategy(GenerationMode.POSITIVE, headers=headers)

    @limits(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(*cases()))
    def run(case: Case) -> None:
        case.call_and_validate(headers=headers, excluded_checks=NOT_CHECKED)

    run()
