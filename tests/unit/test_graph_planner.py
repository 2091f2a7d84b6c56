"""Graphs of every shape come to their end, each node runs when it should and once."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.engine.graph_planner import GraphPlanner, parse_key
from tasks.engine.planner import Fail, Finish, RunSteps, RunView, StepView
from workflows.graph import Graph
from workflows.parsing import parse_graph
from workflows.validation import validate


class Play:
    """A run of a graph in which the test decides how steps end."""

    def __init__(self, body):
        self.graph, findings = parse_graph(body)
        assert findings == []
        self.planner = GraphPlanner()
        self.steps: dict[str, StepView] = {}
        self.outcome = None
        self.order: list[str] = []
        self.add(self.planner.first(self.view(), {}))

    def view(self):
        return RunView("run_1", 10, tuple(self.steps.values()), graph=self.graph)

    def add(self, outcome):
        if not isinstance(outcome, RunSteps):
            assert self.outcome is None
            self.outcome = outcome
            return
        for new in outcome.steps:
            assert new.key not in self.steps, f"{new.key} twice"
            parents = tuple(self.steps[key].id for key in new.parents)
            state = "running" if new.state == "pending" else "skipped"
            self.steps[new.key] = StepView(f"step_{len(self.steps):04}", new.key, new.kind, state, parents)
        for key, step in self.steps.items():
            if step.id in outcome.cancel:
                assert step.state == "running"
                self.steps[key] = replace(step, state="cancelled", error_code="not_needed")

    def end(self, key, *, taken=None, state="succeeded"):
        """End a step, taking the edges to the nodes named, or all."""
        node = parse_key(key)[0]
        edges = [e for e in self.graph.out[node] if taken is None or e.target in taken]
        ids = tuple(edge.id for edge in edges) if state == "succeeded" else ()
        assert self.steps[key].state == "running", f"{key} does not run"
        self.steps[key] = replace(self.steps[key], state=state, taken=ids)
        self.order.append(key)
        self.add(self.planner.after(self.view(), self.steps[key], {"from": key}))

    @property
    def running(self):
        return [key for key, step in self.steps.items() if step.state == "running"]

    @property
    def skipped(self):
        return {key for key, step in self.steps.items() if step.state == "skipped"}


def graph(*edges, **nodes):
    """`graph("start-a", "a-end", a="agent")`; start and end need no mention."""
    kinds = {"start": "start", "end": "end", **nodes}
    for pair in edges:
        for id_ in pair.split(":")[0].split("-"):
            kinds.setdefault(id_, "agent")
    configured = {id_: kind if isinstance(kind, dict) else {"type": kind} for id_, kind in kinds.items()}
    return {
        "nodes": [{"id": id_, **fields} for id_, fields in configured.items()],
        "edges": [
            {
                "id": pair,
                "from_node_id": pair.split(":")[0].split("-")[0],
                "to_node_id": pair.split(":")[0].split("-")[1],
                "label": pair.partition(":")[2],
            }
            for pair in edges
        ],
    }


def test_it_goes_along_a_line():
    play = Play(graph("start-a", "a-b", "b-end"))
    for key in ("start", "a", "b", "end"):
        assert play.running == [key]
        play.end(key)
    assert play.outcome == Finish({"from": "end"})


def test_it_joins_what_it_forked():
    play = Play(graph("start-p", "p-a", "p-b", "a-j", "b-j", "j-end", p="parallel", j="join"))
    play.end("start")
    play.end("p")
    assert play.running == ["a", "b"]
    play.end("a")
    assert play.running == ["b"]
    play.end("b")
    assert play.running == ["j"]
    assert len(play.steps["j"].parents) == 2


def test_an_untaken_branch_is_skipped_and_the_join_still_fires():
    play = Play(graph("start-w", "w-a", "w-b", "a-c", "c-j", "b-j", "j-end", w="branch", j="join"))
    play.end("start")
    play.end("w", taken=["b"])
    assert play.running == ["b"]
    assert play.skipped == {"a", "c"}
    play.end("b")
    assert play.running == ["j"]


def test_a_join_for_any_goes_on_with_the_first_and_cancels_the_rest():
    play = Play(
        graph(
            "start-p", "p-a", "p-b", "p-d", "a-j", "b-c", "c-j", "d-end", "j-end",
            p="parallel", j={"type": "join", "config": {"mode": "any"}},
        )
    )  # fmt: skip
    play.end("start")
    play.end("p")
    play.end("a")
    assert play.steps["b"].state == "cancelled"
    assert set(play.running) == {"d", "j"}, "what has an end of its own goes on"
    play.end("j")
    play.end("d")
    play.end("end")
    assert isinstance(play.outcome, Finish)


def test_a_loop_runs_its_body_once_a_round_and_then_goes_on():
    play = Play(
        graph("start-l", "l-a:body", "a-b", "b-l", "l-end", l={"type": "loop", "config": {"max_rounds": 3}})
    )
    play.end("start")
    for round_ in range(3):
        play.end(f"l.{round_}", taken=["a"])
        assert play.running == [f"a.{round_}"]
        play.end(f"a.{round_}")
        play.end(f"b.{round_}")
    play.end("l.3", taken=["end"])
    assert play.running == ["end"]


def test_loops_nest():
    play = Play(
        graph("start-l", "l-m:body", "m-a:body", "a-m", "m-b", "b-l", "l-end", l="loop", m="loop"),
    )
    play.end("start")
    for outer in range(2):
        play.end(f"l.{outer}", taken=["m"])
        for inner in range(2):
            play.end(f"m.{outer}.{inner}", taken=["a"])
            play.end(f"a.{outer}.{inner}")
        play.end(f"m.{outer}.2", taken=["b"])
        play.end(f"b.{outer}")
    play.end("l.2", taken=["end"])
    assert play.running == ["end"]


def test_a_loop_may_end_another_loops_body():
    play = Play(graph("start-l", "l-m:body", "m-a:body", "a-m", "m-l", "l-end", l="loop", m="loop"))
    play.end("start")
    play.end("l.0", taken=["m"])
    play.end("m.0.0", taken=["a"])
    assert play.running == ["a.0.0"], "the outer loop waits for the inner one"
    play.end("a.0.0")
    play.end("m.0.1", taken=["l"])
    assert play.running == ["l.1"]
    play.end("l.1", taken=["end"])
    assert play.running == ["end"]


def test_a_skipped_loop_skips_what_follows_once():
    play = Play(
        graph("start-w", "w-l", "w-x", "l-a:body", "a-l", "l-y", "y-end", "x-end", w="branch", l="loop")
    )
    play.end("start")
    play.end("w", taken=["x"])
    assert play.skipped == {"l.0", "y"}
    play.end("x")
    assert play.running == ["end"]


@pytest.mark.parametrize(
    ("on_error", "running", "skipped"),
    [("continue", ["b"], {"x"}), ("route", ["x"], {"b"})],
)
def test_a_failed_node_goes_on_as_it_says(on_error, running, skipped):
    play = Play(
        graph(
            "start-a",
            "a-b",
            "a-x:error",
            "b-end",
            "x-end",
            a={"type": "agent", "config": {"on_error": on_error}},
        )
    )
    play.end("start")
    play.end("a", state="failed")
    assert (play.running, play.skipped) == (running, skipped)


def test_a_failed_node_fails_the_run_otherwise():
    play = Play(graph("start-a", "a-end"))
    play.end("start")
    play.end("a", state="failed")
    assert isinstance(play.outcome, Fail)


def test_the_last_end_is_the_result_though_another_path_dies_later():
    play = Play(graph("start-p", "p-a", "p-b", "a-end", "b-end2", p="parallel", end2="end"))
    play.end("start")
    play.end("p")
    play.end("a")
    play.end("end")
    play.end("b", taken=[])
    assert play.outcome == Finish(None, step=play.steps["end"].id)


def test_no_end_reached_is_a_failure():
    play = Play(graph("start-a", "a-end"))
    play.end("start")
    play.end("a", taken=[])
    assert play.outcome is not None
    assert play.outcome.code == "no_end_reached"


class Builder:
    """Random graphs that are valid: blocks in sequence, in parallel, in branches, in loops."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.nodes, self.edges = [], []
        last = self.block(self.node("start"), 0)
        self.edge(last, self.node("end"))

    def node(self, type_, **config):
        id_ = f"{type_}{len(self.nodes)}"
        fields = {"agent_id": "agent_1"} if type_ == "agent" else {}
        self.nodes.append({"id": id_, "type": type_, "config": config, **fields})
        return id_

    def edge(self, source, target, label="", condition=""):
        self.edges.append(
            {
                "id": f"e{len(self.edges)}",
                "from_node_id": source,
                "to_node_id": target,
                "label": label,
                "condition": condition,
            }
        )

    def block(self, last, depth):
        for _ in range(self.random.randint(1, 3)):
            kind = self.random.choice(
                ["agent", "agent", "parallel", "branch", "loop"] if depth < 3 else ["agent"]
            )
            last = getattr(self, kind)(last, depth)
        return last

    def agent(self, last, depth):
        node = self.node("agent", on_error=self.random.choice(["fail", "continue"]))
        self.edge(last, node)
        return node

    def parallel(self, last, depth):
        fork, join = self.node("parallel"), self.node("join", mode=self.random.choice(["all", "any"]))
        self.edge(last, fork)
        for _ in range(self.random.randint(2, 4)):
            self.edge(self.block(fork, depth + 1), join)
        return join

    def branch(self, last, depth):
        node, join = self.node("branch"), self.node("join")
        self.edge(last, node)
        first = len(self.edges)
        ways = self.random.randint(2, 3)
        for _ in range(ways):
            first = len(self.edges)
            end = self.block(node, depth + 1)
            if _ < ways - 1:
                self.edges[first]["condition"] = "true"
            self.edge(end, join)
        return join

    def loop(self, last, depth):
        loop, first = self.node("loop", max_rounds=3), len(self.edges)
        self.edge(last, loop)
        first = len(self.edges)
        end = self.block(loop, depth + 1)
        self.edges[first]["label"] = "body"
        self.edge(end, loop)
        return loop


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 10**9))
def test_every_graph_comes_to_its_end(seed):
    builder = Builder(seed)
    body = {"nodes": builder.nodes, "edges": builder.edges}
    parsed, found = validate(body)
    assert found == []
    play, choose = Play(body), random.Random(seed + 1)
    while play.outcome is None:
        assert play.running, "the run is stuck"
        key = choose.choice(play.running)
        node = parsed.by_id[parse_key(key)[0]]
        if node.type == "branch":
            play.end(key, taken=[choose.choice(parsed.out[node.id]).target])
        elif node.type == "loop":
            _end_round(play, parsed, key, again=choose.random() < 0.5)
        elif node.type == "agent" and node.config["on_error"] == "continue" and choose.random() < 0.3:
            play.end(key, state="failed")
        else:
            play.end(key)
    assert isinstance(play.outcome, Finish)
    assert play.running == []
    ends = {key: position for position, key in enumerate(play.order)}
    for key, step in play.steps.items():
        if step.state in ("succeeded", "failed"):
            for parent in step.parents:
                of = next(other for other, view in play.steps.items() if view.id == parent)
                assert ends[of] < ends[key], "a step began before its parent ended"


def _end_round(play: Play, parsed: Graph, key: str, *, again: bool) -> None:
    node, rounds = parse_key(key)
    body = [edge.target for edge in parsed.out[node] if edge.label == "body"]
    on = [edge.target for edge in parsed.out[node] if edge.label != "body"]
    play.end(key, taken=body if again and rounds[-1] < 3 else on)
