"""Steps that need nobody: done in the transaction that made them ready, so that a caller does not wait for a worker.

Branches, joins and loops decide by what is there, and a prompt is a filled template. Whatever asks a model, a tool or
a person is left to the workers, and so is what is too much for one transaction.
"""

from collections import deque
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from tasks.engine.executor import EXECUTORS
from tasks.engine.ports import EndedStep, StepFailed, StepPort, StepResult, StepWork, Wait
from tasks.engine.scope import needs_of, node_of

from . import sql, workflow_sql
from .claim import work_of
from .finish import TERMINAL, Finished, StepEnd, finishing
from .pausing import Pause, pausing
from .snapshots import Snapshots
from .work import Query, Work

HERE: Final = frozenset({"start", "end", "branch", "parallel", "join", "loop", "say", "ask", "hand_over"})
OWNER: Final = "a call"
MOST: Final = 30  # steps of one transaction

Ready = tuple[str, str]  # kind, id


@dataclass(slots=True)
class Advanced:
    """What came of it: the steps that are left to the workers, and how the run ended, if it did."""

    left: list[Ready] = field(default_factory=list)
    end: Finished | None = None


def advancing(run_id: str, ready: Sequence[Ready], snapshots: Snapshots) -> Work[Advanced]:
    """Do what needs nobody, from these ready steps on, in the transaction that is open."""
    advanced = Advanced()
    waiting, done = deque(ready), 0
    while waiting:
        kind, step_id = waiting.popleft()
        if kind not in HERE or done == MOST:
            advanced.left.append((kind, step_id))
            continue
        done += 1
        finished = yield from _do(run_id, step_id, snapshots)
        waiting.extend(finished.ready)
        if finished.run_state in TERMINAL:
            advanced.end = finished
    return advanced


def _do(run_id: str, step_id: str, snapshots: Snapshots) -> Work[Finished]:
    [taken] = yield (Query(workflow_sql.TAKE_STEP, {"step": step_id, "owner": OWNER}),)
    if not taken:
        return Finished(stale=True)
    [[row]] = yield (Query(sql.LOAD, {"ids": [step_id], "owner": OWNER}),)
    views = yield from snapshots.load([row["snapshot_id"]])
    work = work_of(row, views[row["snapshot_id"]])
    about = {"key": work.key, "kind": work.kind, "agent_id": work.agent_id}
    started = ("step.started", {**about, "label": work.label, "round": work.round})
    names: dict[str, Any] = {
        "step_id": step_id,
        "run_id": run_id,
        "fence": work.fence,
        "worker": OWNER,
        "events": [started],
    }
    graph, node = node_of(work)
    parameters = {"run": run_id, "nodes": list(needs_of(graph, node).nodes), "parents": list(work.parents)}
    [ended] = yield (Query(workflow_sql.ENDED_STEPS, parameters),)
    try:
        result = _at_once(work, [EndedStep(**step) for step in ended])
    except StepFailed as error:
        end = StepEnd(state="failed", error_code=error.code, error_detail=str(error), **names)
        return (yield from finishing(end, snapshots))
    if not isinstance(result, StepResult):
        paused = yield from pausing(Pause(wait=result, **names))
        return Finished(stale=paused.stale, ready=paused.ready)
    end = StepEnd(
        state="succeeded",
        output=result.output,
        input=result.input,
        writes=result.writes,
        taken=result.taken,
        **names,
    )
    return (yield from finishing(end, snapshots))


def _at_once(work: StepWork, ended: Sequence[EndedStep]) -> StepResult | Wait:
    """Run an executor that awaits nothing but what has been read already."""
    read = cast(StepPort, _Read(ended))
    running = cast(Coroutine[Any, None, StepResult | Wait], EXECUTORS[work.kind](work, read))
    try:
        running.send(None)
    except StopIteration as end:
        result: StepResult | Wait = end.value
        return result
    running.close()
    raise StepFailed("internal_error", f"A {work.kind} step waits for the world.", final=True)


class _Read:
    """A step's port on which all that may be asked has been read."""

    def __init__(self, ended: Sequence[EndedStep]) -> None:
        self._ended = ended

    async def ended(self, nodes: Collection[str]) -> Sequence[EndedStep]:
        return self._ended
