"""What a caller heard, said or keyed ends the step that waits for it; the first answer counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from . import workflow_sql
from .advancing import OWNER, Advanced, advancing
from .finish import TERMINAL, ending, lock
from .outside import OutsideEnd, ended_from_outside
from .snapshots import Snapshots
from .work import Query, Work

REASON: Final = "caller"
_SHOWN: Final = ("text", "choice", "digits", "matched", "attempts", "heard", "interrupted", "to", "target")


class NotAwaited(Exception):
    """The step does not wait for this caller: it was answered, or its run has ended or gone on without it."""


@dataclass(frozen=True, slots=True)
class CallerSaid:
    """The answer to one prompt, which is named by its step and fence. With a code the step fails."""

    step_id: str
    fence: int
    output: Mapping[str, Any]
    error_code: str = ""
    error_detail: str = ""


def answering(run_id: str, said: CallerSaid, snapshots: Snapshots) -> Work[Advanced]:
    """End the step and do what follows, as far as it needs nobody. Raises `NotAwaited`."""
    [runs, steps] = yield lock(run_id)
    step = next((step for step in steps if step["id"] == said.step_id), None)
    if (
        not runs
        or runs[0]["state"] in TERMINAL
        or step is None
        or (step["state"], step["wait_reason"], step["fence"]) != ("waiting", REASON, said.fence)
    ):
        raise NotAwaited(said.step_id)
    [[body]] = yield (Query(workflow_sql.RUN_INPUT, {"run": run_id}),)
    told = {name: said.output[name] for name in _SHOWN if name in said.output}
    if said.error_code:
        told["error"] = {"code": said.error_code, "detail": said.error_detail[:500]}
    end = OutsideEnd(
        by=OWNER,
        from_state="waiting",
        output=dict(said.output),
        error_code=said.error_code,
        error_detail=said.error_detail,
        events=[("dialog.answered", {"key": step["key"], "kind": step["kind"], **told})],
    )
    ended = yield from ended_from_outside(runs[0], run_id, body["input"], step, end, snapshots)
    finished = yield from ending(ended, runs[0], steps, snapshots)
    advanced = yield from advancing(run_id, finished.ready, snapshots)
    if finished.run_state in TERMINAL:
        advanced.end = finished
    return advanced
