"""Transactions as generators: what is to be read and written, without who does it.

A `Work` yields batches of statements and is sent the rows of each. The workers perform it on their
asynchronous pool, where a batch travels as one; web requests on Django's connection. Both so share one code.
"""

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar

import orjson
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

from .pool import Connection, pipelined

T = TypeVar("T")
Rows = Sequence[Mapping[str, Any]]
_PLACE: Final = re.compile(r"%\((\w+)\)s")


@dataclass(slots=True)
class Late:
    """The rows of a statement that are read when the transaction is over: nobody waits for them before."""

    rows: Rows = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A statement; its rows are read only when they are wanted, for each reading is a round trip."""

    text: str
    parameters: Mapping[str, Any]
    rows: bool = True
    late: Late | None = None


Work = Generator[Sequence[Query], Sequence[Rows], T]


@lru_cache(maxsize=256)
def _positional(text: str) -> tuple[bytes, tuple[str, ...]]:
    """A statement with `$1` for `%(name)s`, and the names in order.

    psycopg would do so itself, at every execution: it does not remember how long statements were read.
    """
    names = tuple(dict.fromkeys(_PLACE.findall(text)))
    numbered = _PLACE.sub(lambda place: f"${names.index(place[1]) + 1}", text)
    return numbered.encode(), names


LateCursors = list[tuple[Late, "psycopg.AsyncCursor[Any]"]]


async def perform(connection: Connection, work: Work[T], later: LateCursors | None = None) -> T:
    """Do the work on a pipelined connection, within its transaction. `later` takes what is read when it is over."""
    answers: Sequence[Rows] | None = None
    while True:
        try:
            batch = next(work) if answers is None else work.send(answers)
        except StopIteration as end:
            return end.value
        cursors = []
        for query in batch:
            cursor = psycopg.AsyncRawCursor(connection, row_factory=dict_row)
            text, names = _positional(query.text)
            await cursor.execute(text, [query.parameters[name] for name in names])
            cursors.append(cursor)
            if query.late is not None and later is not None:
                later.append((query.late, cursor))
        answers = [
            await cursor.fetchall() if query.rows and query.late is None else ()
            for query, cursor in zip(batch, cursors, strict=True)
        ]


async def transact(pool: AsyncConnectionPool[Connection], work: Work[T]) -> T:
    """Do the work in a transaction of its own."""
    later: LateCursors = []
    async with pipelined(pool) as connection:
        done = await perform(connection, work, later)
    for late, cursor in later:
        late.rows = await cursor.fetchall()
    return done


def perform_here(connection: "psycopg.Connection[Any]", work: Work[T]) -> T:
    """Do the work on a synchronous connection, within the transaction that is open there."""
    answers: Sequence[Rows] | None = None
    while True:
        try:
            batch = next(work) if answers is None else work.send(answers)
        except StopIteration as end:
            return end.value
        answers = []
        for query in batch:
            cursor = psycopg.Cursor(connection, row_factory=dict_row)
            set_json_dumps(orjson.dumps, context=cursor)
            set_json_loads(orjson.loads, context=cursor)
            cursor.execute(query.text, query.parameters)
            answers.append(cursor.fetchall() if query.rows else ())
