"""A voice that is late or dies in the clause is replaced, and the caller hears the clause whole."""

import asyncio

import pytest

from agents.providers.errors import ChainUnavailable, Failure, ProviderError
from tests.fakes.virtual_time import virtual
from tests.unit.speech_world import ScriptedVoice, SpeechWorld, failure, now, spoken
from voice.connectors.types import TtsOptions

F = Failure
A, B = b"a" * 800, b"b" * 800  # 100 ms each


def world_of(*, third: bool = False) -> tuple[SpeechWorld, ScriptedVoice, ScriptedVoice]:
    first, second = ScriptedVoice("elevenlabs", 0.1, A, A, A), ScriptedVoice("azure", 0.1, B, B, B)
    more = [ScriptedVoice("openai", b"c" * 800)] if third else []
    return SpeechWorld(first, second, *more), first, second


def heard(pieces: list) -> bytes:
    """What the caller hears: a restart drops what came before."""
    audio = b""
    for piece in pieces:
        audio = piece.audio if piece.restarts else audio + piece.audio
    return audio


@virtual
async def test_it_asks_one_service_while_all_is_well() -> None:
    world, _, second = world_of()
    speaker = world.speaker()
    for _ in range(3):
        assert heard(await spoken(speaker)) == A * 3
    assert not second.texts
    assert not world.observer.hedges


@virtual
async def test_it_starts_a_backup_after_250_ms_without_audio() -> None:
    world, first, _ = world_of()
    first.script(60.0)
    began = now()
    pieces = await spoken(world.speaker())
    assert heard(pieces) == B * 3
    assert not any(piece.restarts for piece in pieces), "nothing had been heard"
    assert now() - began == pytest.approx(0.25 + 0.1, abs=0.02)
    assert first.stopped == 1, "the loser was stopped"
    assert world.observer.hedges == [("tts", "elevenlabs", "azure", "late")]


@virtual
async def test_it_takes_whoever_has_audio_first() -> None:
    world, first, second = world_of()
    first.script(0.3, A, A)
    pieces = await spoken(world.speaker())
    assert heard(pieces) == A * 2
    assert second.stopped == 1
    assert not world.observer.failures, "it was late, but the first"


@virtual
async def test_it_goes_to_the_next_at_once_when_one_fails() -> None:
    for category in (F.CONNECTION, F.AUTHENTICATION, F.RATE_LIMITED, F.SERVER_ERROR, F.MALFORMED):
        world, first, _ = world_of()
        first.script(failure(category, "elevenlabs"))
        began = now()
        assert heard(await spoken(world.speaker())) == B * 3
        assert now() - began == pytest.approx(0.1, abs=0.02)


@virtual
async def test_it_speaks_the_clause_anew_when_one_dies_in_it() -> None:
    world, first, second = world_of()
    first.script(0.1, A, failure(F.CUT_STREAM, "elevenlabs"))
    pieces = await spoken(world.speaker(), "A sentence.")
    assert [piece.restarts for piece in pieces] == [False, True, False, False]
    assert heard(pieces) == B * 3
    assert second.texts == ["A sentence."]


@virtual
async def test_it_starts_a_backup_when_little_is_queued_and_nothing_comes() -> None:
    world, first, _ = world_of()
    first.script(0.1, A, 60.0, A)
    began = now()
    pieces = await spoken(world.speaker())
    assert heard(pieces) == B * 3
    assert [piece.restarts for piece in pieces] == [False, True, False, False]
    assert now() - began == pytest.approx(0.1 + 0.25 + 0.1, abs=0.03)
    assert world.observer.hedges == [("tts", "elevenlabs", "azure", "stalled")]


@virtual
async def test_it_lets_a_service_be_slow_while_much_is_queued() -> None:
    world, first, second = world_of()
    first.script(0.6, A, A)
    assert heard(await spoken(world.speaker(), queued=[2000.0])) == A * 2
    assert not second.texts


@virtual
async def test_it_does_not_wait_for_ever_because_much_is_queued() -> None:
    world, first, _ = world_of()
    first.script(60.0)
    began = now()
    assert heard(await spoken(world.speaker(), queued=[60_000.0])) == B * 3
    assert now() - began == pytest.approx(1.1, abs=0.05)


@virtual
async def test_it_keeps_a_stalled_one_that_goes_on_before_the_backup() -> None:
    world, first, second = world_of()
    first.script(0.1, A, 0.3, A)
    second.script(5.0, B)
    pieces = await spoken(world.speaker())
    assert heard(pieces) == A * 2
    assert not any(piece.restarts for piece in pieces)
    assert second.stopped == 1


@virtual
async def test_it_starts_a_third_when_two_are_late() -> None:
    world, first, second = world_of(third=True)
    first.script(60.0)
    second.script(60.0)
    assert heard(await spoken(world.speaker())) == b"c" * 800
    assert [hedge[2] for hedge in world.observer.hedges] == ["azure", "openai"]


@virtual
async def test_it_stays_with_the_voice_that_worked() -> None:
    world, first, _ = world_of()
    speaker = world.speaker()
    first.script(failure(F.SERVER_ERROR, "elevenlabs"))
    await spoken(speaker)
    assert heard(await spoken(speaker)) == B * 3
    assert len(first.texts) == 1
    await asyncio.sleep(31)
    assert heard(await spoken(speaker)) == A * 3, "for a while"


@virtual
async def test_it_tries_an_only_voice_again() -> None:
    only = ScriptedVoice("elevenlabs", 0.1, A, A)
    world = SpeechWorld(only)
    only.script(0.1, A, failure(F.CUT_STREAM, "elevenlabs"))
    pieces = await spoken(world.speaker())
    assert heard(pieces) == A * 2
    assert pieces[1].restarts


@virtual
async def test_it_raises_when_nobody_is_left() -> None:
    world, first, second = world_of()
    first.usual = (failure(F.SERVER_ERROR, "elevenlabs"),)
    second.usual = (failure(F.AUTHENTICATION, "azure"),)
    with pytest.raises(ChainUnavailable):
        await spoken(world.speaker())
    assert len(first.texts) == 2
    assert len(second.texts) == 1


@virtual
async def test_it_raises_a_bad_key_as_such() -> None:
    only = ScriptedVoice("azure", failure(F.AUTHENTICATION, "azure"))
    world = SpeechWorld(only)
    for _ in range(2):
        with pytest.raises(ProviderError) as caught:
            await spoken(world.speaker())
        assert caught.value.category is F.AUTHENTICATION
    assert len(only.texts) == 1, "the breaker answers the second time"


@virtual
async def test_it_stops_everybody_when_the_caller_interrupts() -> None:
    for wait in (0.05, 0.2, 0.3):
        world, first, _ = world_of()
        first.script(0.25 if wait == 0.3 else 0.1, A, 60.0)
        stream = world.speaker().speak("Hello.", queued_ms=lambda: 0.0)
        listening = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(wait)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await stream.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert first.stopped == 1
        assert world.gateway.status()["tts.elevenlabs"]["breaker"] == "closed"


@virtual
async def test_it_warms_the_one_that_will_be_asked() -> None:
    world, first, second = world_of()
    speaker = world.speaker()
    await speaker.warm()
    assert (first.warmed, second.warmed) == (1, 0)
    first.script(failure(F.AUTHENTICATION, "elevenlabs"))
    await spoken(speaker)
    await speaker.warm()
    assert (first.warmed, second.warmed) == (1, 1)


@virtual
async def test_it_charges_every_attempt() -> None:
    world, first, _ = world_of()
    speaker = world.speaker()
    first.script(0.1, A, failure(F.CUT_STREAM, "elevenlabs"))
    await spoken(speaker, "x" * 1000)
    used = {use.connector: use for use in speaker.use()}
    assert {name: use.characters for name, use in used.items()} == {"elevenlabs": 1000, "azure": 1000}
    assert used["elevenlabs"].cost == pytest.approx(0.05)
    assert used["azure"].cost == pytest.approx(0.015)


@virtual
async def test_it_gives_a_slow_service_the_time_that_it_takes() -> None:
    slow = ScriptedVoice("openai", 0.4, A)
    slow.expected_ms = 400.0
    world = SpeechWorld(slow, ScriptedVoice("local", b"l"))
    speaker = world.speaker("openai", "local")
    for _ in range(5):
        assert heard(await spoken(speaker)) == A
    assert not world.observer.hedges


@virtual
async def test_it_tells_each_service_its_own_voice() -> None:
    world, first, second = world_of(third=True)
    extra = {"voice": "Anna", "model": "m", "azure": {"voice": "de-DE-Katja"}, "style": 0.3}
    first.usual = second.usual = (failure(F.SERVER_ERROR),)
    await spoken(world.speaker(options=TtsOptions(voice="", extra=extra)))
    assert [voice.options[0].voice for voice in world.voices.values()] == ["Anna", "de-DE-Katja", ""]
    assert first.options[0].extra == {"voice": "Anna", "model": "m", "style": 0.3}
    assert world.voices["openai"].options[0].extra == {"style": 0.3}


@virtual
async def test_it_prefers_a_voice_given_beside_the_config() -> None:
    world, first, second = world_of()
    first.usual = (failure(F.SERVER_ERROR),)
    extra = {"voice": "Anna", "elevenlabs": {"voice": "Own"}}
    await spoken(world.speaker(options=TtsOptions(voice="Asked", extra=extra)))
    assert first.options[0].voice == "Asked"
    assert second.options[0].voice == ""
    await spoken(world.speaker(options=TtsOptions(voice="Anna", extra=extra)))
    assert first.options[-1].voice == "Own", "the common one is no such wish"
