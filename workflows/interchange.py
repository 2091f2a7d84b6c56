"""A workflow as a document that another project can take: agents, tools and networks by name, not by id. Pure.

    {"format": "ai-mesh-workflow/1", "name", "description", "graph": {nodes, edges}}

In it `agent` and `tool` of a node, `tools` and `network` of its config are names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import yaml

from .findings import Finding

FORMAT: Final = "ai-mesh-workflow/1"
LONGEST: Final = 1024 * 1024

Kind = Literal["agent", "tool", "network"]


@dataclass(frozen=True, slots=True)
class Names:
    """Names by id, or ids by name, of what a graph may refer to."""

    agents: Mapping[str, str] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)


class BadDocument(ValueError):
    """A document cannot be read; the message says why."""


def export_document(
    *, name: str, description: str, graph: Mapping[str, Any], layout: Mapping[str, Any], names: Names
) -> dict[str, Any]:
    """Make the document of a workflow. What has lost its name keeps its id."""
    nodes = []
    for node in graph.get("nodes", ()):
        out = dict(node)
        if id_ := out.pop("agent_id", ""):
            out["agent"] = names.agents.get(id_, id_)
        if id_ := out.pop("tool_id", ""):
            out["tool"] = names.tools.get(id_, id_)
        config = dict(out.get("config", {}))
        if "tools" in config:
            config["tools"] = [names.tools.get(id_, id_) for id_ in config["tools"]]
        if "network_id" in config:
            config["network"] = names.networks.get(config["network_id"], config.pop("network_id"))
            config.pop("network_id", None)
        if config:
            out["config"] = config
        if node["id"] in layout:
            out["position"] = layout[node["id"]]
        nodes.append(out)
    return {
        "format": FORMAT,
        "name": name,
        "description": description,
        "graph": {"nodes": nodes, "edges": list(graph.get("edges", ()))},
    }


def import_document(document: Any, names: Names) -> tuple[dict[str, Any], list[Finding]]:
    """Return {name, description, graph} with ids in place of names; a name nobody has stays, and is a finding.

    Raises `BadDocument` for what is no document of ours.
    """
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise BadDocument(f"The document has no `format: {FORMAT}`.")
    graph = document.get("graph")
    if not isinstance(graph, Mapping) or not isinstance(graph.get("nodes"), list):
        raise BadDocument("The document has no graph with nodes.")
    findings: list[Finding] = []
    nodes = [
        _import_node(node, names, findings) if isinstance(node, Mapping) else node for node in graph["nodes"]
    ]
    found = {
        "name": document.get("name"),
        "description": document.get("description") or "",
        "graph": {"nodes": nodes, "edges": graph.get("edges", [])},
    }
    return found, findings


def read_document(text: str) -> Any:
    """Read JSON or YAML, of which JSON is a part. Raises `BadDocument`; no tags, no aliases."""
    if len(text) > LONGEST:
        raise BadDocument(f"The document is longer than {LONGEST} characters.")
    try:
        return yaml.load(text, Loader=_PlainLoader)  # noqa: S506  (a safe loader, and stricter)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadDocument(f"The document cannot be read: {str(error)[:300]}") from None


def write_yaml(document: Mapping[str, Any]) -> str:
    """Write a document as YAML, in the order of its members."""
    return yaml.dump(dict(document), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=100)


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them grow to gigabytes. Dates stay the texts that they are."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise BadDocument("The document uses aliases, which are not read.")
        return super().compose_node(parent, index)


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _PlainDumper(yaml.SafeDumper):
    """YAML for people: texts of several lines as blocks, no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_PlainDumper.add_representer(str, _text)


def _import_node(node: Mapping[str, Any], names: Names, findings: list[Finding]) -> dict[str, Any]:
    out = dict(node)
    id_ = str(node.get("id", ""))

    def resolve(kind: Kind, ids: Mapping[str, str], name: Any, field_: str) -> Any:
        if not isinstance(name, str) or name in ids.values():
            return name
        if name not in ids:
            findings.append(
                Finding(f"unknown_{kind}", f"There is no {kind} called {name!r}.", id_, field=field_)
            )
        return ids.get(name, name)

    if "agent" in out:
        out["agent_id"] = resolve("agent", names.agents, out.pop("agent"), "/agent_id")
    if "tool" in out:
        out["tool_id"] = resolve("tool", names.tools, out.pop("tool"), "/tool_id")
    if isinstance(node.get("config"), Mapping):
        config = dict(node["config"])
        if isinstance(config.get("tools"), list):
            config["tools"] = [
                resolve("tool", names.tools, name, f"/config/tools/{index}")
                for index, name in enumerate(config["tools"])
            ]
        if "network" in config:
            config["network_id"] = resolve(
                "network", names.networks, config.pop("network"), "/config/network_id"
            )
        out["config"] = config
    return out
