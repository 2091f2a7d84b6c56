"""What the executors of steps need, read with the transaction that claims them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.engine.graph_planner import parse_key
from tasks.engine.planner import StepView
from tasks.engine.ports import EndedStep
from tasks.engine.scope import needs_of
from workflows.graph import Graph

from . import sql, workflow_sql
from .work import Late, Query


@dataclass(frozen=True, slots=True)
class Loading:
    """A step that was claimed with a finish; `row` and `before` are there when the transaction is over."""

    step: StepView
    _row: Late = field(default_factory=Late)
    _ended: Late | None = field(default_factory=Late)

    @property
    def row(self) -> Any:
        """Its row as `sql.LOAD` gives it; None when it is not ours any more."""
        return self._row.rows[0] if self._row.rows else None

    @property
    def before(self) -> Sequence[EndedStep]:
        """What ended before it and matters to it; of a workflow's step."""
        return [EndedStep(**row) for row in self._ended.rows] if self._ended else ()

    def queries(self, run_id: str, owner: str, graph: Graph | None) -> Iterator[Query]:
        yield Query(sql.LOAD, {"ids": [self.step.id], "owner": owner}, late=self._row)
        if graph is not None and self._ended is not None:
            needs = needs_of(graph, graph.by_id[parse_key(self.step.key)[0]])
            parameters = {"run": run_id, "nodes": list(needs.nodes), "parents": list(self.step.parents)}
            yield Query(workflow_sql.ENDED_STEPS, parameters, late=self._ended)


def loads(steps: Sequence[Loading], run_id: str, owner: str, graph: Graph | None) -> Iterator[Query]:
    """Return the statements that read what claimed steps need."""
    for step in steps:
        yield from step.queries(run_id, owner, graph)
