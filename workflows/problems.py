"""A graph's findings as a problem document."""

from collections.abc import Iterable, Mapping
from typing import Any

from web.problems import FieldError, Problem


def invalid_graph(findings: Iterable[Mapping[str, Any]]) -> Problem:
    """The 422 of a graph that cannot be published or run, with every finding."""
    errors = [FieldError(pointer_of(finding), finding["code"], _named(finding)) for finding in findings]
    return Problem("invalid_workflow", f"The graph has {len(errors)} findings; see `errors`.", errors=errors)


def pointer_of(finding: Mapping[str, Any]) -> str:
    """Where a finding is, by the ids of the graph: `/graph/nodes/{id}/config/prompt`."""
    if edge := finding.get("edge_id"):
        return f"/graph/edges/{edge}" + (
            "" if finding.get("field", "").startswith("/edges") else finding.get("field", "")
        )
    if node := finding.get("node_id"):
        return f"/graph/nodes/{node}" + (
            "" if finding.get("field", "").startswith("/nodes") else finding.get("field", "")
        )
    return "/graph" + str(finding.get("field", ""))


def _named(finding: Mapping[str, Any]) -> str:
    node = finding.get("node_id")
    return f"{node}: {finding['message']}" if node else str(finding["message"])
