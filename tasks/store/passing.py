"""The ends of nodes that do nothing themselves, within the transaction that leads to them.

A start, branch, parallel, join, loop or end is worked out in no time. As a step of its own it would cost what
every step costs: a claim, a worker, a transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from tasks.engine.executors.control import CONTROL
from tasks.engine.executors.node import NodeWork, concluded, facts_of
from tasks.engine.graph_planner import parse_key
from tasks.engine.planner import StepView
from tasks.engine.ports import EndedStep, SnapshotView, StepFailed, StepWork
from tasks.engine.scope import needs_of, scope_of

from . import workflow_sql
from .work import Query, Work

log = structlog.get_logger(__name__)

RUN_INPUT: Final = "SELECT input FROM tasks_runbody WHERE run_id = %(run)s"
UNREAD: Final = object()


@dataclass(frozen=True, slots=True)
class Passed:
    """How such a node ended; with a code it failed."""

    output: Any = None
    taken: tuple[str, ...] = ()
    writes: Mapping[str, Any] | None = None
    error_code: str = ""
    error_detail: str = ""


class Passing:
    """Goes through such nodes of a run, remembering what ended in this transaction: the database does not know yet.

    They are `here`, in order. `run` has project_id and network_id. The run's input is read when it is needed and
    not `given`; a `fresh` run has nothing to be read.
    """

    def __init__(
        self,
        run_id: str,
        run: Mapping[str, Any],
        snapshot: SnapshotView,
        ended: Sequence[EndedStep] = (),
        *,
        given: Any = UNREAD,
        fresh: bool = False,
    ) -> None:
        assert snapshot.graph is not None
        self._graph = snapshot.graph
        self._run_id = run_id
        self._run = run
        self._snapshot = snapshot
        self.here = list(ended)
        self._given = given
        self._fresh = fresh

    def through(self, view: StepView) -> Work[Passed]:
        """Work out how a node's step ends."""
        try:
            passed = yield from self._through(view)
        except StepFailed as error:
            passed = Passed(error_code=error.code, error_detail=str(error))
        except Exception as error:  # the step that led here must not fail for it
            log.exception("a node could not be worked out", run_id=self._run_id, key=view.key)
            passed = Passed(error_code="internal_error", error_detail=f"{type(error).__name__}: {error}")
        self.here.append(
            EndedStep(
                view.id,
                view.key,
                "failed" if passed.error_code else "succeeded",
                passed.output,
                passed.writes,
                passed.error_code,
                passed.error_detail,
            )
        )
        return passed

    def _through(self, view: StepView) -> Work[Passed]:
        graph, node = self._graph, self._graph.by_id[parse_key(view.key)[0]]
        ended = yield from self._ended(view, needs_of(graph, node).nodes)
        if self._given is UNREAD:
            [rows] = yield (Query(RUN_INPUT, {"run": self._run_id}),)
            self._given = rows[0]["input"]
        facts = facts_of(self._run_id, self._run["project_id"], self._run["network_id"], self._snapshot)
        scope = scope_of(graph, view.key, facts, self._given, view.parents, ended)
        work = NodeWork(self._work(view), graph, node, scope)
        result = concluded(work, CONTROL[node.type](work))
        return Passed(result.output, result.taken, result.writes)

    def _ended(self, view: StepView, nodes: frozenset[str]) -> Work[Sequence[EndedStep]]:
        """What ended before a step and matters to it, in the order in which it ended."""
        here = [step for step in self.here if step.id in view.parents or parse_key(step.key)[0] in nodes]
        known = {parse_key(step.key)[0] for step in here}
        last_is_here = not view.parents or any(step.id in view.parents for step in here)
        if self._fresh or (nodes <= known and last_is_here):
            return here
        parameters = {"run": self._run_id, "nodes": list(nodes), "parents": list(view.parents)}
        [rows] = yield (Query(workflow_sql.ENDED_STEPS, parameters),)
        return [*(EndedStep(**row) for row in rows), *here]

    def _work(self, view: StepView) -> StepWork:
        return StepWork(
            id=view.id,
            run_id=self._run_id,
            project_id=self._run["project_id"],
            network_id=self._run["network_id"] or "",
            key=view.key,
            kind=view.kind,
            label="",
            round=view.round,
            agent_id="",
            fence=1,
            max_iterations=1,
            input={},
            run_input=self._given,
            snapshot=self._snapshot,
            parents=view.parents,
        )
