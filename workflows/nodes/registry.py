"""Every node type there is."""

from collections.abc import Mapping
from typing import Final

from ..graph import Graph
from . import agent, approval, branch, control, dialog, loop, task, tool
from .base import NodeType

NODE_TYPES: Final[Mapping[str, NodeType]] = {
    node_type.name: node_type
    for node_type in (
        control.START,
        control.END,
        control.PARALLEL,
        control.JOIN,
        agent.AGENT,
        tool.TOOL,
        branch.BRANCH,
        approval.HUMAN_APPROVAL,
        loop.LOOP,
        task.TASK,
        dialog.SAY,
        dialog.ASK,
        dialog.HAND_OVER,
    )
}


def needs_a_caller(graph: Graph) -> list[str]:
    """The ids of nodes that can only be run on a telephone call."""
    return [node.id for node in graph.nodes if node.type in NODE_TYPES and NODE_TYPES[node.type].on_call]
