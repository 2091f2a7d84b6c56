"""What must hold of the engine's tables at any moment, whatever crashed before: checked, not believed.

Each rule is a statement that returns the ids of those who break it. Two need more than SQL: a run's events fold
into its rows, and every call that a vendor saw is in the ledger.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from tasks.engine.events import UNFINISHED, fold
from tasks.engine.planner import UNFINISHED as UNFINISHED_STATES

VendorCalls = Mapping[str, Sequence[Mapping[str, Any]]]

# `patience` is a lease plus a sweep: by then what is due has been done, or nobody does it.
RULES: Mapping[str, str] = {
    "no step runs on beyond its owner's lease": """
        SELECT s.id FROM tasks_step s LEFT JOIN tasks_worker w ON w.id = s.owner
        WHERE s.state = 'running'
          AND greatest(coalesce(w.lease_until, s.claimed_at), pg_postmaster_start_time())
              < now() - make_interval(secs => %(patience)s)""",
    "no step waits past its time": """
        SELECT id FROM tasks_step WHERE state = 'waiting' AND wait_reason <> 'budget'
          AND run_after < now() - make_interval(secs => %(patience)s)""",
    "no run is past its deadline": """
        SELECT id FROM tasks_run WHERE state IN ('pending', 'running', 'waiting') AND clock_stopped_at IS NULL
          AND deadline_at < now() - make_interval(secs => %(patience)s)""",
    "an unfinished run has a step to go on with": """
        SELECT r.id FROM tasks_run r WHERE r.state NOT IN ('succeeded', 'failed', 'cancelled') AND NOT EXISTS (
            SELECT 1 FROM tasks_step s WHERE s.run_id = r.id
              AND s.state IN ('ready', 'running', 'waiting', 'waiting_human'))""",
    "an ended run has no unfinished step": """
        SELECT s.id FROM tasks_step s JOIN tasks_run r ON r.id = s.run_id
        WHERE r.state IN ('succeeded', 'failed', 'cancelled')
          AND s.state NOT IN ('succeeded', 'failed', 'skipped', 'cancelled')""",
    "events are numbered from 1 without a gap": """
        SELECT r.id FROM tasks_run r LEFT JOIN tasks_event e ON e.run_id = r.id
        GROUP BY r.id HAVING count(e.seq) <> r.event_seq
            OR coalesce(max(e.seq), 0) <> r.event_seq OR coalesce(min(e.seq), 1) <> 1""",
    "an ended run has one terminal event, its last": """
        SELECT r.id FROM tasks_run r
        LEFT JOIN tasks_event e ON e.run_id = r.id AND e.type IN ('run.completed', 'run.failed', 'run.cancelled')
        GROUP BY r.id HAVING count(e.seq) <> (r.state IN ('succeeded', 'failed', 'cancelled'))::int
            OR coalesce(max(e.seq), r.event_seq) <> r.event_seq""",
    "a succeeded step was completed once": """
        SELECT s.id FROM tasks_step s
        LEFT JOIN tasks_event e ON e.run_id = s.run_id AND e.step_id = s.id AND e.type = 'step.completed'
        GROUP BY s.id HAVING count(e.seq) <> (s.state = 'succeeded')::int""",
    "fences rise over a step's attempts": """
        SELECT step_id FROM (
            SELECT a.step_id, a.fence, s.fence AS now, lag(a.fence) OVER (PARTITION BY a.step_id ORDER BY a.id) AS before
            FROM tasks_attempt a JOIN tasks_step s ON s.id = a.step_id) f
        WHERE before >= fence OR fence > now""",
    "parents end before their children start": """
        SELECT child.id FROM tasks_step child
        JOIN LATERAL unnest(child.parents) AS p(id) ON true JOIN tasks_step parent ON parent.id = p.id
        WHERE child.started_at IS NOT NULL
          AND (parent.state NOT IN ('succeeded', 'failed', 'skipped', 'cancelled')
               OR parent.finished_at > child.started_at)""",
    "who waits for a person has asked somebody, and nobody else has": """
        SELECT coalesce(s.id, a.id) FROM (SELECT * FROM tasks_step WHERE state = 'waiting_human') s
        FULL JOIN (SELECT * FROM tasks_approval WHERE state = 'pending') a ON a.step_id = s.id
        WHERE s.id IS NULL OR a.id IS NULL""",
    "no deadline of an approval has passed unnoticed": """
        SELECT id FROM tasks_approval WHERE state = 'pending' AND on_deadline <> ''
          AND deadline_at < now() - make_interval(secs => %(patience)s)""",
    "a clock stands while a person or money is waited for, and only then": """
        SELECT id FROM tasks_run WHERE state IN ('pending', 'running', 'waiting')
          AND (clock_stopped_at IS NOT NULL) <> (state = 'waiting' AND wait_reason IN ('approval', 'budget'))""",
    "who waits for another run is told of its end": """
        SELECT s.id FROM tasks_step s WHERE s.state = 'waiting' AND s.wait_reason = 'run' AND NOT EXISTS (
            SELECT 1 FROM tasks_run c WHERE c.parent_step_id = s.id
              AND (c.finished_at IS NULL OR c.finished_at > now() - make_interval(secs => %(patience)s)))""",
    "no run outlives the step that it was started for": """
        SELECT c.id FROM tasks_run c JOIN tasks_step s ON s.id = c.parent_step_id
        WHERE c.state IN ('pending', 'running', 'waiting')
          AND s.finished_at < now() - make_interval(secs => %(patience)s)""",
    "a workflow's step says which edges it took": """
        SELECT s.id FROM tasks_step s JOIN tasks_run r ON r.id = s.run_id
        WHERE r.planner = 'graph' AND s.state = 'succeeded' AND s.taken IS NULL""",
    "a skipped step never ran": """
        SELECT id FROM tasks_step WHERE state = 'skipped' AND (fence > 0 OR started_at IS NOT NULL)""",
    "a tool is called within its step": """
        SELECT c.id FROM agents_toolcall c JOIN tasks_step s ON s.id = c.step_id
        WHERE c.finished_at > s.finished_at + make_interval(secs => %(patience)s) AND s.state = 'succeeded'""",
    "one reply counts for each turn of a step": """
        SELECT step_id FROM agents_modelcall WHERE state = 'succeeded' AND step_id IS NOT NULL
        GROUP BY step_id, turn HAVING count(*) > 1""",
    "a reply that counts is kept": """
        SELECT c.id FROM agents_modelcall c LEFT JOIN agents_modelcallbody b ON b.call_id = c.id
        WHERE c.state = 'succeeded' AND c.step_id IS NOT NULL AND b.reply IS NULL""",
    "only an open call reserves money": """
        SELECT id FROM agents_modelcall WHERE state <> 'started' AND reserved <> 0""",
    "a run's totals are those of its calls": """
        SELECT r.id FROM tasks_run r LEFT JOIN agents_modelcall c ON c.run_id = r.id
        GROUP BY r.id HAVING abs(r.cost - coalesce(sum(c.cost), 0)) > 0.000001 * (1 + count(c.id))
            OR r.input_tokens <> coalesce(sum(c.input_tokens), 0) OR r.model_calls <> count(c.id)
            OR r.output_tokens <> coalesce(sum(c.output_tokens), 0)""",
}
FOLD = "a run's events tell how it and its steps stand"
LEDGER = "every call that a vendor saw is in the ledger"
REPLIES = "every reply in the ledger is one that a vendor gave, once"


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule and the ids of those who break it; none is good."""

    rule: str
    offenders: Sequence[str]


def check(
    *, lease_seconds: float, sweep_seconds: float, vendor_calls: VendorCalls | None = None
) -> list[Finding]:
    """Check every rule on one snapshot of the database. `vendor_calls` is the vendors' own list, by provider."""
    parameters = {"patience": lease_seconds + 2 * sweep_seconds + 1}
    alone = not connection.in_atomic_block  # a transaction that has begun keeps its isolation
    with transaction.atomic(), connection.cursor() as cursor:
        if alone:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        findings = []
        for rule, sql in RULES.items():
            cursor.execute(sql, parameters)
            findings.append(Finding(rule, sorted({row[0] for row in cursor.fetchall()})))
        findings.append(Finding(FOLD, list(_mistold(cursor))))
        if vendor_calls is not None:
            findings += _against_vendors(cursor, vendor_calls)
    return findings


def _mistold(cursor: Any) -> Iterator[str]:
    """Yield runs and steps whose rows are not what the run's events tell."""
    cursor.execute("SELECT id, state, wait_reason FROM tasks_run ORDER BY id")
    for run_id, state, wait_reason in cursor.fetchall():
        cursor.execute(
            "SELECT type, step_id, payload::text FROM tasks_event WHERE run_id = %s ORDER BY seq", [run_id]
        )
        told = fold((type_, step_id, json.loads(payload)) for type_, step_id, payload in cursor.fetchall())
        if (told.state, told.wait_reason) != (state, wait_reason):
            yield run_id
        cursor.execute("SELECT id, state FROM tasks_step WHERE run_id = %s", [run_id])
        for step_id, step_state in cursor.fetchall():
            if told.step(step_id) != (UNFINISHED if step_state in UNFINISHED_STATES else step_state):
                yield step_id


def _against_vendors(cursor: Any, vendor_calls: VendorCalls) -> list[Finding]:
    """Compare the ledger with what the vendors saw: each request was written down before it was sent."""
    missing, invented = [], []
    for provider, calls in vendor_calls.items():
        cursor.execute(
            "SELECT provider_request_id, state FROM agents_modelcall WHERE provider = %s AND run_id IS NOT NULL",
            [provider],
        )
        rows = cursor.fetchall()
        if len(rows) < len(calls):
            missing.append(f"{provider}: {len(calls)} calls, {len(rows)} in the ledger")
        given = {call["id"] for call in calls if call["complete"]}
        kept = Counter(id_ for id_, state in rows if state in ("succeeded", "superseded"))
        invented += [f"{provider}: {id_}" for id_, times in kept.items() if id_ not in given or times > 1]
    return [Finding(LEDGER, missing), Finding(REPLIES, invented)]
