"""Statements of the most frequent requests: written once, prepared by the server, their rows made into models.

For such a request Django builds the same SQL from the same queryset each time, and PostgreSQL parses and plans
it each time: together that costs several times what running it does.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import psycopg
from django.db import connection
from django.db.models import Model


class Statement:
    """A constant statement. In its text `{name}` stands for all columns of a table alias `name`.

    Statement("SELECT {t}, {n} FROM tasks_task t JOIN … n …", t=Task, n=Network)
    """

    def __init__(self, text: str, **models: type[Model]) -> None:
        columns = {
            alias: ", ".join(f"{alias}.{field.column}" for field in model._meta.concrete_fields)
            for alias, model in models.items()
        }
        self._text: bytes = text.format(**columns).encode() if models else text.encode()
        self._parts = [_Part(model) for model in models.values()]

    def rows(self, parameters: Mapping[str, Any]) -> Sequence[tuple[Any, ...]]:
        """Run it on this thread's connection and return its rows."""
        cursor = self._execute(parameters)
        return cursor.fetchall() if cursor.description else ()

    def models(self, parameters: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
        """Return for each row an instance of each model, or None where an outer join found nothing."""
        for row in self.rows(parameters):
            values = iter(row)
            yield tuple([part.read(values) for part in self._parts])

    def _execute(self, parameters: Mapping[str, Any]) -> "psycopg.Cursor[tuple[Any, ...]]":
        connection.ensure_connection()
        if connection.queries_logged:
            connection.queries_log.append({"sql": self._text.decode(), "time": "0"})
        with connection.wrap_database_errors:
            # Django's own cursors put parameters into the text, which leaves nothing to prepare.
            return psycopg.Cursor(connection.connection).execute(self._text, parameters, prepare=True)


class _Part:
    """The columns of one model in a row."""

    def __init__(self, model: type[Model]) -> None:
        fields: Sequence[Any] = model._meta.concrete_fields
        self._model = model
        self._names = [field.attname for field in fields]
        self._converters = [
            (place, field.from_db_value)
            for place, field in enumerate(fields)
            if hasattr(field, "from_db_value")
        ]

    def read(self, row: Iterator[Any]) -> Model | None:
        values = list(islice(row, len(self._names)))
        if values[0] is None:  # the primary key
            return None
        for place, convert in self._converters:
            values[place] = convert(values[place], None, connection)
        return self._model.from_db(connection.alias, self._names, values)
