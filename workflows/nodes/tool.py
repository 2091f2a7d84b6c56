"""A tool is called."""

from typing import Final

from .base import ANY, NodeType

TOOL: Final = NodeType("tool", {"input": ANY}, templates=("input",), needs_tool=True)
