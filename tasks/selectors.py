"""Reads of tasks, their runs and events, and of networks with what is in them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from django.db.models import Count, Q, QuerySet

from agents.models import Agent
from memory.models import MemoryItem
from memory.selectors import live_items
from networks.models import ApiKey, Network
from networks.selectors import access_network_for
from web.problems import NotFound
from web.statements import Statement

from .models import Event, Run, RunBody, RunState, StepState, Task, WaitReason

RECENT = 10
MAX_HISTORY = 200

#: What the API calls the states of a run.
STATUSES = {
    RunState.PENDING: "pending",
    RunState.RUNNING: "in_progress",
    RunState.WAITING: "in_progress",
    RunState.SUCCEEDED: "completed",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "cancelled",
}
STEP_STATUSES = {
    StepState.PENDING: "pending",
    StepState.READY: "pending",
    StepState.RUNNING: "in_progress",
    StepState.WAITING: "in_progress",
    StepState.WAITING_HUMAN: "waiting_approval",
    StepState.SUCCEEDED: "completed",
    StepState.FAILED: "failed",
    StepState.SKIPPED: "skipped",
    StepState.CANCELLED: "cancelled",
}

_WAITING_APPROVAL = Q(run__state=RunState.WAITING, run__wait_reason=WaitReason.APPROVAL)
_WITH_STATUS = {
    "pending": Q(run=None) | Q(run__state=RunState.PENDING),
    "in_progress": Q(run__state__in=[RunState.RUNNING, RunState.WAITING]) & ~_WAITING_APPROVAL,
    "waiting_approval": _WAITING_APPROVAL,
    "completed": Q(run__state=RunState.SUCCEEDED),
    "failed": Q(run__state=RunState.FAILED),
    "cancelled": Q(run__state=RunState.CANCELLED),
    "canceled": Q(run__state=RunState.CANCELLED),
}
STATUS_FILTERS = list(_WITH_STATUS)


def status_of(run: Run | None) -> str:
    """A task's status, which is that of its latest run."""
    if run is None:
        return "pending"
    if run.state == RunState.WAITING and run.wait_reason == WaitReason.APPROVAL:
        return "waiting_approval"
    return STATUSES[RunState(run.state)]


def tasks_of(network: Network, status: str | None = None) -> "QuerySet[Task]":
    """A network's tasks, newest first, with their latest runs."""
    tasks = Task.objects.filter(network=network).select_related("run").order_by("-id")
    return tasks.filter(_WITH_STATUS[status]) if status else tasks


_TASK = Statement(
    """
SELECT {t}, {n}, {r}, {b} FROM tasks_task t
JOIN networks_network n ON n.id = t.network_id
LEFT JOIN tasks_run r ON r.id = t.run_id
LEFT JOIN tasks_runbody b ON b.run_id = r.id
WHERE t.id = %(task)s AND n.id = %(network)s AND n.project_id = %(project)s
  AND (cardinality(%(visible)s::text[]) = 0 OR n.id = ANY(%(visible)s::text[]))
""",
    t=Task,
    n=Network,
    r=Run,
    b=RunBody,
)


def access_task_for(key: ApiKey, network_id: str, task_id: str) -> Task:
    """A task of a network the key may see, with its latest run and result; else `NotFound`."""
    parameters = {
        "task": task_id,
        "network": network_id,
        "project": key.project_id,
        "visible": key.network_ids,
    }
    for task, network, run, body in _TASK.models(parameters):
        network.project = key.project
        if run is not None:
            run.body = body
        task.network, task.run = network, run
        return cast(Task, task)
    access_network_for(key, network_id)  # says so when it is the network that is not there
    raise NotFound("There is no such task.")


@dataclass(frozen=True, slots=True)
class TaskParts:
    """What a task's detail shows beside the task and its run; steps and events as rows of `_PARTS`."""

    steps: Sequence[Mapping[str, Any]] = ()
    events: Sequence[Mapping[str, Any]] = ()
    agents: Mapping[str, str] = field(default_factory=dict)
    models: Sequence[str] = ()


# One statement instead of four querysets: the detail of a task is what clients poll.
_PARTS = Statement(
    """
SELECT
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'id', s.id, 'key', s.key, 'agent_id', s.agent_id, 'label', s.label, 'state', s.state, 'required', s.required,
        'started_at', to_char(s.started_at AT TIME ZONE 'UTC', %(iso)s::text),
        'finished_at', to_char(s.finished_at AT TIME ZONE 'UTC', %(iso)s::text),
        'error_code', s.error_code, 'error_detail', s.error_detail,
        'description', b.input->'description', 'result', b.output->'result', 'confidence', b.output->'confidence'
        ) ORDER BY s.id), '[]')
     FROM tasks_step s JOIN tasks_stepbody b ON b.step_id = s.id
     WHERE s.run_id = %(run)s AND s.kind = 'delegate'),
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'type', e.type, 'step_id', e.step_id, 'payload', e.payload,
        'at', to_char(e.at AT TIME ZONE 'UTC', %(iso)s::text)) ORDER BY e.seq), '[]')
     FROM (SELECT * FROM tasks_event WHERE run_id = %(run)s ORDER BY seq DESC LIMIT %(history)s::int) e),
    (SELECT coalesce(jsonb_object_agg(id, name), '{}') FROM agents_agent WHERE network_id = %(network)s),
    (SELECT coalesce(jsonb_agg(DISTINCT model), '[]') FROM agents_modelcall
     WHERE run_id = %(run)s AND state = 'succeeded')
"""
)


def parts_of(task: Task) -> TaskParts:
    """The delegated steps, the latest events, the agents' names and the models that answered."""
    if task.run_id is None:
        return TaskParts()
    [row] = _PARTS.rows(
        {
            "run": task.run_id,
            "network": task.network_id,
            "history": MAX_HISTORY,
            "iso": 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"',
        }
    )
    return TaskParts(*map(orjson.loads, row))


def events_after(run_id: str, seq: int, limit: int) -> list[Event]:
    """The next events of a run, in order."""
    return list(Event.objects.filter(run_id=run_id, seq__gt=seq).order_by("seq")[:limit])


def latest_run_id(task_id: str) -> str | None:
    """The run a task's stream follows; None before the first, and when the task is gone."""
    return Task.objects.filter(pk=task_id).values_list("run_id", flat=True).first()


@dataclass(frozen=True, slots=True)
class Counts:
    agents: int = 0
    tasks: int = 0
    memories: int = 0


def counts_of(networks: Iterable[Network]) -> dict[str, Counts]:
    """How much each network holds: three queries for all of them."""
    ids = [network.pk for network in networks]
    agents, tasks, memories = (
        dict(rows.values_list("network_id").annotate(Count("pk")).order_by())
        for rows in (
            Agent.objects.filter(network_id__in=ids),
            Task.objects.filter(network_id__in=ids),
            MemoryItem.objects.filter(network_id__in=ids, superseded_at=None),
        )
    )
    return {pk: Counts(agents.get(pk, 0), tasks.get(pk, 0), memories.get(pk, 0)) for pk in ids}


def recent_tasks(network: Network) -> list[Task]:
    return list(tasks_of(network)[:RECENT])


def recent_memories(network: Network) -> list[MemoryItem]:
    return list(live_items(network)[:RECENT])


def parse_position(text: str) -> tuple[str, int] | None:
    """Read the id of an event, `run_id:seq`; None for anything else."""
    run_id, colon, seq = text.rpartition(":")
    if not colon or not run_id or not seq.isascii() or not seq.isdigit() or len(seq) > 9:
        return None
    return run_id, int(seq)


def run_of_task(task_id: str, run_id: str) -> bool:
    """Whether a run belongs to a task."""
    return Run.objects.filter(pk=run_id, task_id=task_id).exists()


def event_data(event: Event) -> dict[str, Any]:
    """An event as the API and the streams show it."""
    return {
        "id": f"{event.run_id}:{event.seq}",
        "run_id": event.run_id,
        "seq": event.seq,
        "type": event.type,
        "step_id": event.step_id,
        "payload": event.payload,
        "at": event.at.isoformat().replace("+00:00", "Z"),
    }
