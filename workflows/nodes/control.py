"""Where a run begins, ends, fans out and comes together."""

from typing import Final

from .base import ANY, NodeType

#: Takes the run's input; `input_schema` says what it must be.
START: Final = NodeType("start", {"input_schema": {"type": "object"}}, fewest_in=0)

#: Ends its path. The run's output is that of the end that was reached last, or what `output` makes.
END: Final = NodeType("end", {"output": ANY}, templates=("output",), fewest_out=0, most_out=0)

#: Takes every one of its edges at once.
PARALLEL: Final = NodeType("parallel", fewest_out=2)

#: Waits for its edges: for all that were taken, or for the first; then what is left of the others is cancelled.
JOIN: Final = NodeType("join", {"mode": {"enum": ["all", "any"]}}, fewest_in=2)
