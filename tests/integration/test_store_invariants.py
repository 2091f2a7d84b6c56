"""`manage.py check_invariants`: quiet about what is sound, and loud about each thing that is not."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from agents.models import ModelCall
from tasks.models import Run, Step
from tasks.store.invariants import FOLD, LEDGER, REPLIES, RULES, check
from tasks.worker.incarnation import Incarnation
from tests.integration.engine_world import RESULT, EngineWorld, call_end, call_start

CORRUPTIONS = {
    "no step runs on beyond its owner's lease": (
        "UPDATE tasks_step SET state = 'running', claimed_at = now() - interval '1 day' WHERE key = 'open'"
    ),
    "no step waits past its time": (
        "UPDATE tasks_step SET state = 'waiting', wait_reason = 'provider', run_after = now() - interval '1 day'"
        " WHERE key = 'open'"
    ),
    "no run is past its deadline": (
        "UPDATE tasks_run SET deadline_at = now() - interval '1 day' WHERE state = 'running'"
    ),
    "an unfinished run has a step to go on with": "UPDATE tasks_step SET state = 'pending' WHERE key = 'open'",
    "an ended run has no unfinished step": "UPDATE tasks_step SET state = 'ready' WHERE key = 'synthesize'",
    "events are numbered from 1 without a gap": "DELETE FROM tasks_event WHERE seq = 2",
    "an ended run has one terminal event, its last": (
        "UPDATE tasks_event SET type = 'run.failed' WHERE type = 'step.completed'"
    ),
    "a succeeded step was completed once": "UPDATE tasks_event SET type = 'nothing' WHERE type = 'step.completed'",
    "fences rise over a step's attempts": "UPDATE tasks_attempt SET fence = 9",
    "parents end before their children start": (
        "UPDATE tasks_step SET started_at = started_at - interval '1 day' WHERE key = 'synthesize'"
    ),
    "who waits for a person has asked somebody, and nobody else has": (
        "UPDATE tasks_step SET state = 'waiting_human' WHERE key = 'open'"
    ),
    "no deadline of an approval has passed unnoticed": (
        "INSERT INTO tasks_approval SELECT (jsonb_populate_record(NULL::tasks_approval, jsonb_build_object("
        "'id', 'approval_1', 'project_id', project_id, 'run_id', run_id, 'step_id', id, 'state', 'pending',"
        " 'instructions', '', 'form_schema', '{}', 'approvers', '{}'::text[], 'deadline_at', now() - interval '1 day',"
        " 'on_deadline', 'approve', 'escalate_to', '{}'::text[], 'decided_by', '', 'edited', false, 'comment', '',"
        " 'created_at', now()))).* FROM tasks_step WHERE key = 'open'"
    ),
    "a clock stands while a person or money is waited for, and only then": (
        "UPDATE tasks_run SET clock_stopped_at = now() WHERE state = 'running'"
    ),
    "who waits for another run is told of its end": (
        "UPDATE tasks_step SET state = 'waiting', wait_reason = 'run' WHERE key = 'open'"
    ),
    "no run outlives the step that it was started for": (
        "UPDATE tasks_run SET parent_step_id = (SELECT id FROM tasks_step WHERE key = 'synthesize')"
        " WHERE state = 'running'"
    ),
    "a workflow's step says which edges it took": "UPDATE tasks_run SET planner = 'graph' WHERE state = 'succeeded'",
    "a skipped step never ran": "UPDATE tasks_step SET state = 'skipped' WHERE key = 'synthesize'",
    "a tool is called within its step": (
        "INSERT INTO agents_toolcall SELECT (jsonb_populate_record(NULL::agents_toolcall, jsonb_build_object("
        "'id', 'tcall_1', 'project_id', project_id, 'tool_id', 't', 'agent_id', '', 'run_id', run_id, 'step_id', id,"
        " 'turn', 0, 'index', 0, 'name', 't', 'state', 'succeeded', 'idempotency_key', 'k', 'arguments', '{}',"
        " 'error_code', '', 'error_detail', '', 'started_at', now(), 'finished_at', now() + interval '1 day'))).*"
        " FROM tasks_step WHERE key = 'synthesize'"
    ),
    "one reply counts for each turn of a step": (
        "DROP INDEX one_reply_a_turn; INSERT INTO agents_modelcall SELECT (jsonb_populate_record(c,"
        " jsonb_build_object('id', 'mcall_2', 'cost', 0))).* FROM agents_modelcall c"
    ),
    "a reply that counts is kept": "UPDATE agents_modelcallbody SET reply = NULL",
    "only an open call reserves money": "UPDATE agents_modelcall SET reserved = 1",
    "a run's totals are those of its calls": "UPDATE agents_modelcall SET cost = cost + 1",
    FOLD: "UPDATE tasks_step SET state = 'failed' WHERE key = 'synthesize'",
}


@pytest.fixture
def sound(engine: EngineWorld, life: Incarnation) -> EngineWorld:
    """A run that has ended and one that is open, with everything in order."""
    engine.delegated(life, 1)
    Step.objects.update(claimed_at="2020-01-01T00:00:00Z")
    part = engine.run(
        life.claims.load(list(Step.objects.filter(kind="delegate").values_list("pk", flat=True)))
    )[0]
    engine.finish(life, part)
    synthesis = engine.claim_one(life)
    writing = life.journal.begin(
        synthesis.work,
        call_start(),
        call_id="mcall_1",
        turn=0,
        try_number=1,
        chain_pass=0,
        context={},
        events=[],
    )
    engine.run(writing)
    engine.finish(life, synthesis, RESULT, settle=call_end("mcall_1"))
    engine.start()
    Step.objects.filter(state="ready").update(key="open")
    return engine


def broken(vendor_calls: dict[str, list[dict[str, object]]] | None = None) -> list[str]:
    # No patience: the server itself may have started a moment ago.
    findings = check(lease_seconds=-1, sweep_seconds=0, vendor_calls=vendor_calls)
    return [finding.rule for finding in findings if finding.offenders]


def test_it_has_a_corruption_for_each_rule() -> None:
    assert set(CORRUPTIONS) == {*RULES, FOLD}


@pytest.mark.parametrize("rule", CORRUPTIONS)
def test_it_finds(sound: EngineWorld, rule: str) -> None:
    assert broken() == []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(CORRUPTIONS[rule])
        assert rule in broken()
        transaction.set_rollback(True)


def test_it_prints_a_table(sound: EngineWorld) -> None:
    out = StringIO()
    call_command("check_invariants", stdout=out)
    assert out.getvalue().count(" ok\n") == len(RULES) + 1


def test_it_fails_and_names_who_breaks_a_rule(sound: EngineWorld) -> None:
    Run.objects.filter(state="succeeded").update(cost=99)
    out = StringIO()
    with pytest.raises(CommandError, match=f"1 of {len(RULES) + 1} invariants are broken"):
        call_command("check_invariants", stdout=out)
    assert Run.objects.get(state="succeeded").pk in out.getvalue()


def test_it_compares_with_the_vendors_own_list(sound: EngineWorld, tmp_path: Path) -> None:
    given = {"id": ModelCall.objects.get().provider_request_id, "complete": True}
    assert broken({"anthropic": [given]}) == []
    assert broken({"anthropic": [given, {"id": "another", "complete": True}]}) == [LEDGER]
    assert broken({"anthropic": [given | {"complete": False}]}) == [REPLIES]
    file = tmp_path / "calls.json"
    file.write_text(json.dumps({"anthropic": []}))
    with pytest.raises(CommandError, match=f"1 of {len(RULES) + 3}"):
        call_command("check_invariants", vendor_calls=file, stdout=StringIO())
