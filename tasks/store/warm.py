"""Having a new connection parse and plan the hot statements before the first step needs them.

Each costs milliseconds once per connection, which would be paid by the first runs after every start. They
are run here with ids that nobody has, in a transaction that is rolled back.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from psycopg.types.json import Jsonb

from agents.resilience.ports import CallEnd
from memory.recall import RECALL_SQL

from . import sql
from .journal import settlement
from .pool import Connection

_NOBODY = "nobody"


async def warm(connection: Connection) -> None:
    """Prepare the hot statements with the types that they are used with."""
    async with connection.transaction(force_rollback=True):
        for statement, parameters in _statements():
            await connection.execute(statement, parameters, prepare=True)


def _statements() -> Iterator[tuple[str, Mapping[str, Any]]]:
    urgency = {"priority_seconds": sql.PRIORITY_SECONDS}
    nothing = Jsonb([])
    yield sql.CLAIM, {"kinds": [_NOBODY], "version": 1, "limit": 1, "owner": _NOBODY}
    yield sql.LOAD, {"ids": [_NOBODY], "owner": _NOBODY}
    yield sql.RESULTS, {"run": _NOBODY}
    yield RECALL_SQL, {"network_id": _NOBODY, "query": _NOBODY, "limit": 1}
    yield sql.LOCK_RUNS_FOR_CALLS, {"runs": [_NOBODY]}
    yield sql.BEGIN_CALLS, {"rows": nothing, "funded": False}
    yield sql.LOCK_RUN, {"run": _NOBODY}
    yield sql.STEPS, {"run": _NOBODY, "point": sql.PRIORITY_SECONDS}
    settled = settlement(
        CallEnd(call_id=_NOBODY, state="succeeded", latency_ms=0.5, first_token_ms=0.5, cost=0.5)
    )
    settled["reply"] = Jsonb({})
    ending = {
        "step": _NOBODY,
        "run": _NOBODY,
        "fence": 1,
        "bump": 0,
        "from_states": [_NOBODY],
        "state": "succeeded",
        "error_code": "",
        "error_detail": "",
        "input": Jsonb({}),
        "output": Jsonb({}),
        "writes": Jsonb({}),
        "taken": [_NOBODY],
        "output_of": "",
        "unneeded": [_NOBODY],
        "worker": _NOBODY,
        "outcome": "succeeded",
        "event_seq": 1,
        "event_rows": nothing,
        "wait_reason": "",
        "run_error_code": "",
        "run_error_detail": "",
        "terminal": False,
        "stop_clock": False,
        "promotions": nothing,
        "network": _NOBODY,
        "memories": nothing,
        "rehearsed": 1,
        **{f"call_{name}": value for name, value in settled.items()},
        **urgency,
    }
    # As it is used at the end of a coordinator's, a specialist's and the last step.
    yield sql.FINISH_STEP, {**ending, "run_state": "running", "run_output": None, "iterations": 1}
    yield sql.FINISH_STEP, {**ending, "run_state": "running", "run_output": None, "iterations": None}
    yield sql.FINISH_STEP, {**ending, "run_state": "succeeded", "run_output": Jsonb({}), "iterations": None}
    yield sql.INSERT_STEPS, {"run": _NOBODY, "project": _NOBODY, "version": 1, "rows": nothing, **urgency}
    yield sql.LOST_STEPS, {"held": nothing, "owner": _NOBODY}
