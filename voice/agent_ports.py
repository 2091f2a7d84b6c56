"""What an agent on the phone asks of its network: who it is, what is known, and work to be done. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class CallContext:
    """The call an answer is given in. Without a call (plain HTTP) `call_id` is empty; without a network the
    model has the session's prompt alone. `worker` names the voice process, for the ledger."""

    project_id: str
    network_id: str = ""
    call_id: str = ""
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """The agent that answers, and the network it belongs to."""

    agent_id: str
    name: str
    type: str
    description: str
    system_prompt: str
    capabilities: tuple[str, ...]
    models: tuple[str, ...]  # catalogue ids or aliases, in the order they are tried
    parameters: Mapping[str, Any]
    network: Mapping[str, Any]  # name, description, shared_context


@dataclass(frozen=True, slots=True)
class Known:
    """Something the network knows. `trusted` False: hearsay, such as what callers said."""

    id: str
    type: str
    content: str
    confidence: float
    source: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class Background:
    """What one answer starts from."""

    profile: Profile
    known: Sequence[Known] = ()


@dataclass(frozen=True, slots=True)
class TaskReport:
    """Where a task of the network stands; `status` is the API's. `result` and `error` when it has ended."""

    task_id: str
    description: str
    status: str
    result: Any = None
    error: str = ""
    finished: bool = False


class NotThere(Exception):
    """The network, its agent or a task does not exist (any more). The message says which."""


class AgentDesk(Protocol):
    """Reads and writes for an agent on the phone. Raises `NotThere`, `DeskClosed`, and nothing else."""

    async def background(self, network_id: str, agent_id: str, query: str, limit: int) -> Background:
        """The agent (the coordinator when `agent_id` is empty) and what the network knows about `query`."""
        ...

    async def search(self, network_id: str, query: str, limit: int) -> Sequence[Known]: ...

    async def remember(self, network_id: str, content: str, type: str, call_id: str) -> str:
        """Keep what a caller said, as hearsay. Returns the memory item's id."""
        ...

    async def start_task(self, network_id: str, description: str, call_id: str) -> str:
        """Start a task on the network; returns its id. Raises `Declined` when the network takes none."""
        ...

    async def task(self, network_id: str, task_id: str) -> TaskReport: ...

    async def wait_for(self, network_id: str, task_id: str) -> TaskReport:
        """Wait until a task has ended."""
        ...


class DeskClosed(Exception):
    """The database does not answer now."""


class Declined(Exception):
    """The network does not do this; the message says why, in words an agent can pass on."""


@dataclass(slots=True)
class Limits:
    """What one call may ask of its network, whatever its caller talks the agent into."""

    tasks: int = 5
    memories: int = 20
    started: list[str] = field(default_factory=list)
    remembered: int = 0
