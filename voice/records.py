"""What is written down of calls: records of a kind, and whoever takes them. Pure."""

from typing import Any, Literal, Protocol

Kind = Literal["event", "turn", "begin", "settle", "kept", "recording", "summary"]
Record = tuple[Kind, dict[str, Any]]


class RecordWriter(Protocol):
    """`voice.calllog.CallWriter`, for those who have something to be written down."""

    def put(self, kind: Kind, row: dict[str, Any], *, urgent: bool = False) -> None:
        """Queue a record (`row` is one of `calllog_sql`'s) and return at once. `urgent`: write it now."""
        ...
