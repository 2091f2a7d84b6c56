"""What an executor asks of the world, and the plain values it works with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agents.providers.types import ModelRequest, Reply


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


@dataclass(frozen=True, slots=True)
class SnapshotView:
    """What the run was started with: the network and its agents, as they were then."""

    network: Mapping[str, Any]
    agents: Mapping[str, AgentView]
    coordinator: AgentView

    @property
    def specialists(self) -> list[AgentView]:
        return [agent for agent in self.agents.values() if agent.id != self.coordinator.id]


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
class StepResult:
    output: Mapping[str, Any]
    memories: tuple[NewMemory, ...] = ()
    events: tuple[tuple[str, Mapping[str, Any]], ...] = ()


class StepFailed(Exception):
    """The step cannot succeed: `code` for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


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
