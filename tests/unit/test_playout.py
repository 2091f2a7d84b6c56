"""The playout against a far end in virtual time: what is sent when, and what was heard."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.virtual_time import run_virtual, virtual
from tests.unit.playout_world import Player, Voice, pieces, say
from voice.audio import TELEPHONE
from voice.connectors.types import Speech, WordTime
from voice.pipeline.mulaw import SILENT_DB
from voice.pipeline.playout import Playout
from voice.pipeline.ports import TransportClosed

TEXT = (
    "Thank you for calling, this is the pharmacy on Main Street. ",
    "Your prescription, number 4471, will be ready at 3 pm on Tuesday. ",
    "Would you like us to send you a message when it is done, or shall we call you again? ",
    "Our address is 12 Baker Street, next to the station. ",
)
LOUD = b"\x20"  # a sample


@asynccontextmanager
async def playing(player: Player) -> AsyncIterator[Playout]:
    playout = Playout(player, asyncio.get_running_loop().time)
    player.on_mark = playout.mark
    running = asyncio.create_task(playout.run())
    try:
        yield playout
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def add(playout: Playout, turn: int, clause: int, milliseconds: float, sample: bytes = LOUD) -> None:
    audio = sample * TELEPHONE.size(milliseconds)
    playout.add(turn, clause, f"clause {clause}", clause * 10, Speech(audio))


def audio_of(player: Player) -> bytes:
    return b"".join(each.audio for each in player.heard)


# ---- pacing -----------------------------------------------------------------------------------


@virtual
async def test_it_keeps_the_far_end_ahead_by_60_to_200_ms_and_no_more() -> None:
    player = Player()
    async with playing(player) as playout:
        add(playout, 1, 0, 10_000)
        playout.end_clause(1, 0)
        for _ in range(80):
            await asyncio.sleep(0.1)
            ahead = playout.sent_ms - player.heard_ms()
            # what is still on the network is no lead of the player's
            assert 60 <= ahead - 50 <= 200 + 40 + 20
        assert player.starved == 1  # only before the first sound


@virtual
async def test_it_shrinks_the_lead_on_a_steady_line_and_widens_it_on_a_shaky_one() -> None:
    steady, shaky = Player(), Player(delay=lambda: random.uniform(0.03, 0.18))
    leads = []
    for player in (steady, shaky):
        async with playing(player) as playout:
            add(playout, 1, 0, 20_000)
            await asyncio.sleep(19)
            leads.append(playout.lead_ms)
    assert leads[0] == 60
    assert 120 < leads[1] <= 200


@virtual
async def test_it_sends_whole_frames_and_wakes_no_more_often_than_every_40_ms() -> None:
    player = Player()
    async with playing(player) as playout:
        for _ in range(100):
            add(playout, 1, 0, 37)
            await asyncio.sleep(0.03)
        playout.end_clause(1, 0)
        playout.end_turn(1)
        await playout.drained(1)
    sent = [audio for what, _, audio in player.log if what == "audio" and isinstance(audio, bytes)]
    assert all(len(audio) % 160 == 0 for audio in sent)
    assert len(sent) < 3700 / 40 + 10
    assert audio_of(player).rstrip(TELEPHONE.silence) == LOUD * TELEPHONE.size(3700)


@virtual
async def test_it_plays_clauses_by_number_and_turns_as_they_were_begun() -> None:
    player = Player()
    async with playing(player) as playout:
        add(playout, 1, 0, 100, b"a")
        add(playout, 1, 1, 100, b"b")
        add(playout, 2, 0, 100, b"c")
        await asyncio.sleep(0.5)
        playout.end_clause(1, 1)
        add(playout, 1, 0, 100, b"A")
        playout.end_clause(1, 0)
        playout.end_turn(1)
        playout.end_clause(2, 0)
        playout.end_turn(2)
        await playout.drained(2)
    audio = audio_of(player).replace(TELEPHONE.silence, b"")
    assert audio == b"a" * 800 + b"A" * 800 + b"b" * 800 + b"c" * 800


@virtual
async def test_it_asks_for_marks_every_200_ms_and_at_the_ends_of_clauses() -> None:
    player = Player()
    async with playing(player) as playout:
        for clause in (0, 1):
            add(playout, 3, clause, 1000)
            playout.end_clause(3, clause)
        playout.end_turn(3)
        await playout.drained(3)
    marks = [str(name).split(":")[1:] for what, _, name in player.log if what == "mark"]
    assert len(marks) >= 10
    assert ["3", "0", "8"] in marks  # turn, clause, characters of the text
    assert marks[-1] == ["3", "1", "18"]


@virtual
async def test_it_counts_as_underrun_only_what_breaks_a_clause() -> None:
    player = Player()
    gaps: list[float] = []
    playout = Playout(player, asyncio.get_running_loop().time, on_underrun=gaps.append)
    running = asyncio.create_task(playout.run())
    add(playout, 1, 0, 400)
    playout.end_clause(1, 0)
    await asyncio.sleep(2)  # the next sentence is late: a pause
    add(playout, 1, 1, 400)
    await asyncio.sleep(0.6)  # its end is late: a gap
    add(playout, 1, 1, 400)
    await asyncio.sleep(0.1)
    playout.pause()
    await asyncio.sleep(1)
    playout.resume()  # we wanted that gap
    add(playout, 1, 1, 400)
    await asyncio.sleep(0.1)
    assert gaps == [pytest.approx(200, abs=5)]
    assert playout.underruns == 1
    running.cancel()


@virtual
async def test_it_says_what_is_heard_from_when_and_what_is_not() -> None:
    player = Player()
    sent: list[tuple[float, int]] = []
    cleared: list[float] = []
    loop = asyncio.get_running_loop()
    playout = Playout(
        player,
        loop.time,
        on_sent=lambda audio, at: sent.append((at / 1000, len(audio))),
        on_cleared=lambda at: cleared.append(at / 1000),
    )
    player.on_mark = playout.mark
    running = asyncio.create_task(playout.run())
    add(playout, 1, 0, 2000)
    await asyncio.sleep(1)
    for (at, size), each in zip(sent, player.heard, strict=False):  # the last one is still on its way
        assert (at, size) == (pytest.approx(each.at, abs=0.01), len(each.audio))
    assert len(player.heard) > 10
    await playout.clear()
    assert cleared == [pytest.approx(loop.time() + 0.05, abs=0.001)]
    running.cancel()


@virtual
async def test_it_ends_when_the_caller_is_gone() -> None:
    class Gone(Player):
        async def send_audio(self, audio: bytes) -> None:
            raise TransportClosed

    playout = Playout(Gone(), asyncio.get_running_loop().time)
    add(playout, 1, 0, 100)
    with pytest.raises(TransportClosed):
        await playout.run()


# ---- pause, resume, clear ---------------------------------------------------------------------


@virtual
async def test_it_lets_the_lead_play_out_when_paused_and_goes_on_where_it_stopped() -> None:
    player = Player()
    async with playing(player) as playout:
        audio = bytes(range(128)) * 200
        playout.add(1, 0, "text", 0, Speech(audio))
        playout.end_clause(1, 0)
        playout.end_turn(1)
        await asyncio.sleep(1)
        playout.pause()
        assert playout.speaking
        await asyncio.sleep(0.4)
        assert not playout.speaking
        assert not [what for what, _, _ in player.log if what == "clear"]
        before = len(audio_of(player))
        await asyncio.sleep(5)
        assert len(audio_of(player)) == before
        playout.resume()
        await playout.drained(1)
        assert audio_of(player) == audio
        assert playout.queued_ms == pytest.approx(0, abs=0.01)


@virtual
async def test_it_sends_nothing_of_a_turn_after_clear_though_a_send_was_in_flight() -> None:
    player = Player(blocked=asyncio.Event())
    async with playing(player) as playout:
        add(playout, 1, 0, 5000, b"a")
        await asyncio.sleep(0.1)  # the first send waits for the network
        clearing = asyncio.create_task(playout.clear())
        await asyncio.sleep(0)
        add(playout, 1, 1, 1000, b"a")  # the voice had not heard yet
        add(playout, 2, 0, 100, b"b")
        playout.end_clause(2, 0)
        playout.end_turn(2)
        assert player.blocked is not None
        player.blocked.set()
        await clearing
        await playout.drained(2)
    order = [what for what, _, _ in player.log]
    after = player.log[order.index("clear") + 1 :]
    assert b"a" not in b"".join(audio for _, _, audio in after if isinstance(audio, bytes))
    assert audio_of(player).endswith(b"b" * 800)


@virtual
async def test_it_speaks_again_at_once_after_clear() -> None:
    player = Player()
    async with playing(player) as playout:
        add(playout, 1, 0, 5000, b"a")
        await asyncio.sleep(2)
        playout.pause()
        await playout.clear()
        assert not playout.paused
        sent = len(player.log)
        add(playout, 2, 0, 500, b"b")
        await asyncio.sleep(0.001)
        assert "audio" in [what for what, _, _ in player.log[sent:]]


@virtual
async def test_it_takes_marks_of_cleared_audio_for_no_proof() -> None:
    player = Player()
    async with playing(player) as playout:
        playout.add(1, 0, "one two three four", 0, Speech(LOUD * 8000))
        playout.end_clause(1, 0)
        await asyncio.sleep(0.15)  # 100 ms are heard, marks of more are on their way
        await playout.clear()
        before = playout.heard(1)
        await asyncio.sleep(1)  # by now all marks are back
        assert playout.heard(1) == before <= len("one")


# ---- what was heard ---------------------------------------------------------------------------


@virtual
async def test_it_has_heard_all_when_a_turn_is_over() -> None:
    player = Player()
    voice_of = random.Random(7)
    text = "".join(TEXT)
    async with playing(player) as playout:
        start = 0
        for clause, part in enumerate(TEXT):
            voice = say(part, voice_of)
            for speech in pieces(voice, voice_of, timed=False):
                playout.add(1, clause, part, start, speech)
            playout.end_clause(1, clause)
            start += len(part)
        playout.end_turn(1)
        assert playout.heard(1) == 0
        await playout.drained(1)
        assert playout.heard(1) == len(text)
        for turn in range(2, 40):
            playout.end_turn(turn)
            await playout.drained(turn)
        with pytest.raises(LookupError, match="turn 1 is long over"):  # and not 0, which would be a lie
            playout.heard(1)


@virtual
async def test_it_begins_a_clause_anew_when_another_voice_takes_over() -> None:
    player = Player()
    async with playing(player) as playout:
        playout.add(1, 0, "one two three four", 0, Speech(b"a" * 16_000))
        await asyncio.sleep(0.5)
        playout.add(1, 0, "one two three four", 0, Speech(b"b" * 800, restarts=True))
        playout.add(1, 0, "one two three four", 0, Speech(b"b" * 7200))
        playout.end_clause(1, 0)
        playout.end_turn(1)
        await playout.drained(1)
        assert playout.heard(1) == len("one two three four")
    audio = audio_of(player)
    assert audio.count(b"b") == 8000
    assert audio.count(b"a") < 8 * (500 + 200 + 60)


@virtual
async def test_it_knows_how_loud_the_agent_was() -> None:
    player = Player()
    async with playing(player) as playout:
        now = asyncio.get_running_loop().time() * 1000
        add(playout, 1, 0, 400)
        add(playout, 1, 0, 400, TELEPHONE.silence)
        add(playout, 1, 0, 400)
        await asyncio.sleep(1)
        assert playout.outbound_level_db(now + 20) == SILENT_DB  # on its way
        assert playout.outbound_level_db(now + 250) > -20
        assert playout.outbound_level_db(now + 650) == SILENT_DB
        assert playout.outbound_level_db(now + 1000) > -20


def interruption(seed: int, *, timed: bool) -> int:
    """One interrupted turn on a line of 30-80 ms each way. Returns the words claimed more than heard."""
    chance = random.Random(seed)

    async def scene() -> int:
        player = Player(delay=lambda: chance.uniform(0.03, 0.08))
        voices = [say(text, chance) for text in TEXT]
        async with playing(player) as playout:
            feeding = asyncio.create_task(_feed(playout, voices, chance, timed))
            length = sum(TELEPHONE.duration(len(voice.audio)) for voice in voices)
            await asyncio.sleep(chance.uniform(0.3, length / 1000))
            if chance.random() < 0.5:
                playout.pause()
                await asyncio.sleep(chance.uniform(0.1, 0.4))
            feeding.cancel()
            sent = len(player.log)
            await playout.clear()
            claimed = playout.heard(1)
            await asyncio.sleep(1)
            assert all(what != "audio" for what, _, _ in player.log[sent:])
            heard, left = 0, player.heard_ms()
            for voice in voices:
                heard += voice.spoken(max(0.0, left))
                left -= TELEPHONE.duration(len(voice.audio))
            return len("".join(TEXT)[:claimed].split()) - heard

    return run_virtual(scene())


async def _feed(playout: Playout, voices: list[Voice], chance: random.Random, timed: bool) -> None:
    start = 0
    for clause, voice in enumerate(voices):
        for speech in pieces(voice, chance, timed=timed):
            playout.add(1, clause, voice.text, start, speech)
            await asyncio.sleep(chance.uniform(0.001, 0.06))
        playout.end_clause(1, clause)
        start += len(voice.text)
    playout.end_turn(1)


@pytest.mark.parametrize("timed", [True, False], ids=["word-times", "no-word-times"])
def test_it_knows_what_was_heard_within_a_word_in_99_of_100_interruptions(timed: bool) -> None:
    differences = [interruption(seed, timed=timed) for seed in range(200)]
    assert sum(abs(difference) > 1 for difference in differences) <= 2
    assert abs(sum(differences)) <= 200 * 0.15  # and leans to neither side


def test_it_does_not_count_the_lead_as_heard() -> None:
    words = tuple(WordTime(at * 3, at * 3 + 2, at * 100.0) for at in range(60))  # ten a second

    async def claimed_too_much(seed: int) -> float:
        chance = random.Random(seed)
        player = Player(delay=lambda: chance.uniform(0.03, 0.18))  # so the lead is long
        async with playing(player) as playout:
            playout.add(1, 0, "ab " * 60, 0, Speech(LOUD * TELEPHONE.size(6000), words))
            playout.end_clause(1, 0)
            await asyncio.sleep(4)
            await playout.clear()
            claimed = playout.heard(1) / 3
            await asyncio.sleep(1)
            return claimed - player.heard_ms() / 100

    differences = [run_virtual(claimed_too_much(seed)) for seed in range(30)]
    assert abs(sum(differences) / 30) < 0.6


@given(
    seed=st.integers(0, 10**6),
    acts=st.lists(st.sampled_from(["pause", "resume", "clear", "wait", "add", "end"]), max_size=25),
)
@settings(max_examples=60, deadline=None)
def test_it_never_claims_what_was_not_sent_nor_takes_a_word_back(seed: int, acts: list[str]) -> None:
    chance = random.Random(seed)

    async def scene() -> None:
        player = Player(delay=lambda: chance.uniform(0.03, 0.08))
        async with playing(player) as playout:
            turn, clause, sent_text, heard = 1, 0, 0, 0
            for act in acts:
                if act == "pause":
                    playout.pause()
                elif act == "resume":
                    playout.resume()
                elif act == "clear":
                    await playout.clear()
                    assert playout.heard(turn) <= sent_text
                    turn, clause, sent_text, heard = turn + 1, 0, 0, 0
                elif act == "add":
                    for speech in pieces(say(TEXT[0], chance), chance, timed=False):
                        playout.add(turn, clause, TEXT[0], sent_text, speech)
                    playout.end_clause(turn, clause)
                    sent_text += len(TEXT[0])
                    clause += 1
                elif act == "end":
                    playout.end_turn(turn)
                    turn, clause, sent_text, heard = turn + 1, 0, 0, 0
                else:
                    await asyncio.sleep(chance.uniform(0, 2))
                assert 0 <= playout.heard(turn) <= sent_text
                assert playout.queued_ms >= 0
                assert playout.heard(turn) >= heard - 12  # an echo may correct by a word
                heard = playout.heard(turn)
            playout.resume()
            playout.end_turn(turn)
            await playout.drained(turn)
            if sent_text:
                assert playout.heard(turn) == sent_text

    run_virtual(scene())
