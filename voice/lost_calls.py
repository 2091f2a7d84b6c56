"""What a voice process that died left open: the last line of its calls' logs, and model calls without an end."""

import orjson
from django.db import connection, transaction

from . import calllog_sql as sql


def settle() -> int:
    """Close it, for calls that have been ended as lost (`workers.sweep`). Returns how many calls were told of.

    Idempotent, and safe in several processes at once. A process that lives after all writes its own end later.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.TELL_LOST)
        told = {row[0] for row in cursor.fetchall()}
        if told:
            cursor.execute(sql.LATENCIES, [_calls(told)])
        cursor.execute(sql.SETTLE_LOST)
        paid = {row[0] for row in cursor.fetchall() if row[0]}
        if paid:
            cursor.execute(sql.COSTS, [_calls(paid)])
    return len(told)


def _calls(ids: set[str]) -> str:
    return orjson.dumps([{"call": call} for call in sorted(ids)]).decode()
