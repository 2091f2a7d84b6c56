"""What keeps a graph from being run, each told with its node."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows.nodes.base import World
from workflows.parsing import graph_as_json, parse_graph
from workflows.validation import validate

WORLD = World(
    agents=frozenset({"agent_1"}),
    tools=frozenset({"tool_1"}),
    networks=frozenset({"network_1"}),
    people=frozenset({"approver", "ann@example.com"}),
)


def node(id_, type_="agent", **fields):
    if type_ == "agent":
        fields.setdefault("agent_id", "agent_1")
        fields.setdefault("config", {"prompt": "Write."})
    if type_ == "tool":
        fields.setdefault("tool_id", "tool_1")
    return {"id": id_, "type": type_, **fields}


def edge(source, target, **fields):
    return {"id": f"{source}-{target}", "from_node_id": source, "to_node_id": target, **fields}


def line(*middle, edges=None):
    """start → middle… → end, or with the edges given."""
    nodes = [node("start", "start"), *middle, node("end", "end")]
    chain = [edge(a["id"], b["id"]) for a, b in itertools.pairwise(nodes)]
    return {"nodes": nodes, "edges": chain if edges is None else edges}


def findings(body, world=WORLD):
    return {(found.code, found.node_id) for found in validate(body, world)[1]}


def test_it_accepts_every_node_type_in_its_place():
    body = {
        "nodes": [
            node("start", "start"),
            node("fan", "parallel"),
            node("a", config={"prompt": "{{ input.topic }}", "writes": {"score": "{{ output.score }}"}}),
            node("b", "tool", config={"input": {"q": "{{ input.topic }}"}}),
            node("join", "join"),
            node("loop", "loop", config={"max_rounds": 3, "while": "loop.round < 2 and context.score < 1"}),
            node("again", config={"prompt": "Round {{ loop.round }}: {{ nodes.a.output.text }}"}),
            node("which", "branch"),
            node("ask", "human_approval", config={"approvers": ["approver"], "data": "{{ nodes.a.output }}"}),
            node("sub", "task", config={"network_id": "network_1", "task": "{{ nodes.a.output.text }}"}),
            node("end", "end"),
        ],
        "edges": [
            edge("start", "fan"),
            edge("fan", "a"),
            edge("fan", "b"),
            edge("a", "join"),
            edge("b", "join"),
            edge("join", "loop"),
            edge("loop", "again", label="body"),
            edge("again", "loop"),
            edge("loop", "which"),
            edge("which", "ask", condition="context.score > 0.5"),
            edge("which", "sub"),
            edge("ask", "end"),
            edge("sub", "end"),
        ],
    }
    assert findings(body) == set()
    graph, _ = validate(body, WORLD)
    assert graph.loops == {"loop": frozenset({"again"})}
    assert parse_graph(graph_as_json(graph)) == (graph, [])


@pytest.mark.parametrize(
    ("body", "code", "where"),
    [
        ({"nodes": [], "edges": []}, "no_start", ""),
        ({"nodes": [node("start", "start")], "edges": []}, "no_end", ""),
        (line(node("a"), node("start2", "start")), "two_starts", "start2"),
        ({**line(node("a")), "nodes": [*line(node("a"))["nodes"], node("lost")]}, "unreachable", "lost"),
        (
            line(node("a"), node("b"), edges=[edge("start", "a"), edge("a", "b"), edge("b", "a"), edge("b", "end")]),
            "cycle", "a",
        ),
        (line(node("a", agent_id="agent_9")), "unknown_agent", "a"),
        (line(node("a", agent_id="")), "missing_agent", "a"),
        (line(node("a", "tool", tool_id="tool_9")), "unknown_tool", "a"),
        (line(node("a", config={"prompt": "x", "tools": ["tool_9"]})), "unknown_tool", "a"),
        (line(node("a", "task", config={"network_id": "network_9", "task": "x"})), "unknown_network", "a"),
        (line(node("a", "magic")), "unknown_type", "a"),
        (line(node("a", config={"prompt": "{{ nodes.b.output }}"}), node("b")), "not_an_ancestor", "a"),
        (line(node("a", config={"prompt": "{{ nodes.zz.output }}"})), "unknown_node", "a"),
        (line(node("a", config={"prompt": "{{ nodes.a.output }}"})), "not_an_ancestor", "a"),
        (line(node("a", config={"prompt": "{{ inptu.x }}"})), "unknown_name", "a"),
        (line(node("a", config={"prompt": "{{ input. }}"})), "bad_template", "a"),
        (line(node("a", config={"prompt": "{{ loop.round }}"})), "not_in_a_loop", "a"),
        (line(node("a", config={"propmt": "x"})), "bad_config", "a"),
        (line(node("a", config={"prompt": "x", "temperature": 3})), "bad_config", "a"),
        (line(node("a", config={"prompt": "x", "output_schema": {"type": "strin"}})), "bad_schema", "a"),
        (line(node("a", config={"prompt": "x", "on_error": "route"})), "no_error_route", "a"),
        (line(node("a", "human_approval")), "missing_approver", "a"),
        (line(node("a", "human_approval", config={"approvers": ["bob@example.com"]})), "unknown_approver", "a"),
        (line(node("a", "human_approval", config={"approvers": ["approver"], "on_deadline": "reject"})), "no_deadline", "a"),
        (line(node("a"), edges=[edge("start", "a"), edge("a", "end", condition="output.x >")]), "bad_condition", "a"),
        (line(node("a"), edges=[edge("start", "a"), edge("a", "end"), edge("end", "a")]), "edge_too_many", "end"),
        (line(node("a"), edges=[edge("start", "a"), edge("a", "end"), edge("a", "nowhere")]), "unknown_node", ""),
        (
            line(node("a", "branch"), node("b"), edges=[edge("start", "a"), edge("a", "b", condition="true"),
                 edge("a", "end", condition="false"), edge("b", "end")]),
            "branch_without_default", "a",
        ),
        (
            line(node("a", "branch"), node("b"), edges=[edge("start", "a"), edge("a", "b"),
                 edge("a", "end", condition="false"), edge("b", "end")]),
            "branch_default_not_last", "a",
        ),
        (
            line(node("l", "loop", config={"max_rounds": 2}), node("b"),
                 edges=[edge("start", "l"), edge("l", "b"), edge("b", "end")]),
            "loop_without_body", "l",
        ),
        (
            line(node("l", "loop", config={"max_rounds": 2}), node("b"),
                 edges=[edge("start", "l"), edge("l", "b", label="body"), edge("b", "l"), edge("b", "end"),
                        edge("l", "end")]),
            "edge_out_of_loop", "b",
        ),
        ({"nodes": "x"}, "wrong_type", ""),
        ({"nodes": [{"id": "a b", "type": "agent"}]}, "bad_id", "a b"),
        ({"nodes": [node("a"), node("a")]}, "duplicate_id", "a"),
        ({"nodes": [{"id": "a", "type": "agent", "colour": "red"}]}, "unknown_field", ""),
        ([], "not_an_object", ""),
    ],
)  # fmt: skip
def test_it_names_the_node(body, code, where):
    assert (code, where) in findings(body)


def test_it_finds_everything_at_once():
    body = line(
        node("a", agent_id="agent_9", config={"prompt": "{{ nodes.b.output }}"}), node("b", "human_approval")
    )
    assert findings(body) == {("unknown_agent", "a"), ("not_an_ancestor", "a"), ("missing_approver", "b")}


def test_positions_are_no_part_of_a_graph():
    moved = line(node("a", position={"x": 5, "y": 9}))
    assert parse_graph(moved)[0] == parse_graph(line(node("a")))[0]


_ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["a", "b", "loop", "start"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["nodes", "edges", "id", "type", "config", "from_node_id", "to_node_id", "label", "prompt"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)
_TYPES = ["start", "end", "agent", "tool", "branch", "human_approval", "parallel", "join", "loop", "task"]
_NODES = st.lists(
    st.fixed_dictionaries({"id": st.sampled_from("abcdef"), "type": st.sampled_from(_TYPES)}), max_size=8
)
_EDGES = st.lists(
    st.fixed_dictionaries(
        {
            "from_node_id": st.sampled_from("abcdef"),
            "to_node_id": st.sampled_from("abcdef"),
            "label": st.sampled_from(["", "body"]),
        }
    ),
    max_size=14,
)


@settings(max_examples=600, deadline=None)
@given(_ANY | st.fixed_dictionaries({"nodes": _NODES, "edges": _EDGES}))
def test_it_has_an_answer_to_anything(body):
    graph, found = validate(body, WORLD)
    assert found or graph.of_type("start")
