"""Workflows over HTTP: drafts and findings, versions, publishing, comparing, import and export."""

import itertools
from typing import Any

import pytest
import yaml

from agents.models import Agent, Tool
from networks.models import Network

from .conftest import Caller, make_caller

WORKFLOWS = "/api/workflows"


def node(id_: str, type_: str, **fields: Any) -> dict[str, Any]:
    return {"id": id_, "type": type_, **fields}


def graph(*nodes: dict[str, Any]) -> dict[str, Any]:
    """start → nodes… → end."""
    line = [node("start", "start"), *nodes, node("end", "end")]
    edges = [
        {"id": f"e{index}", "from_node_id": a["id"], "to_node_id": b["id"]}
        for index, (a, b) in enumerate(itertools.pairwise(line))
    ]
    return {"nodes": line, "edges": edges}


@pytest.fixture
def agent(owner: Caller) -> Agent:
    return Agent.objects.create(project=owner.project, name="Copywriter", type="content")


@pytest.fixture
def writing(agent: Agent) -> dict[str, Any]:
    return graph(node("write", "agent", agent_id=agent.pk, config={"prompt": "{{ input.topic }}"}))


@pytest.fixture
def workflow(owner: Caller, writing: dict[str, Any]) -> dict[str, Any]:
    answer = owner.post(WORKFLOWS, {"name": "Brief", "graph": writing})
    assert answer.status_code == 201, answer.content
    return answer.json()


def address(workflow: dict[str, Any]) -> str:
    return f"{WORKFLOWS}/{workflow['id']}"


def test_it_creates_a_valid_workflow(
    owner: Caller, workflow: dict[str, Any], writing: dict[str, Any]
) -> None:
    assert workflow["valid"] is True
    assert workflow["findings"] == []
    assert workflow["version"] == 1
    assert workflow["published_version"] is None
    assert workflow["graph"] == writing
    got = owner.get(address(workflow))
    assert got.json() == workflow
    assert got.headers["ETag"] == '"1"'
    assert [item["id"] for item in owner.get(WORKFLOWS).json()] == [workflow["id"]]


def test_it_keeps_an_invalid_graph_as_a_draft_and_names_every_finding(owner: Caller) -> None:
    bad = graph(node("a", "agent", agent_id="agent_x"), node("b", "human_approval"), node("c", "branch"))
    made = owner.post(WORKFLOWS, {"name": "Draft", "graph": bad})
    assert made.status_code == 201
    draft = made.json()
    assert draft["valid"] is False
    found = {(finding["code"], finding.get("node_id")) for finding in draft["findings"]}
    assert {("unknown_agent", "a"), ("missing_approver", "b"), ("edge_missing", "c")} <= found
    refused = owner.post(f"{address(draft)}/publish")
    assert refused.status_code == 422
    assert refused.json()["code"] == "invalid_workflow"
    assert len(refused.json()["errors"]) == len(draft["findings"])
    assert "/graph/nodes/a/agent_id" in {error["pointer"] for error in refused.json()["errors"]}


@pytest.mark.parametrize("to", ["publish", "runs"])
def test_it_names_the_node_of_everything_that_keeps_a_graph_from_being_run(
    owner: Caller, agent: Agent, to: str
) -> None:
    def said(id_: str, prompt: str = "Go.") -> dict[str, Any]:
        return node(id_, "agent", agent_id=agent.pk, config={"prompt": prompt})

    def edge(source: str, target: str, **fields: str) -> dict[str, Any]:
        return {"id": f"{source}-{target}", "from_node_id": source, "to_node_id": target, **fields}

    bad = {
        "nodes": [
            *(node("start", "start"), node("which", "branch"), said("a"), said("b", "{{ nodes.c.output }}")),
            *(said("c"), said("round"), said("again"), said("lost"), node("end", "end")),
        ],
        "edges": [
            *(edge("start", "which"), edge("start", "round"), edge("round", "again"), edge("again", "round")),
            *(edge("which", "a", condition="input.n > 1"), edge("which", "b", condition="input.n > 2")),
            *(edge("a", "c"), edge("b", "end"), edge("c", "end"), edge("again", "end"), edge("lost", "end")),
        ],
    }
    made = owner.post(WORKFLOWS, {"name": "Draft", "graph": bad})
    assert (made.status_code, made.json()["valid"]) == (201, False)
    refused = owner.post(f"{address(made.json())}/{to}")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_workflow")
    found = {(error["code"], error["pointer"].split("/")[3]) for error in refused.json()["errors"]}
    assert found == {
        ("branch_without_default", "which"),
        ("not_an_ancestor", "b"),
        ("cycle", "round"),
        ("cycle", "again"),
        ("unreachable", "lost"),
        ("edge_missing", "lost"),
    }


def test_it_accepts_the_camel_case_of_the_original_design(owner: Caller) -> None:
    answer = owner.post(WORKFLOWS, {"name": "Camel", "projectId": owner.project.pk})
    assert answer.status_code == 201
    assert owner.post(WORKFLOWS, {"name": "Camel", "projectId": "project_other"}).status_code == 404


def test_a_save_makes_a_version_only_when_the_graph_does_something_else(
    owner: Caller, workflow: dict[str, Any], writing: dict[str, Any]
) -> None:
    moved = {**writing, "nodes": [{**item, "position": {"x": 10, "y": 20.5}} for item in writing["nodes"]]}
    after = owner.patch(address(workflow), {"graph": moved}).json()
    assert (after["version"], after["revision"]) == (1, 2)
    assert after["graph"]["nodes"][0]["position"] == {"x": 10, "y": 20.5}
    changed = graph(
        node("write", "agent", agent_id=writing["nodes"][1]["agent_id"], config={"prompt": "Other"})
    )
    assert owner.patch(address(workflow), {"graph": changed}).json()["version"] == 2
    versions = owner.get(f"{address(workflow)}/versions").json()
    assert [version["number"] for version in versions] == [2, 1]
    assert owner.get(f"{address(workflow)}/versions/1").json()["graph"] == writing
    compared = owner.get(f"{address(workflow)}/versions/1/diff/2").json()
    assert compared["nodes"] == {
        "added": [],
        "removed": [],
        "changed": [
            {"id": "write", "fields": {"config.prompt": {"before": "{{ input.topic }}", "after": "Other"}}}
        ],
    }


def test_a_put_needs_the_revision_it_replaces(owner: Caller, workflow: dict[str, Any]) -> None:
    def put(**headers: str) -> Any:
        return owner.http.put(
            address(workflow),
            {"name": "New"},
            content_type="application/json",
            headers=owner.headers(**headers),
        )

    assert put().json()["code"] == "precondition_required"
    assert put(If_Match='"7"').status_code == 412
    assert put(If_Match='"1"').status_code == 200
    assert put(If_Match='"1"').json()["code"] == "revision_mismatch"


def test_it_publishes_a_version_with_a_note(owner: Caller, workflow: dict[str, Any]) -> None:
    published = owner.post(f"{address(workflow)}/publish", {"note": "First."})
    assert published.status_code == 200
    assert published.json()["published"] is True
    assert published.json()["note"] == "First."
    assert owner.get(address(workflow)).json()["published_version"] == 1


def test_it_looks_again_before_it_publishes(owner: Caller, workflow: dict[str, Any], agent: Agent) -> None:
    agent.delete()
    refused = owner.post(f"{address(workflow)}/publish")
    assert refused.status_code == 422
    assert [error["code"] for error in refused.json()["errors"]] == ["unknown_agent"]


def test_it_validates_without_keeping(owner: Caller, workflow: dict[str, Any]) -> None:
    assert owner.post(f"{address(workflow)}/validate").json() == {"valid": True, "findings": []}
    found = owner.post(f"{address(workflow)}/validate", {"graph": {"nodes": [], "edges": []}}).json()
    assert {finding["code"] for finding in found["findings"]} == {"no_start", "no_end"}


def test_an_archived_workflow_is_gone(owner: Caller, workflow: dict[str, Any]) -> None:
    assert owner.delete(address(workflow)).status_code == 204
    assert owner.get(address(workflow)).status_code == 404


@pytest.mark.parametrize("graph", ["x", 5, [], {"nodes": "x"}, {"nodes": [5]}, {"bogus": 1}])
def test_it_refuses_what_is_no_graph_at_all(owner: Caller, graph: Any) -> None:
    answer = owner.post(WORKFLOWS, {"name": "X", "graph": graph})
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_a_restricted_key_sees_no_workflows(
    owner: Caller, network: Network, workflow: dict[str, Any]
) -> None:
    restricted = make_caller(owner.project, "write", "read", network_ids=[network.pk])
    assert restricted.get(WORKFLOWS).json() == []
    assert restricted.get(address(workflow)).status_code == 404
    assert restricted.post(WORKFLOWS, {"name": "X"}).status_code == 403


def test_it_travels_to_another_project_by_names(owner: Caller, stranger: Caller, agent: Agent) -> None:
    tool = Tool.objects.create(project=owner.project, name="crm", type="http")
    made = owner.post(
        WORKFLOWS,
        {
            "name": "Support",
            "graph": graph(
                node("a", "agent", agent_id=agent.pk, config={"prompt": "Hi\nthere", "tools": [tool.pk]}),
                node("t", "tool", tool_id=tool.pk, position={"x": 1, "y": 2}),
            ),
        },
    ).json()
    exported = owner.get(f"{address(made)}/export").json()
    assert exported["graph"]["nodes"][1]["agent"] == "Copywriter"
    assert exported["graph"]["nodes"][1]["config"]["tools"] == ["crm"]
    as_yaml = owner.get(f"{address(made)}/export", Accept="application/yaml")
    assert as_yaml.headers["Content-Type"].startswith("application/yaml")
    assert yaml.safe_load(as_yaml.content) == exported

    without = stranger.post(f"{WORKFLOWS}/import", {"document": exported}).json()
    assert {finding["code"] for finding in without["findings"]} == {"unknown_agent", "unknown_tool"}
    theirs = Agent.objects.create(project=stranger.project, name="Copywriter", type="content")
    their_tool = Tool.objects.create(project=stranger.project, name="crm", type="http")
    arrived = stranger.post(f"{WORKFLOWS}/import", {"yaml": as_yaml.content.decode(), "name": "Ours"}).json()
    assert arrived["valid"] is True, arrived["findings"]
    assert arrived["graph"]["nodes"][1]["agent_id"] == theirs.pk
    assert arrived["graph"]["nodes"][2] == node("t", "tool", tool_id=their_tool.pk, position={"x": 1, "y": 2})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"document": {}},
        {"document": [1]},
        {"document": {"format": "ai-mesh-workflow/1", "name": "X"}},
        {"yaml": "a: &a [1]\nb: [*a, *a]"},
        {"yaml": "!!python/object/apply:os.system ['true']"},
        {"yaml": "{"},
        {"yaml": "a: 1", "document": {}},
    ],
)
def test_it_refuses_what_is_no_document(owner: Caller, body: Any) -> None:
    answer = owner.post(f"{WORKFLOWS}/import", body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] in ("/document", "/yaml")
