"""Schemas of clients and models bring no regular expressions: one could hold up a worker."""

import pytest

from web.jsonschemas import has_pattern


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "^(a+)+$"},
        {"type": "object", "properties": {"name": {"type": "string", "pattern": "x"}}},
        {"type": "object", "patternProperties": {"^x": {}}},
        {"anyOf": [{"type": "null"}, {"items": {"pattern": "x"}}]},
        {"$defs": {"code": {"pattern": "x"}}},
        {"properties": {"properties": {"pattern": "x"}}},
    ],
)
def test_it_finds_a_pattern_wherever_it_hides(schema: dict[str, object]) -> None:
    assert has_pattern(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"pattern": {"type": "string"}}},
        {"$defs": {"patternProperties": {"type": "string"}}},
        True,
    ],
)
def test_it_lets_a_property_be_called_pattern(schema: object) -> None:
    assert not has_pattern(schema)
