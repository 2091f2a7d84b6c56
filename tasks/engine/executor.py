"""Which coroutine does which kind of step."""

from collections.abc import Awaitable, Callable

from .executors.agent import agent
from .executors.control import CONTROL, by_itself
from .executors.coordinate import coordinate
from .executors.delegate import delegate
from .executors.dialog import ask, hand_over, say
from .executors.human_approval import human_approval
from .executors.node import node_step
from .executors.synthesize import synthesize
from .executors.task import task
from .executors.tool import tool
from .ports import StepPort, StepResult, StepWork, Wait

Executor = Callable[[StepWork, StepPort], Awaitable[StepResult | Wait]]

EXECUTORS: dict[str, Executor] = {
    "coordinate": coordinate,
    "delegate": delegate,
    "synthesize": synthesize,
    **{kind: node_step(by_itself(control)) for kind, control in CONTROL.items()},
    "agent": node_step(agent),
    "tool": node_step(tool),
    "human_approval": node_step(human_approval),
    "task": node_step(task),
    "say": node_step(say),
    "ask": node_step(ask),
    "hand_over": node_step(hand_over),
}

# The version of steps that this build understands; a worker leaves newer ones to newer workers.
STEP_VERSION = 1
