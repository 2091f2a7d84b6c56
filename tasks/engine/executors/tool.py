"""A tool is called once, with what the node's `input` says."""

from collections.abc import Mapping
from typing import Any

from ..ports import StepFailed, StepPort, StepResult, ToolRequest
from .node import NodeWork


async def tool(work: NodeWork, port: StepPort) -> StepResult:
    """Return what the tool answered."""
    spec = work.step.snapshot.tools.get(work.node.tool_id)
    if spec is None:
        raise StepFailed("unknown_tool", f"The run's snapshot has no tool {work.node.tool_id}.", final=True)
    frozen = work.step.frozen
    arguments: Any = frozen["arguments"] if frozen else work.filled("input", _object(work.last_output))
    if not isinstance(arguments, Mapping):
        raise StepFailed(
            "bad_arguments", f"node {work.node.id}, input: a tool is called with an object.", final=True
        )
    port.freeze({"tool": spec.name, "arguments": arguments})
    [outcome] = await port.call_tools(0, [ToolRequest(spec, arguments)])
    if outcome.error_code:
        raise StepFailed(outcome.error_code, outcome.error_detail, final=not outcome.retryable)
    return StepResult(outcome.output, input=arguments)


def _object(value: Any) -> Any:
    return value if isinstance(value, Mapping) else {} if value is None else {"input": value}
