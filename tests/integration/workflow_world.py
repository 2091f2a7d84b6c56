"""Workflows for tests: graphs in short, their runs, and what came of them."""

from collections.abc import Mapping
from typing import Any

from agents.models import Agent
from tasks.models import Event, Run, RunBody, Step
from tasks.workflow_runs import start_workflow_run
from tests.integration.engine_world import EngineWorld
from workflows.models import WorkflowVersion
from workflows.services import create_workflow


def graph(*edges: str, **nodes: Any) -> dict[str, Any]:
    """`graph("start-a", "a-end", a={…})`; an edge is `from-to`, `from-to:label` or `from-to?condition`.

    A node is its type or {type, agent_id, config…}; `start` and `end` need no mention, others are branches' ends.
    """
    kinds: dict[str, Any] = {"start": "start", "end": "end", **nodes}
    written = []
    for number, text in enumerate(edges):
        way, _, condition = text.partition("?")
        way, _, label = way.partition(":")
        source, target = way.split("-")
        edge = {"id": f"e{number}-{way}", "from_node_id": source, "to_node_id": target}
        edge |= {"condition": condition} if condition else {}
        edge |= {"label": label} if label else {}
        written.append(edge)
        for id_ in (source, target):
            kinds.setdefault(id_, "join")
    made = [
        {"id": id_, **(kind if isinstance(kind, Mapping) else {"type": kind})} for id_, kind in kinds.items()
    ]
    return {"nodes": made, "edges": written}


def agent(engine: EngineWorld, **fields: Any) -> Agent:
    """An agent of the project."""
    fields.setdefault("name", "Writer")
    fields.setdefault("type", "content")
    return Agent.objects.create(project=engine.project, **fields)


def version(engine: EngineWorld, body: Mapping[str, Any], name: str = "Flow") -> WorkflowVersion:
    """A workflow's first version; it must be valid."""
    workflow = create_workflow(project=engine.project, name=name, graph=body)
    made = WorkflowVersion.objects.get(workflow=workflow)
    assert made.valid, made.findings
    return made


def start(engine: EngineWorld, body: Mapping[str, Any], input: Any = None, **options: Any) -> Run:
    """Start a graph."""
    return start_workflow_run(
        project=engine.project, version=version(engine, body), input=input or {}, **options
    )


def output(run: Run) -> Any:
    return RunBody.objects.get(pk=run.pk).output


def step(run: Run, key: str) -> Step:
    return Step.objects.select_related("body").get(run=run, key=key)


def events(run: Run) -> list[str]:
    return list(Event.objects.filter(run=run).order_by("seq").values_list("type", flat=True))


async def asks(engine: EngineWorld) -> bool:
    """Whether a run waits for somebody's decision."""
    async with engine.pool.connection() as connection:
        cursor = await connection.execute("SELECT 1 FROM tasks_approval WHERE state = 'pending'")
        return await cursor.fetchone() is not None
