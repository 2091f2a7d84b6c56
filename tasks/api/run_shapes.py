"""What the API shows of runs and their steps."""

from typing import Any

from tasks.comparing import same_steps
from tasks.engine.graph_planner import parse_key
from tasks.models import Run, RunBody, Step, StepState
from tasks.run_selectors import RunParts, parts_of_run, steps_of
from tasks.selectors import STEP_STATUSES, status_of


def shape_run(run: Run) -> dict[str, Any]:
    """A run in a list."""
    return {
        "id": run.pk,
        "run_id": run.pk,
        "project_id": run.project_id,
        "kind": "workflow" if run.workflow_id else "task",
        "workflow_id": run.workflow_id,
        "workflow_version": run.workflow_version,
        "task_id": run.task_id,
        "network_id": run.network_id,
        "status": status_of(run),
        "wait_reason": run.wait_reason or None,
        "source": run.source or "api",
        "priority": run.priority,
        "error": _error(run),
        "usage": {
            "input_tokens": run.input_tokens,
            "output_tokens": run.output_tokens,
            "cached_tokens": run.cached_tokens,
            "model_calls": run.model_calls,
        },
        "cost": float(run.cost),
        "replayed_from": run.replayed_from_id,
        "parent_step_id": run.parent_step_id,
        "request_id": run.request_id,
        "event_seq": run.event_seq,
        "deadline": run.deadline_at,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "updated_at": run.updated_at,
    }


def shape_run_detail(run: Run) -> dict[str, Any]:
    """A run with its input, output and steps."""
    parts = parts_of_run(run)
    body = body_of(run)
    return shape_run(run) | {
        "input": body.input,
        "output": body.output,
        "models_used": parts.models,
        "steps": [shape_step(step, run, parts) for step in parts.steps],
    }


def shape_step(step: Step, run: Run, parts: RunParts) -> dict[str, Any]:
    """A step of a run; of a task's run, the node is the step's place in the plan."""
    node, rounds = parse_key(step.key) if run.workflow_id else (step.key, ())
    body = getattr(step, "body", None)
    return {
        "id": step.pk,
        "key": step.key,
        "node_id": node,
        "node_type": step.kind,
        "rounds": list(rounds),
        "label": step.label,
        "agent_id": step.agent_id or None,
        "status": STEP_STATUSES[StepState(step.state)],
        "wait_reason": step.wait_reason or None,
        "input": body.input if body else {},
        "output": body.output if body else None,
        "writes": body.writes if body else None,
        "error": _error(step),
        "attempt": 0 if step.started_at is None else 1 + step.tries + step.crashes,
        "parent_step_ids": step.parents,
        "taken_edge_ids": step.taken or [],
        "approval_id": parts.approvals.get(step.pk),
        "created_at": step.created_at,
        "started_at": step.started_at,
        "finished_at": step.finished_at,
    }


def shape_comparison(before: Run, after: Run) -> dict[str, Any]:
    """Two runs side by side, step by step."""
    given, other = body_of(before), body_of(after)
    return {
        "before": shape_run(before),
        "after": shape_run(after),
        "input": _pair(given.input, other.input),
        "output": _pair(given.output, other.output),
        "steps": [
            {
                "key": pair.key,
                "change": pair.change,
                "before": _compared(pair.before),
                "after": _compared(pair.after),
            }
            for pair in same_steps(steps_of(before), steps_of(after))
        ],
    }


def body_of(run: Run) -> RunBody:
    try:
        return run.body
    except RunBody.DoesNotExist:
        return RunBody(run=run)


def _compared(step: Step | None) -> dict[str, Any] | None:
    if step is None:
        return None
    took = step.finished_at - step.started_at if step.started_at and step.finished_at else None
    body = getattr(step, "body", None)
    return {
        "id": step.pk,
        "node_type": step.kind,
        "status": STEP_STATUSES[StepState(step.state)],
        "output": body.output if body else None,
        "error": _error(step),
        "seconds": round(took.total_seconds(), 3) if took is not None else None,
    }


def _pair(before: Any, after: Any) -> dict[str, Any]:
    return {"changed": before != after, "before": before, "after": after}


def _error(of: Run | Step) -> dict[str, str] | None:
    return {"code": of.error_code, "detail": of.error_detail} if of.error_code else None
