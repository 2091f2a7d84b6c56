"""What the API shows of networks and tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

from agents.api.views import shape_agent
from agents.models import Agent
from agents.selectors import agents_of
from memory.api.views import shape_item
from memory.models import MemoryItem
from networks.models import Network
from tasks.history import summarize
from tasks.models import Run, RunState, StepState, Task
from tasks.selectors import (
    STEP_STATUSES,
    Counts,
    TaskParts,
    counts_of,
    parts_of,
    recent_memories,
    recent_tasks,
    status_of,
)


def shape_networks(networks: Sequence[Network]) -> list[dict[str, Any]]:
    """A page of networks."""
    counts = counts_of(networks)
    return [shape_network(network, counts[network.pk]) for network in networks]


def shape_network(network: Network, counts: Counts) -> dict[str, Any]:
    """A network in a list."""
    return {
        "id": network.pk,
        "network_id": network.pk,
        "name": network.name,
        "description": network.description,
        "status": network.status,
        "agent_count": counts.agents,
        "task_count": counts.tasks,
        "memory_count": counts.memories,
        "created_at": network.created_at,
        "updated_at": network.updated_at,
    }


def shape_network_detail(network: Network) -> dict[str, Any]:
    """A network with its agents and the latest of what is in it."""
    return _network_detail(
        network,
        counts_of([network])[network.pk],
        list(agents_of(network)[:100]),
        recent_tasks(network),
        recent_memories(network),
    )


def shape_new_network(network: Network, agents: Sequence[Agent]) -> dict[str, Any]:
    """A network that was just created, without asking for what cannot be in it yet."""
    return _network_detail(network, Counts(agents=len(agents)), agents, [], [])


def _network_detail(
    network: Network,
    counts: Counts,
    agents: Sequence[Agent],
    tasks: Sequence[Task],
    memories: Sequence[MemoryItem],
) -> dict[str, Any]:
    return shape_network(network, counts) | {
        "shared_context": network.shared_context,
        "max_iterations": network.max_iterations,
        "timeout_seconds": network.timeout_seconds,
        "budget": float(network.budget) if network.budget is not None else None,
        "chain": network.chain,
        "agents": [shape_agent(agent) for agent in agents],
        "tasks": [shape_task(task) for task in tasks],
        "memories": [shape_item(item) for item in memories],
    }


def shape_task(task: Task) -> dict[str, Any]:
    """A task in a list."""
    run = task.run
    return {
        "id": task.pk,
        "task_id": task.pk,
        "network_id": task.network_id,
        "description": task.description,
        "priority": task.priority,
        "deadline": task.deadline,
        "status": status_of(run),
        "wait_reason": (run.wait_reason if run else "") or None,
        "iterations": run.iterations if run else 0,
        "run_id": task.run_id,
        "created_at": task.created_at,
        "updated_at": run.updated_at if run else task.created_at,
        "started_at": run.started_at if run else None,
        "finished_at": run.finished_at if run else None,
    }


def shape_task_detail(task: Task) -> dict[str, Any]:
    """A task with its result, its subtasks and what has happened."""
    run, parts = task.run, parts_of(task)
    return shape_task(task) | {
        "context": task.context,
        "output_schema": task.output_schema,
        "request_id": task.request_id,
        "max_iterations": run.max_iterations if run else task.network.max_iterations,
        "result": _result(run),
        "error": _error(run),
        "subtasks": [_subtask(step, parts) for step in parts.steps],
        "history": [
            {
                "at": event["at"],
                "type": event["type"],
                "summary": summarize(event["type"], event["payload"], parts.agents),
                "step_id": event["step_id"],
                "agent_id": event["payload"].get("agent_id") or None,
            }
            for event in parts.events
        ],
        "usage": {
            "input_tokens": run.input_tokens if run else 0,
            "output_tokens": run.output_tokens if run else 0,
            "cached_tokens": run.cached_tokens if run else 0,
            "model_calls": run.model_calls if run else 0,
        },
        "cost": float(run.cost) if run else 0.0,
        "models_used": parts.models,
    }


def _result(run: Run | None) -> dict[str, Any] | None:
    if run is None or run.state != RunState.SUCCEEDED:
        return None
    output = run.body.output or {}
    return {
        "content": output.get("content", ""),
        "confidence": output.get("confidence"),
        "explanation": output.get("explanation", ""),
    }


def _error(run: Run | None) -> dict[str, str] | None:
    if run is None or not run.error_code:
        return None
    return {"code": run.error_code, "detail": run.error_detail}


def _subtask(step: Mapping[str, Any], parts: TaskParts) -> dict[str, Any]:
    code = step["error_code"]
    return {
        "id": step["id"],
        "key": step["key"],
        "agent_id": step["agent_id"] or None,
        "agent_name": parts.agents.get(step["agent_id"]),
        "description": step["description"] or step["label"],
        "status": STEP_STATUSES[StepState(step["state"])],
        "result": step["result"],
        "confidence": step["confidence"],
        "required": step["required"],
        "started_at": step["started_at"],
        "finished_at": step["finished_at"],
        "error": {"code": code, "detail": step["error_detail"]} if code else None,
    }
