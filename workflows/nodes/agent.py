"""An agent answers."""

from typing import Final

from .base import ANY, TEXT, NodeType

AGENT: Final = NodeType(
    "agent",
    {
        "prompt": TEXT,
        "input": ANY,
        "system_prompt": TEXT,
        "model": {"type": "string", "maxLength": 100},
        "temperature": {"type": "number", "minimum": 0, "maximum": 2},
        "max_tokens": {"type": "integer", "minimum": 1, "maximum": 200_000},
        "output_schema": {"type": "object"},
        "tools": {"type": "array", "items": {"type": "string"}, "maxItems": 50},
        "memory": {"enum": ["none", "read", "write"]},
        "memory_query": TEXT,
    },
    templates=("prompt", "input", "system_prompt", "memory_query"),
    needs_agent=True,
)
