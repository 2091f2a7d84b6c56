"""The agent's desk on PostgreSQL: each question is answered by a thread of a few, none holds a connection between."""

import asyncio
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar

from django.db import Error, connection

from agents.catalogue import chain_for
from agents.models import Agent
from agents.selectors import get_catalogue
from memory.models import MemoryItem
from memory.recall import RECALL_SQL, recall_params
from memory.services import remember
from networks.models import Network, Project
from tasks.models import Task
from tasks.notifier import get_notifier
from tasks.selectors import status_of
from tasks.services import create_task
from voice.agent_ports import Background, Declined, DeskClosed, Known, NotThere, Profile, TaskReport
from web.problems import Problem
from web.statements import Statement

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 4
_ENDED: Final = frozenset({"completed", "failed", "cancelled"})
_WATCH_SECONDS: Final = 30.0  # a watch is begun anew after so long without news

_AGENT = Statement(
    "SELECT {a}, {n}, {p} FROM networks_network n JOIN networks_project p ON p.id = n.project_id "
    "JOIN agents_agent a ON a.network_id = n.id "
    "WHERE n.id = %(network)s AND n.status <> 'archived' "
    "AND (a.id = %(agent)s OR (%(agent)s = '' AND a.type = 'coordinator')) LIMIT 1",
    a=Agent, n=Network, p=Project,
)  # fmt: skip
_RECALL = Statement(RECALL_SQL)
_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="desk")


class NetworkDesk:
    """An `AgentDesk`. Has no state: one serves a whole process."""

    async def background(self, network_id: str, agent_id: str, query: str, limit: int) -> Background:
        return await _ask(_background, network_id, agent_id, query, limit)

    async def search(self, network_id: str, query: str, limit: int) -> Sequence[Known]:
        return await _ask(_recall, network_id, query, limit)

    async def remember(self, network_id: str, content: str, type: str, call_id: str) -> str:
        return await _ask(_remember, network_id, content, type, call_id)

    async def start_task(self, network_id: str, description: str, call_id: str) -> str:
        return await _ask(_start_task, network_id, description, call_id)

    async def task(self, network_id: str, task_id: str) -> TaskReport:
        return await _ask(_task, network_id, task_id)

    async def wait_for(self, network_id: str, task_id: str) -> TaskReport:
        while True:
            report, run_id = await _ask(_task_and_run, network_id, task_id)
            if report.finished:
                return report
            async with get_notifier().watch(run_id or task_id) as watch:
                while await watch.changed(_WATCH_SECONDS):  # what was missed is read after as long
                    if watch.news is not None and (watch.news.finished or watch.news.run_id is not None):
                        break


async def _ask(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that uses the database in a thread of the desk's."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, functools.partial(_within, function, *args, **kwargs))


def _within(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    try:
        return function(*args, **kwargs)
    except Error as error:
        raise DeskClosed(str(error)) from error
    finally:
        if not connection.in_atomic_block:  # a test's transaction
            connection.close()


def _background(network_id: str, agent_id: str, query: str, limit: int) -> Background:
    row = next(iter(_AGENT.models({"network": network_id, "agent": agent_id})), None)
    if row is None:
        raise NotThere("The network of this call has no such agent any more.")
    agent, network, project = row
    chain = tuple(network.chain or project.chain or get_catalogue().default_chain())
    profile = Profile(
        agent_id=agent.pk,
        name=agent.name,
        type=agent.type,
        description=agent.description,
        system_prompt=agent.system_prompt,
        capabilities=tuple(agent.capabilities),
        models=chain_for(agent.model, chain),
        parameters=agent.parameters,
        network={
            "name": network.name,
            "description": network.description,
            "shared_context": network.shared_context,
        },
    )
    return Background(profile, _recall(network_id, query, limit) if limit and query.strip() else ())


def _recall(network_id: str, query: str, limit: int) -> tuple[Known, ...]:
    rows = _RECALL.rows(recall_params(network_id=network_id, query=query, limit=limit))
    return tuple(
        Known(id_, type_, content, confidence, source, trusted)
        for id_, type_, content, confidence, source, _agent, trusted, _created, _score in rows
    )


def _remember(network_id: str, content: str, type: str, call_id: str) -> str:
    item = remember(
        network=_network(network_id),
        content=content,
        type=type,
        confidence=0.5,
        metadata={"call_id": call_id} if call_id else {},
        source=MemoryItem.Source.CALLER,
        trusted=False,
    )
    return item.pk


def _start_task(network_id: str, description: str, call_id: str) -> str:
    try:
        task = create_task(
            network=_network(network_id),
            description=description,
            context={"asked_by": "a caller on the telephone", "call_id": call_id},
            process=True,
        )
    except Problem as problem:
        raise Declined(problem.detail) from problem
    return task.pk


def _task(network_id: str, task_id: str) -> TaskReport:
    return _task_and_run(network_id, task_id)[0]


def _task_and_run(network_id: str, task_id: str) -> tuple[TaskReport, str | None]:
    task = Task.objects.select_related("run__body").filter(network_id=network_id, pk=task_id).first()
    if task is None:
        raise NotThere("There is no such task any more.")
    status = status_of(task.run)
    finished = status in _ENDED
    return (
        TaskReport(
            task_id=task.pk,
            description=task.description,
            status=status,
            result=task.run.body.output if finished and task.run is not None else None,
            error=task.run.error_detail if finished and task.run is not None else "",
            finished=finished,
        ),
        task.run_id,
    )


def _network(network_id: str) -> Network:
    network = Network.objects.select_related("project").filter(pk=network_id).first()
    if network is None:
        raise NotThere("The network of this call does not exist any more.")
    return network
