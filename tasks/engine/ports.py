"""What an executor asks of the world, and the plain values it works with."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agents.providers.types import ModelRequest, Reply
from agents.tools.base import ToolSpec
from workflows.graph import Graph


@dataclass(frozen=True, slots=True)
class AgentView:
    """An agent as the snapshot holds it. `models` is its whole chain, its own model first."""

    id: str
    name: str
    type: str
    description: str = ""
    system_prompt: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


@dataclass(frozen=True)
class SnapshotView:
    """What the run was started with, as it was then: a network and its agents, or a workflow's graph and those it
    names. `chains` are the models to ask where a node names one of its own."""

    network: Mapping[str, Any]
    agents: Mapping[str, AgentView]
    coordinator_id: str = ""
    tools: Mapping[str, ToolSpec] = field(default_factory=dict)
    graph: Graph | None = None
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    workflow: Mapping[str, Any] = field(default_factory=dict)

    @property
    def coordinator(self) -> AgentView:
        return self.agents[self.coordinator_id]

    @property
    def specialists(self) -> list[AgentView]:
        return [agent for agent in self.agents.values() if agent.id != self.coordinator_id]


@dataclass(frozen=True, slots=True)
class StepWork:
    """One claimed step with all that its executor needs. `run_input` is the task: description, context, …"""

    id: str
    run_id: str
    project_id: str
    network_id: str
    key: str
    kind: str
    label: str
    round: int
    agent_id: str
    fence: int
    max_iterations: int
    input: Mapping[str, Any]
    run_input: Mapping[str, Any]
    snapshot: SnapshotView
    frozen: Mapping[str, Any] | None = None
    tries: int = 0
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PartResult:
    """What came of a delegated step that ended before this one began."""

    key: str
    agent_id: str
    description: str
    status: str
    required: bool
    output: Mapping[str, Any] | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Recalled:
    """A memory item that was found relevant."""

    id: str
    type: str
    content: str
    confidence: float
    source: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class NewMemory:
    """Something to remember; written with the step's finish, once however often the step is tried."""

    type: str
    content: str
    confidence: float


@dataclass(frozen=True, slots=True)
class EndedStep:
    """A step of a workflow that ended before this one began."""

    id: str
    key: str
    state: str
    output: Any = None
    writes: Mapping[str, Any] | None = None
    error_code: str = ""
    error_detail: str = ""


@dataclass(frozen=True, slots=True)
class StepResult:
    """How a step succeeded. Of a workflow's step also: what it was given, the edges of the graph that it took, and
    what it adds to the run's context."""

    output: Any
    memories: tuple[NewMemory, ...] = ()
    events: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    input: Any = None
    taken: tuple[str, ...] = ()
    writes: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class NewApproval:
    """What a person is asked. The step waits, without a slot, until somebody decides."""

    instructions: str = ""
    data: Any = None
    form_schema: Mapping[str, Any] = field(default_factory=dict)
    approvers: tuple[str, ...] = ()
    deadline_seconds: float | None = None
    on_deadline: str = ""
    escalate_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AwaitRun:
    """The step waits, without a slot, until another run has ended."""

    run_id: str
    input: Any = None


@dataclass(frozen=True, slots=True)
class AwaitCaller:
    """The step waits, without a slot, until the caller on the telephone has heard, said or keyed something.
    `prompt` is all that the call needs for that."""

    prompt: Mapping[str, Any]


Wait = NewApproval | AwaitRun | AwaitCaller


@dataclass(frozen=True, slots=True)
class SubTask:
    """A task for a network, on behalf of a step."""

    network_id: str
    description: str
    context: Mapping[str, Any]
    priority: int = 1
    output_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ChildRun:
    """A run that was started for a step. `number` counts the step's runs from 1."""

    id: str
    task_id: str
    state: str
    number: int
    output: Any = None
    error_code: str = ""
    error_detail: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """One call of a tool, as a model asked for it or a node says."""

    spec: ToolSpec
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What came of a tool's call; with a code it failed. `retryable`: the same call may succeed later."""

    output: Any = None
    error_code: str = ""
    error_detail: str = ""
    retryable: bool = False


class StepFailed(Exception):
    """The step cannot succeed: `code` for programs, the message for people. `final`: trying again is no use."""

    def __init__(self, code: str, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.final = final


class PersonNeeded(Exception):
    """The step cannot go on before a person has said something."""

    def __init__(self, approval: NewApproval) -> None:
        super().__init__(approval.instructions)
        self.approval = approval


class LeaseLost(Exception):
    """The step belongs to somebody else by now, or its run has ended. Nothing more may be sent or written."""


class BudgetReached(Exception):
    """The run's money is spent; the step waits until the budget is raised."""


class StepPort(Protocol):
    """A step's window on the world."""

    async def results(self) -> Sequence[PartResult]:
        """The delegated steps of the run that have ended, in plan order."""
        ...

    async def recall(self, query: str, limit: int) -> Sequence[Recalled]: ...

    def freeze(self, context: Mapping[str, Any]) -> None:
        """Hand over the context that is stored with the first call and used by every retry."""
        ...

    async def ask(self, turn: int, request: ModelRequest, models: Sequence[str]) -> Reply:
        """Return the reply to a turn: the journaled one if there is one, else a new one from the chain.

        Raises `ProviderError`, `LeaseLost`, `BudgetReached`.
        """
        ...

    async def call_tools(self, turn: int, requests: Sequence[ToolRequest]) -> Sequence[ToolOutcome]:
        """Call the tools of a turn: those that only read at once, the others one after the other.

        What was called before is not called again. Raises `PersonNeeded` for a call of an earlier attempt whose
        outcome nobody knows and which may not be repeated, and `LeaseLost`.
        """
        ...

    async def ended(self, nodes: Collection[str]) -> Sequence[EndedStep]:
        """The ended steps of these nodes of a workflow and of this step's parents, in the order they ended."""
        ...

    async def child_run(self) -> ChildRun | None:
        """The latest run that was started for this step."""
        ...

    async def start_task(self, task: SubTask) -> str:
        """Start a run for this step and return its id. Raises `StepFailed`, `LeaseLost`."""
        ...
