"""Writing calls down: in order, without a gap, once, behind the caller's back, and through an outage."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.db.utils import OperationalError

from agents.models import ModelCall
from agents.providers.types import Message, ModelRequest, Reply, Usage
from agents.resilience.ports import CallEnd, CallStart
from networks.models import Project
from voice import calllog, calllog_store, lost_calls
from voice.agent_ports import CallContext
from voice.calllog import CallWriter
from voice.connectors.types import SpeechUse
from voice.ledger import LedgerJournal
from voice.models import CallEvent, PhoneCall, Turn
from voice.pipeline.ports import CallSummary, TurnRecord

pytestmark = pytest.mark.django_db(transaction=True)
START = CallStart(
    "openai", "gpt-6-sol", "gpt-6-sol", ModelRequest("gpt-6-sol", (Message("user", "Hi"),)), 0.25
)


@pytest.fixture
def call() -> PhoneCall:
    project = Project.objects.create(name="Voice")
    return PhoneCall.objects.create(project=project, transport="web", state="active", worker="v1")


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[CallWriter]:
    writer = CallWriter(leftovers=tmp_path)
    await writer.start()
    yield writer
    await writer.aclose()


async def in_database(function: Callable[[], Any]) -> Any:
    def run() -> Any:
        try:
            return function()
        finally:
            connection.close()

    return await asyncio.to_thread(run)


def events_of(call: PhoneCall) -> list[tuple[int, str]]:
    return list(CallEvent.objects.filter(call=call).order_by("seq").values_list("seq", "type"))


def modes_in(folder: Path) -> list[int]:
    return [path.stat().st_mode for path in folder.iterdir()]


def record(number: int, **fields: Any) -> TurnRecord:
    return TurnRecord(number, f"caller {number}", "reply", "heard", started_at=1_700_000_000.25, **fields)


def journal(writer: CallWriter, call: PhoneCall, **options: Any) -> LedgerJournal:
    return LedgerJournal(writer, CallContext(call.project_id, "", call.pk, "v1"), **options)


async def test_it_numbers_events_without_a_gap_in_their_order(writer: CallWriter, call: PhoneCall) -> None:
    log = writer.open(call.pk)
    for n in range(1200):  # several batches
        log.event(f"test.{n}", {"n": n})
    assert await writer.flush()
    assert await in_database(lambda: events_of(call)) == [(n + 1, f"test.{n}") for n in range(1200)]
    await in_database(call.refresh_from_db)
    assert call.event_seq == 1200


async def test_it_shares_a_log_with_another_process(
    writer: CallWriter, call: PhoneCall, tmp_path: Path
) -> None:
    other = CallWriter(leftovers=tmp_path)
    await other.start()
    one, two = writer.open(call.pk), other.open(call.pk)
    for n in range(200):
        one.event("one", {"n": n})
        two.event("two", {"n": n})
        if n % 50 == 0:
            await asyncio.sleep(0.01)
    assert await writer.flush()
    assert await other.flush()
    await other.aclose()
    events = await in_database(lambda: events_of(call))
    assert [seq for seq, _ in events] == list(range(1, 401))


async def test_it_writes_turns_and_how_a_call_went(writer: CallWriter, call: PhoneCall) -> None:
    log = writer.open(call.pk)
    for number in range(1, 101):
        log.turn(record(number, latencies={"first_audio": float(number)}, interrupted=number == 7))
    log.ended(
        CallSummary(
            "caller_hung_up",
            61.5,
            100,
            1,
            2,
            4.1,
            (SpeechUse("deepgram", "stt", 60.0, 0, 0.0043),),
            {"frames": 3},
        )
    )
    assert await writer.flush()
    await in_database(call.refresh_from_db)
    assert (call.state, call.end_reason, call.turn_count, call.interruptions) == (
        "ended",
        "caller_hung_up",
        100,
        1,
    )
    assert (call.false_interruptions, call.mos, call.statistics) == (2, 4.1, {"frames": 3, "seconds": 61.5})
    assert call.latencies == {"first_audio": {"p50": 50.0, "p95": 95.0, "p99": 99.0}}
    assert call.use[0]["connector"] == "deepgram"
    assert float(call.cost) == 0.0043
    assert call.ended_at is not None
    turns = await in_database(lambda: list(Turn.objects.filter(call=call).order_by("number")))
    assert [turn.number for turn in turns] == list(range(1, 101))
    assert (turns[6].caller_text, turns[6].interrupted) == ("caller 7", True)
    assert turns[0].started_at.timestamp() == 1_700_000_000.25


async def test_it_keeps_the_later_word_on_a_turn(writer: CallWriter, call: PhoneCall) -> None:
    log = writer.open(call.pk)
    log.turn(record(1))
    assert await writer.flush()
    log.turn(TurnRecord(1, "caller 1", "reply", "all of it", started_at=1.0))
    log.turn(TurnRecord(1, "caller 1", "reply", "half of it", started_at=1.0))
    assert await writer.flush()
    assert await in_database(lambda: Turn.objects.get(call=call).heard_text) == "half of it"


async def test_it_books_model_calls_and_what_the_call_costs(writer: CallWriter, call: PhoneCall) -> None:
    first = journal(writer, call, turn=1, agent_id="agent_1")
    call_id = await first.begin(START)
    assert await writer.flush()
    row = await in_database(lambda: ModelCall.objects.get(pk=call_id))
    assert (row.state, row.call_id, row.turn, row.owner) == ("started", call.pk, 1, "v1")
    assert (float(row.reserved), row.speculative, row.run_id) == (0.25, False, None)
    reply = Reply("Hi", "stop", Usage(10, 5), "openai", "gpt-6-sol")  # type: ignore[arg-type]
    await first.settle(CallEnd(call_id, "succeeded", 120.0, reply, usage=Usage(10, 5), cost=0.02))
    guess = journal(writer, call, turn=2, speculative=True)
    guess_id = await guess.begin(START)
    await guess.settle(CallEnd(guess_id, "cancelled", 20.0, cost=0.01))
    assert await writer.flush()
    row = await in_database(lambda: ModelCall.objects.get(pk=call_id))
    assert (row.state, row.input_tokens, float(row.cost), float(row.reserved)) == ("succeeded", 10, 0.02, 0)
    assert await in_database(lambda: ModelCall.objects.get(pk=guess_id).speculative)
    guess.keep()
    writer.open(call.pk).ended(CallSummary("idle", 1, 0, 0, 0, None, (SpeechUse("azure", "tts", 0, 9, 0.5),)))
    assert await writer.flush()
    assert not await in_database(lambda: ModelCall.objects.get(pk=guess_id).speculative)
    await in_database(call.refresh_from_db)
    assert float(call.cost) == 0.53


async def test_it_redacts_while_the_config_says_so(writer: CallWriter, call: PhoneCall) -> None:
    redacting = [True]
    log = writer.open(call.pk, redact=lambda: redacting[0])
    log.turn(TurnRecord(1, "I am ann@example.com", "Thanks +15005550006", "Thanks", started_at=1.0))
    log.event("transfer", {"to": "+15005550006"})
    redacting[0] = False
    log.event("transfer", {"to": "+15005550007"})
    assert await writer.flush()
    turn = await in_database(lambda: Turn.objects.get(call=call))
    assert (turn.caller_text, turn.reply_text) == ("I am [e-mail address]", "Thanks [telephone number]")
    told = await in_database(
        lambda: list(CallEvent.objects.filter(call=call).values_list("payload", flat=True))
    )
    assert told == [{"to": "[telephone number]"}, {"to": "+15005550007"}]


async def test_it_gives_up_one_record_that_cannot_be_stored_and_no_other(
    writer: CallWriter, call: PhoneCall
) -> None:
    log = writer.open(call.pk)
    log.event("good", {})
    log.event("bad", {"text": "a\0b"})
    log.event("bad", {"text": "\ud800"})
    log.event("good", {})
    assert await writer.flush()
    assert await in_database(lambda: events_of(call)) == [(1, "good"), (2, "good")]


async def test_it_ignores_a_call_that_is_gone(writer: CallWriter, call: PhoneCall) -> None:
    gone, log = writer.open("call_gone"), writer.open(call.pk)
    gone.event("lost", {})
    gone.turn(record(1))
    log.event("kept", {})
    assert await writer.flush()
    assert await in_database(lambda: events_of(call)) == [(1, "kept")]


class Outage:
    """Takes the database away from the writer, in one of several ways."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, database_url: str = "") -> None:
        self.mode = ""
        self.failures = 0
        commit = calllog_store.BatchStore._commit

        def failing(store: calllog_store.BatchStore, batch: Any) -> None:
            if self.mode == "before":
                self.failures += 1
                raise OperationalError("the database is away")
            if self.mode == "after":  # the commit comes through, its answer does not
                self.mode = ""
                xid = []

                def remember() -> None:
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT pg_current_xact_id()::text")
                        xid.append(cursor.fetchone()[0])

                with transaction.atomic():
                    remember()
                    commit(store, batch)
                store._in_doubt = (xid[0], len(batch))
                self.failures += 1
                raise OperationalError("server closed the connection unexpectedly")
            if self.mode == "kill":
                self.mode = ""
                self.failures += 1
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_backend_pid()")
                    [pid] = cursor.fetchone()
                with psycopg.connect(database_url, autocommit=True) as killer:
                    killer.execute("SELECT pg_terminate_backend(%s, 2000)", [pid])
            commit(store, batch)

        monkeypatch.setattr(calllog_store.BatchStore, "_commit", failing)
        monkeypatch.setattr(calllog, "PATIENCE", (0.01,))


async def test_it_keeps_everything_through_an_outage(
    writer: CallWriter, call: PhoneCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = Outage(monkeypatch)
    outage.mode = "before"
    log = writer.open(call.pk)
    for n in range(700):
        log.event("test", {"n": n})
    assert not await writer.flush(0.2)
    assert outage.failures > 1
    outage.mode = ""
    assert await writer.flush()
    assert await in_database(lambda: events_of(call)) == [(n + 1, "test") for n in range(700)]


async def test_it_writes_nothing_twice_when_a_commits_answer_is_lost(
    writer: CallWriter, call: PhoneCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = Outage(monkeypatch)
    outage.mode = "after"
    log = writer.open(call.pk)
    log.event("first", {})
    log.turn(record(1, interrupted=True))
    assert await writer.flush()
    assert outage.failures == 1
    assert await in_database(lambda: events_of(call)) == [(1, "first")]
    await in_database(call.refresh_from_db)
    assert (call.event_seq, call.interruptions) == (1, 1)


async def test_it_survives_its_connection_being_killed(
    writer: CallWriter, call: PhoneCall, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    outage = Outage(monkeypatch, database_url)
    log = writer.open(call.pk)
    for n in range(30):
        log.event("test", {"n": n})
        if n % 10 == 5:
            outage.mode = "kill"
            assert await writer.flush()
    assert await writer.flush()
    assert outage.failures == 3
    assert await in_database(lambda: events_of(call)) == [(n + 1, "test") for n in range(30)]


async def test_it_bounds_what_it_keeps_and_says_how_much_was_lost(
    tmp_path: Path, call: PhoneCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = Outage(monkeypatch)
    writer = CallWriter(leftovers=tmp_path, most=10)
    log = writer.open(call.pk)
    for n in range(15):
        log.event("test", {"n": n})
    log.turn(record(1))
    ledger = await journal(writer, call).begin(START)
    assert writer.backlog == 12
    outage.mode = ""
    await writer.start()
    assert await writer.flush()
    log.event("test", {"n": 15})
    assert await writer.flush()
    await writer.aclose()
    events = await in_database(lambda: list(CallEvent.objects.filter(call=call).order_by("seq")))
    assert [event.type for event in events] == ["test"] * 10 + ["log.lost", "test"]
    assert events[10].payload == {"events": 5}
    assert await in_database(lambda: Turn.objects.filter(call=call).count()) == 1
    assert await in_database(lambda: ModelCall.objects.filter(pk=ledger).exists())


async def test_it_leaves_what_it_could_not_write_to_the_next_process(
    tmp_path: Path, call: PhoneCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = Outage(monkeypatch)
    outage.mode = "before"
    writer = CallWriter(leftovers=tmp_path)
    await writer.start()
    writer.open(call.pk).event("late", {})
    ledger = await journal(writer, call).begin(START)
    await writer.aclose()
    assert [mode & 0o077 for mode in await asyncio.to_thread(modes_in, tmp_path)] == [0]
    outage.mode = ""
    successor = CallWriter(leftovers=tmp_path)
    await successor.start()
    assert await successor.flush()
    await successor.aclose()
    assert await asyncio.to_thread(modes_in, tmp_path) == []
    assert await in_database(lambda: events_of(call)) == [(1, "late")]
    assert await in_database(lambda: ModelCall.objects.filter(pk=ledger).exists())


async def test_it_writes_what_is_queued_before_it_closes(tmp_path: Path, call: PhoneCall) -> None:
    writer = CallWriter(leftovers=tmp_path)
    await writer.start()
    log = writer.open(call.pk)
    for n in range(2000):
        log.event("test", {"n": n})
    await writer.aclose()
    assert len(await in_database(lambda: events_of(call))) == 2000
    assert not any(thread.name == "call-log" for thread in threading.enumerate())


async def test_it_writes_what_is_queued_when_its_process_just_ends(
    call: PhoneCall, database_url: str, tmp_path: Path
) -> None:
    program = f"""
import asyncio, django
django.setup()
from voice.calllog import CallWriter
async def main():
    writer = CallWriter()
    await writer.start()
    for n in range(700):
        writer.open({call.pk!r}).event("test", {{"n": n}})
asyncio.run(main())
"""
    environment = {**os.environ, "DATABASE_URL": database_url, "MESH_DATA_DIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=environment)
    assert await asyncio.wait_for(process.wait(), 60) == 0
    assert len(await in_database(lambda: events_of(call))) == 700


async def test_it_settles_what_a_dead_process_left_open(writer: CallWriter, call: PhoneCall) -> None:
    lost = await journal(writer, call).begin(START)
    for number in range(1, 21):
        writer.open(call.pk).turn(record(number, latencies={"first_frame": 10.0 * number}))
    assert await writer.flush()

    def die() -> None:
        PhoneCall.objects.filter(pk=call.pk).update(state="ended", end_reason="worker_lost", ended_at=Now())

    assert await in_database(lost_calls.settle) == 0  # it is alive
    await in_database(die)
    assert await in_database(lost_calls.settle) == 1
    assert await in_database(lost_calls.settle) == 0
    row = await in_database(lambda: ModelCall.objects.get(pk=lost))
    assert (row.state, float(row.cost), float(row.reserved)) == ("unknown", 0.25, 0)
    await in_database(call.refresh_from_db)
    assert float(call.cost) == 0.25
    assert call.latencies == {"first_frame": {"p50": 100.0, "p95": 190.0, "p99": 200.0}}
    assert await in_database(lambda: events_of(call)) == [(1, "call.ended")]
