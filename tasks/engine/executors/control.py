"""The nodes that do nothing themselves: start, end, branch, parallel, join, loop."""

from collections.abc import Callable, Mapping
from typing import Final

from web.jsonschemas import problems_of

from ..graph_planner import parse_key
from ..ports import StepFailed, StepPort, StepResult
from ..scope import body_edges, holds
from .node import NodeExecutor, NodeWork

Control = Callable[[NodeWork], StepResult]


def start(work: NodeWork) -> StepResult:
    """Let the run's input in."""
    schema = work.config.get("input_schema")
    if schema and (problems := problems_of(work.step.run_input, schema)):
        raise StepFailed("invalid_input", "; ".join(problems)[:1000], final=True)
    return StepResult(work.step.run_input)


def end(work: NodeWork) -> StepResult:
    """Make the run's output."""
    return StepResult(work.filled("output", work.last_output))


def pass_on(work: NodeWork) -> StepResult:
    """Branch, parallel and join hand on what came last; which edges are taken is the same for all nodes."""
    return StepResult(work.last_output)


def loop(work: NodeWork) -> StepResult:
    """Begin another round, or leave."""
    round_ = parse_key(work.step.key)[1][-1]
    condition = work.config.get("while")
    again = round_ < int(work.config["max_rounds"]) and (
        not condition or holds(condition, work.scope, f"node {work.node.id}, while")
    )
    return StepResult(work.last_output, taken=body_edges(work.graph, work.node) if again else ())


#: They end within the transaction that leads to them (tasks/store/passing.py).
CONTROL: Final[Mapping[str, Control]] = {
    "start": start,
    "end": end,
    "branch": pass_on,
    "parallel": pass_on,
    "join": pass_on,
    "loop": loop,
}


def by_itself(control: Control) -> NodeExecutor:
    """Such a node as a step of its own, where a run is repeated from it."""

    async def execute(work: NodeWork, port: StepPort) -> StepResult:
        return control(work)

    return execute
