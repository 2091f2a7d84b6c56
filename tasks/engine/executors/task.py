"""A network does a task, and the step waits for its result without a slot."""

from collections.abc import Mapping

from ..ports import AwaitRun, StepFailed, StepPort, StepResult, SubTask
from .node import NodeWork


async def task(work: NodeWork, port: StepPort) -> StepResult | AwaitRun:
    """Start the task, or take what came of it."""
    description = str(work.filled("task", ""))
    context = work.filled("context", {})
    given = {"task": description, "context": context}
    child = await port.child_run()
    if child is None or child.number <= work.step.tries:  # the run of an earlier try
        run_id = await port.start_task(
            SubTask(
                network_id=str(work.config["network_id"]),
                description=description,
                context=context if isinstance(context, Mapping) else {"input": context},
                priority=int(work.config.get("priority", 1)),
                output_schema=work.config.get("output_schema"),
            )
        )
        return AwaitRun(run_id, given)
    if not child.ended:
        return AwaitRun(child.id, given)
    if child.state != "succeeded":
        raise StepFailed(
            "task_failed" if child.state == "failed" else "task_cancelled",
            f"The task's run {child.id} {child.state}: {child.error_detail or child.error_code}",
        )
    output = child.output if isinstance(child.output, Mapping) else {"content": child.output}
    return StepResult({**output, "task_id": child.task_id, "run_id": child.id}, input=given)
