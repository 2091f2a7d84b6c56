"""Which coroutine does which kind of step."""

from collections.abc import Awaitable, Callable

from .executors.coordinate import coordinate
from .executors.delegate import delegate
from .executors.synthesize import synthesize
from .ports import StepPort, StepResult, StepWork

Executor = Callable[[StepWork, StepPort], Awaitable[StepResult]]

EXECUTORS: dict[str, Executor] = {
    "coordinate": coordinate,
    "delegate": delegate,
    "synthesize": synthesize,
}

# The version of steps that this build understands; a worker leaves newer ones to newer workers.
STEP_VERSION = 1
