"""Two runs side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .models import Step


@dataclass(frozen=True, slots=True)
class Pair:
    """The steps of two runs that have one place in the plan."""

    key: str
    before: Step | None
    after: Step | None

    @property
    def change(self) -> Literal["added", "removed", "changed", "same"]:
        """What became of it: `same` when it ended in the same state with the same output."""
        if self.before is None:
            return "added"
        if self.after is None:
            return "removed"
        return "same" if _outcome(self.before) == _outcome(self.after) else "changed"


def same_steps(before: Sequence[Step], after: Sequence[Step]) -> list[Pair]:
    """Match steps by their keys, in the order of the first run; what only the second has follows."""
    old, new = ({step.key: step for step in steps} for steps in (before, after))
    return [Pair(key, old.get(key), new.get(key)) for key in dict.fromkeys((*old, *new))]


def _outcome(step: Step) -> tuple[object, ...]:
    body = getattr(step, "body", None)
    return step.state, step.error_code, tuple(step.taken or ()), body.output if body else None
