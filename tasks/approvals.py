"""Decisions that people owe to steps: the first one counts, and the run goes on in the same transaction."""

from functools import partial
from typing import Any, Literal

from django.db import connection, transaction

from web.jsonschemas import problems_of
from web.problems import Conflict, Invalid, NotFound

from . import metrics
from .lifecycle import TERMINAL, publish_ready
from .models import Approval
from .notices import publish_notice
from .store.deciding import AlreadyDecided, NoSuchApproval, Verdict, deciding, reassigning
from .store.snapshots import Snapshots
from .store.work import T, Work, perform_here

Decision = Literal["approve", "reject", "edit"]
LONGEST_COMMENT = 2000


@transaction.atomic
def decide(
    *,
    approval_id: str,
    decision: Decision = "approve",
    output: Any = None,
    comment: str = "",
    decided_by: str,
) -> Approval:
    """Decide an approval; the first decision wins. `decided_by` names a person or key, for people to read.

    `approve` goes on with what was shown, `edit` (or `approve` with an output) with `output`, which `form_schema`
    checks; `reject` takes the edge labelled `rejected`, else fails the run as `approval_rejected`. Where a tool's
    outcome is unknown, `edit` says what it was, `approve` has it called again, `reject` counts it as failed. Raises
    `Conflict` (approval_decided) that says who decided, `NotFound`, and `Invalid` for an output that does not fit.
    """
    if decision == "approve" and output is not None:
        decision = "edit"
    approval = Approval.objects.filter(pk=approval_id).first()
    if approval is None:
        raise NotFound("There is no such approval.")
    edits = decision == "edit" and approval.state == Approval.State.PENDING and approval.form_schema
    if edits and (problems := problems_of(output, approval.form_schema)):
        raise Invalid("/output", "; ".join(problems)[:1000], "invalid")
    finished = _perform(deciding(approval_id, Verdict(decision, decided_by, output, comment), Snapshots()))
    run_id, ended = approval.run_id, finished.run_state in TERMINAL
    publish_ready(run_id, finished.ready)
    transaction.on_commit(partial(publish_notice, run_id, ended=ended))
    if ended:
        metrics.run_finished(finished.run_state, finished.planner, finished.run_seconds)
    approval.refresh_from_db()
    return approval


@transaction.atomic
def reassign(*, approval_id: str, approvers: list[str], by: str) -> Approval:
    """Name others who may decide; told by an event. Raises `Conflict` for one that is decided."""
    _perform(reassigning(approval_id, approvers, by))
    approval = Approval.objects.get(pk=approval_id)
    transaction.on_commit(partial(publish_notice, approval.run_id))
    return approval


def _perform(work: Work[T]) -> T:
    try:
        with connection.wrap_database_errors:
            return perform_here(connection.connection, work)
    except NoSuchApproval:
        raise NotFound("There is no such approval.") from None
    except AlreadyDecided as error:
        who = f" by {error.by}" if error.by else ""
        raise Conflict("approval_decided", f"It was {error.state}{who} before.") from None
