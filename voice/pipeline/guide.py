"""What a scripted dialog asks of the world: somebody who says what is said next, and is told what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer that is awaited: what may be said for it, and the keys that stand for it."""

    value: str
    phrases: tuple[str, ...] = ()
    keys: str = ""


@dataclass(frozen=True, slots=True)
class Say:
    """Say this. `ref` names the prompt to the guide."""

    ref: Any
    text: str
    interruptible: bool = True


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask this. With `choices` one of them is meant, with `max_digits` any digits, else whatever is said."""

    ref: Any
    text: str
    expects: Literal["speech", "keys", "both"] = "both"
    choices: tuple[Choice, ...] = ()
    max_digits: int = 0
    wait_ms: float = 7000.0
    attempts: int = 3
    no_match: str = ""
    no_input: str = ""
    interruptible: bool = True


@dataclass(frozen=True, slots=True)
class HandOver:
    """Let the agent or a person go on with the caller. `brief` is what they should know."""

    ref: Any
    to: Literal["agent", "person"]
    text: str = ""
    target: str = ""
    mode: Literal["cold", "warm"] = "cold"
    brief: str = ""


@dataclass(frozen=True, slots=True)
class Busy:
    """Something is being worked out: `Guide.moved` says when there is news."""


@dataclass(frozen=True, slots=True)
class Over:
    """There is nothing more to say or ask. With an error the dialog has failed."""

    error: str = ""
    detail: str = ""


Prompt = Say | Ask | HandOver
Lead = Prompt | Busy | Over


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a prompt; with an error it could not be done."""

    output: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    detail: str = ""


class GuideLost(Exception):
    """Nobody can say how the dialog goes on."""


class Guide(Protocol):
    """Who leads the dialog of one call. Raises `GuideLost`, and nothing else.

    `person`: where callers are transferred whose dialog broke off; may be empty.
    """

    person: str

    async def begin(self) -> Lead: ...

    async def answer(self, prompt: Prompt, outcome: Outcome) -> Lead:
        """Tell what came of a prompt, once; returns what is next."""
        ...

    async def withdrawn(self, prompt: Prompt) -> Lead:
        """Wait until the dialog goes on without an answer to this prompt; returns what is next."""
        ...

    async def moved(self) -> Lead:
        """Wait until there is something to do, or the dialog is over."""
        ...

    def let_go(self) -> None:
        """The caller is in other hands: the dialog goes on without the call."""
        ...

    def gone(self, prompt: Prompt, outcome: Outcome) -> None:
        """The call ends with this outcome: it is told while the guide is closed."""
        ...

    async def aclose(self) -> None:
        """The call is over. Whatever still waits for the caller is given up."""
        ...
