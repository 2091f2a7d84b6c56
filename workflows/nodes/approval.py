"""A person decides."""

from collections.abc import Iterator
from typing import Final

from ..findings import Finding
from ..graph import Graph, Node
from .base import ANY, SECONDS, TEXT, NodeType, World

_PEOPLE = {"type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": 50}


def _check(node: Node, graph: Graph, world: World) -> Iterator[Finding]:
    approvers = node.config.get("approvers")
    if not approvers:
        yield Finding(
            "missing_approver", "Nobody is named who may decide.", node.id, field="/config/approvers"
        )
    elif world.people is not None and isinstance(approvers, list):
        for index, person in enumerate(approvers):
            if isinstance(person, str) and person not in world.people:
                yield Finding(
                    "unknown_approver",
                    f"{person} is no member of the project and no role.",
                    node.id,
                    field=f"/config/approvers/{index}",
                )
    on_deadline = node.config.get("on_deadline")
    if on_deadline is not None and not node.config.get("deadline_seconds"):
        yield Finding(
            "no_deadline", "on_deadline needs deadline_seconds.", node.id, field="/config/deadline_seconds"
        )
    if on_deadline == "escalate" and not node.config.get("escalate_to"):
        yield Finding(
            "missing_approver", "Nobody is named to escalate to.", node.id, field="/config/escalate_to"
        )


#: Approvers are roles (owner, editor, approver) or members' e-mail addresses. A rejection takes the edge labelled
#: `rejected`; without one the run fails as `approval_rejected`.
HUMAN_APPROVAL: Final = NodeType(
    "human_approval",
    {
        "instructions": TEXT,
        "data": ANY,
        "form_schema": {"type": "object"},
        "approvers": _PEOPLE,
        "deadline_seconds": SECONDS,
        "on_deadline": {"enum": ["approve", "reject", "escalate"]},
        "escalate_to": _PEOPLE,
    },
    templates=("instructions", "data"),
    check=_check,
)
