"""The planner of workflows: a node runs when all edges to it are decided and at least one of them was taken.

A step's key is its node's id, and inside loops the rounds, outermost first: `draft`, `draft.0`, `draft.0.2`. A
loop node is one step a round: it takes its `body` edges to begin the round, or its others to end. Its edges
back belong to the next round.

An edge is decided when the step it leaves has ended: taken or not. A node that no edge leads to any more is
skipped, and so are those behind it. The planner looks only at what the end of one step can have changed.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from workflows.graph import LOOP_BODY, Edge, Graph, Node

from .planner import Fail, Finish, NewStep, Outcome, RunSteps, RunView, StepView

ERROR: Final = "error"
REJECTED: Final = "rejected"

Rounds = tuple[int, ...]


def step_key(node: str, rounds: Rounds = ()) -> str:
    """The key of a node's step in these rounds of the loops around it."""
    return ".".join((node, *map(str, rounds)))


def parse_key(key: str) -> tuple[str, Rounds]:
    """The node and the rounds of a step's key. Raises `ValueError` for what is none."""
    node, *rounds = key.split(".")
    return node, tuple(map(int, rounds))


class GraphPlanner:
    """Needs `RunView.graph`; the graph is valid (workflows.validation)."""

    def first(self, run: RunView, run_input: Mapping[str, Any]) -> RunSteps:
        """Begin at the start node."""
        start = _graph(run).of_type("start")[0]
        return RunSteps((_new_step(_graph(run), start, (), ()),))

    def after(self, run: RunView, ended: StepView, output: Any) -> Outcome:
        progress = _Progress(_graph(run), run.steps)
        node = progress.graph.by_id[parse_key(ended.key)[0]]
        on_error = node.config.get("on_error", "fail")
        if (
            ended.state not in ("succeeded", "skipped")
            and on_error == "fail"
            and not progress.given_up(ended)
        ):
            return Fail(
                ended.error_code or "step_failed", ended.error_detail or f"{ended.key} did not succeed."
            )
        new = tuple(progress.follow(ended))
        unneeded = list(progress.unneeded(new))
        cancel = tuple(step.id for step in unneeded if step.id)
        overtaken = {step.key for step in unneeded if not step.id}  # by a join that was reached with them
        new = tuple(
            replace(step, state="skipped", seconds=None) if step.key in overtaken else step for step in new
        )
        going_on = [step for step in run.steps if step.unfinished and step.id not in cancel]
        if going_on or any(step.state == "pending" for step in new):
            return RunSteps(new, cancel=cancel)
        ends = [step for step in run.steps if step.kind == "end" and step.state == "succeeded"]
        if ended in ends:
            return Finish(output)
        if ends:
            return Finish(None, step=max(ends, key=lambda step: step.id).id)
        return Fail("no_end_reached", "No path led to an end: no condition of the edges on it held.")


def _graph(run: RunView) -> Graph:
    if run.graph is None:
        raise ValueError(f"run {run.id} has no graph")
    return run.graph


@dataclass(frozen=True, slots=True)
class _Place:
    """A node in certain rounds; a loop node's own round is the last."""

    node: str
    rounds: Rounds

    @property
    def key(self) -> str:
        return step_key(self.node, self.rounds)


class _Progress:
    """What has been decided in a run."""

    def __init__(self, graph: Graph, steps: Iterable[StepView]) -> None:
        self.graph = graph
        self.steps = {step.key: step for step in steps}

    def follow(self, ended: StepView) -> Iterator[NewStep]:
        """Yield the steps that the end of one makes possible or impossible, in the order of the edges."""
        waiting = deque([_Place(*parse_key(ended.key))])
        while waiting:
            place = waiting.popleft()
            for edge in self.graph.out[place.node]:
                target = self._target(edge, place)
                if target is None or target.key in self.steps:
                    continue
                decided = self._decide(target)
                if decided is None:
                    continue
                self.steps[target.key] = _as_view(decided)
                yield decided
                if decided.state == "skipped":
                    waiting.append(target)

    def given_up(self, step: StepView) -> bool:
        """Whether a step was cancelled because a join went on without it."""
        return step.state == "cancelled" and step.error_code == "not_needed"

    def unneeded(self, new: Iterable[NewStep]) -> Iterator[StepView]:
        """Yield the unfinished steps that lead only to a join that goes on without them; new ones have no id."""
        for step in new:
            node, rounds = parse_key(step.key)
            if step.state == "pending" and self._takes_any(self.graph.by_id[node]):
                yield from self._stragglers(node, rounds)

    def _stragglers(self, join: str, rounds: Rounds) -> Iterator[StepView]:
        for step in self.steps.values():
            node, their_rounds = parse_key(step.key)
            if (
                step.unfinished
                and node != join
                and their_rounds[: len(rounds)] == rounds
                and join in self.graph.reached_from([node])
                and not any(
                    self.graph.by_id[on].type == "end" for on in self.graph.reached_from([node], stop_at=join)
                )
            ):
                yield step

    def _decide(self, target: _Place) -> NewStep | None:
        """Return the step of a place: to be run, to be skipped, or None while edges to it are undecided."""
        node = self.graph.by_id[target.node]
        taken: list[str] = []
        undecided = False
        for edge in self.graph.into[target.node]:
            for source in self._sources(edge, target):
                state = self._edge_state(edge, source)
                if state is None:
                    undecided = True
                elif state:
                    taken.append(source.key)
        if undecided and not (taken and self._takes_any(node)):
            return None
        return _new_step(self.graph, node, target.rounds, tuple(dict.fromkeys(taken)), skipped=not taken)

    @staticmethod
    def _takes_any(node: Node) -> bool:
        return node.type == "join" and node.config.get("mode") == "any"

    def _edge_state(self, edge: Edge, source: _Place) -> bool | None:
        """Whether the edge was taken at the source's end; None while that is open."""
        step = self.steps.get(source.key)
        if step is None or step.unfinished:
            return None
        return edge.id in self._taken(step, source.node)

    def _taken(self, step: StepView, node: str) -> Iterable[str]:
        if step.state == "succeeded":
            return step.taken
        if step.state != "failed":
            return ()
        edges = self.graph.out[node]
        match self.graph.by_id[node].config.get("on_error"):
            case "continue":
                return [
                    edge.id for edge in edges if not edge.condition and edge.label not in (ERROR, REJECTED)
                ]
            case "route":
                return [edge.id for edge in edges if edge.label == ERROR]
        return ()

    def _target(self, edge: Edge, source: _Place) -> _Place | None:
        """Where an edge leads from a place; None when this place's loop has not come to that edge."""
        graph = self.graph
        target = graph.by_id.get(edge.target)
        if target is None:
            return None
        rounds = source.rounds
        if edge.id in graph.back_edges:
            depth = len(graph.loops_around(target.id))
            return _Place(target.id, (*rounds[:depth], rounds[depth] + 1))
        if graph.by_id[source.node].type == "loop":
            begins = edge.label == LOOP_BODY
            step = self.steps.get(source.key)
            if step is None or begins != (
                step.state == "succeeded" and self._round_begins(step, source.node)
            ):
                return None  # a step either begins a round or ends the loop
            if not begins:
                rounds = rounds[:-1]
        return _Place(target.id, (*rounds, 0) if target.type == "loop" else rounds)

    def _round_begins(self, step: StepView, loop: str) -> bool:
        return any(edge.id in step.taken for edge in self.graph.out[loop] if edge.label == LOOP_BODY)

    def _sources(self, edge: Edge, target: _Place) -> Iterator[_Place]:
        """Yield the place an edge comes from, seen from its target; nothing when it belongs to another round."""
        graph = self.graph
        source = graph.by_id.get(edge.source)
        if source is None:
            return
        rounds = target.rounds
        if graph.by_id[target.node].type == "loop":
            back = edge.id in graph.back_edges
            if back != (rounds[-1] > 0):
                return
            rounds = (*rounds[:-1], rounds[-1] - 1) if back else rounds[:-1]
        if source.type == "loop" and edge.id in graph.back_edges:
            yield self._last_round(source.id, rounds)  # a loop that is the end of another's body
        elif source.type == "loop" and edge.label == LOOP_BODY:
            yield _Place(source.id, rounds)
        elif source.type == "loop":
            yield self._last_round(source.id, rounds)
        else:
            yield _Place(source.id, rounds)

    def _last_round(self, loop: str, outer: Rounds) -> _Place:
        """The step by which a loop ended; while it has not, the place where its next one will be."""
        round_ = 0
        while (step := self.steps.get(step_key(loop, (*outer, round_)))) is not None:
            if step.unfinished or step.state != "succeeded" or not self._round_begins(step, loop):
                break
            round_ += 1
        return _Place(loop, (*outer, round_))


def _new_step(
    graph: Graph, node: Node, rounds: Rounds, parents: tuple[str, ...], *, skipped: bool = False
) -> NewStep:
    seconds = node.config.get("timeout_seconds") if node.type != "human_approval" else None
    return NewStep(
        key=step_key(node.id, rounds),
        kind=node.type,
        label=(node.label or node.id)[:200],
        agent_id=node.agent_id,
        round=rounds[-1] + 1 if rounds else 0,
        parents=parents,
        seconds=float(seconds) if seconds and not skipped else None,
        state="skipped" if skipped else "pending",
    )


def _as_view(step: NewStep) -> StepView:
    return StepView("", step.key, step.kind, step.state)
