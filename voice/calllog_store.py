"""Writes batches of call records to PostgreSQL, each batch once however often it has to be tried."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson
from django.db import connection, transaction
from django.db.utils import DataError, IntegrityError, OperationalError

from . import calllog_sql as sql
from .records import Kind, Record

#: In this order: a call's beginning is there before its end.
_STATEMENTS: Final[Mapping[Kind, str]] = {
    "event": sql.EVENTS,
    "turn": sql.TURNS,
    "begin": sql.BEGINS,
    "settle": sql.SETTLEMENTS,
    "kept": sql.KEPT,
    "recording": sql.RECORDINGS,
    "summary": sql.SUMMARIES,
}


class BatchStore:
    """Used by one thread. Raises `django.db.Error` when the database is away: the same batch is given again."""

    def __init__(self, unstorable: Callable[[Record, Exception], None]) -> None:
        """`unstorable` hears of a record that the database will never take; the others are not held up by it."""
        self._unstorable = unstorable
        self._in_doubt: tuple[str, int] | None = None  # a commit without an answer, and of how many records

    def write(self, batch: list[Record]) -> None:
        """Commit records and remove them from `batch`; what is in it after an error is not written yet, or
        in doubt: then the next `write` must begin with the same ones."""
        size = len(batch)
        while batch:
            if self._in_doubt is not None and self._came_through(self._in_doubt[0]):
                del batch[: self._in_doubt[1]]
                self._in_doubt = None
                continue
            part = batch[:size]
            try:
                self._commit(part)
            except (DataError, IntegrityError, TypeError, ValueError) as error:  # the latter: no JSON
                self._in_doubt = None
                if len(part) > 1:
                    size = len(part) // 2
                    continue
                self._unstorable(part[0], error)
                size = len(batch)
            del batch[: len(part)]

    def give_back(self) -> None:
        """Give the connection back to the pool."""
        connection.close()

    def _commit(self, batch: Sequence[Record]) -> None:
        rows: dict[Kind, list[dict[str, Any]]] = defaultdict(list)
        for place, (kind, row) in enumerate(batch):
            rows[kind].append({"n": place, **row})
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql.XACT_ID)
            self._in_doubt = (cursor.fetchone()[0], len(batch))
            for kind, statement in _STATEMENTS.items():
                if rows[kind]:
                    cursor.execute(statement, [_json(rows[kind])])
            if rows["summary"]:
                cursor.execute(sql.LATENCIES, [_json(rows["summary"])])
            paid = {row["call"] for kind in ("settle", "summary") for row in rows[kind] if row.get("call")}
            if paid:
                cursor.execute(sql.COSTS, [_json([{"call": call} for call in sorted(paid)])])
        self._in_doubt = None

    def _came_through(self, transaction_id: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute(sql.XACT_STATUS, [transaction_id])
            [status] = cursor.fetchone()
        if status == "in progress":
            raise OperationalError("An earlier commit is not decided yet.")
        return bool(status == "committed")


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return orjson.dumps(rows, default=str).decode()
