"""The gateway chooses services and skips the dead ones, for all calls."""

import asyncio

import pytest

from agents.providers.errors import Failure
from tests.fakes.virtual_time import virtual
from tests.unit.speech_world import Keys, ScriptedEar, ScriptedVoice, SpeechWorld, Words, failure, now, spoken
from voice.audio import TELEPHONE
from voice.connectors import registry
from voice.connectors.types import SttOptions, TtsOptions

F = Failure
A, B, L = b"a" * 800, b"b" * 800, b"l" * 800


def voices() -> list[ScriptedVoice]:
    return [ScriptedVoice("elevenlabs", A), ScriptedVoice("azure", B), ScriptedVoice("local", L)]


async def first_audio(world: SpeechWorld, *names: str, project: str = "") -> bytes:
    return (await spoken(world.speaker(*names, project=project)))[0].audio


@virtual
async def test_it_skips_services_without_a_key() -> None:
    world = SpeechWorld(*voices(), keys=Keys("azure"))
    assert await first_audio(world, "elevenlabs", "azure", "local") == B


@virtual
async def test_it_needs_no_key_for_local() -> None:
    world = SpeechWorld(*voices(), keys=Keys())
    assert await first_audio(world, "elevenlabs", "local") == L
    assert await first_audio(world, "local") == L


@virtual
async def test_it_takes_local_when_nothing_named_is_configured() -> None:
    world = SpeechWorld(*voices(), ScriptedEar("local", ("apples",)), keys=Keys())
    assert await first_audio(world, "elevenlabs", "azure") == L
    assert (await spoken(world.gateway.speaker("", [], TELEPHONE, TtsOptions())))[0].audio == L
    caller = await world.listen("deepgram")
    await caller.say(Words(apples=200).audio)
    assert await caller.finish() == "apples"
    await caller.hang_up()


@virtual
async def test_it_does_not_add_local_where_something_is_configured() -> None:
    elevenlabs, _, local = world_voices = voices()
    elevenlabs.usual = (failure(F.INVALID_REQUEST, "elevenlabs"),)
    world = SpeechWorld(*world_voices, keys=Keys("elevenlabs"))
    with pytest.raises(Exception, match="invalid_request"):
        await first_audio(world, "elevenlabs")
    assert not local.texts


@virtual
async def test_it_skips_a_dead_service_at_no_cost_in_later_calls() -> None:
    elevenlabs, azure, local = voices()
    elevenlabs.usual = (failure(F.CONNECTION, "elevenlabs"),)
    world = SpeechWorld(elevenlabs, azure, local)
    for _ in range(3):
        assert await first_audio(world, "elevenlabs", "azure") == B
    assert world.gateway.status()["tts.elevenlabs"]["breaker"] == "open"
    assert world.observer.breakers == [("elevenlabs", "open")]
    began = now()
    for _ in range(20):
        assert await first_audio(world, "elevenlabs", "azure") == B
    assert now() == began
    assert len(elevenlabs.texts) == 3


@virtual
async def test_it_skips_a_silent_service_in_later_calls() -> None:
    elevenlabs, azure, local = voices()
    elevenlabs.usual = (60.0,)
    world = SpeechWorld(elevenlabs, azure, local)
    for _ in range(3):
        assert await first_audio(world, "elevenlabs", "azure") == B
    began = now()
    assert await first_audio(world, "elevenlabs", "azure") == B
    assert now() == began


@virtual
async def test_it_probes_a_dead_service_with_one_call_and_takes_it_back() -> None:
    elevenlabs, azure, local = voices()
    for _ in range(3):
        elevenlabs.script(failure(F.CONNECTION, "elevenlabs"))
    world = SpeechWorld(elevenlabs, azure, local)
    for _ in range(3):
        await first_audio(world, "elevenlabs", "azure")
    await asyncio.sleep(30)
    elevenlabs.script(0.2, A)
    audio = await asyncio.gather(*[first_audio(world, "elevenlabs", "azure") for _ in range(5)])
    assert sorted(audio) == [A, B, B, B, B]
    assert await first_audio(world, "elevenlabs", "azure") == A


@virtual
async def test_it_shares_recognisers_breakers_too() -> None:
    deaf = ScriptedEar("deepgram", ())
    deaf.refuses = [failure(F.SERVER_ERROR, "deepgram")] * 9
    good = ScriptedEar("openai", ("apples",))
    world = SpeechWorld(deaf, good)
    for _ in range(6):
        caller = await world.listen()
        await caller.say(Words(apples=200).audio)
        await caller.finish()
        await caller.hang_up()
    assert len(deaf.refuses) == 9 - 3
    assert world.gateway.status()["stt.deepgram"]["breaker"] == "open"
    assert world.gateway.status()["stt.openai"]["breaker"] == "closed"


@virtual
async def test_it_keeps_one_tenants_bad_key_from_the_others() -> None:
    elevenlabs, azure, local = voices()
    elevenlabs.script(failure(F.AUTHENTICATION, "elevenlabs"))
    world = SpeechWorld(elevenlabs, azure, local)
    assert await first_audio(world, "elevenlabs", "azure", project="one") == B
    assert await first_audio(world, "elevenlabs", "azure", project="one") == B
    assert await first_audio(world, "elevenlabs", "azure", project="two") == A
    assert len(elevenlabs.texts) == 2


@virtual
async def test_it_makes_a_client_once_a_key() -> None:
    made: list[str] = []
    world = SpeechWorld(*voices())
    load = world.gateway._voices._load

    def counting(name: str):
        made.append(name)
        return load(name)

    world.gateway._voices._load = counting
    for project in ("one", "one", "two"):
        await first_audio(world, "elevenlabs", project=project)
    assert made == ["elevenlabs", "elevenlabs"]


@virtual
async def test_it_tells_how_services_fare() -> None:
    world = SpeechWorld(*voices(), keys=Keys("azure"))
    status = world.gateway.status()
    assert set(status) == {f"stt.{name}" for name in registry.RECOGNISERS} | {
        f"tts.{name}" for name in registry.VOICES
    }
    assert status["tts.azure"] == {"configured": True, "breaker": "closed", "retry_after": None}
    assert status["tts.elevenlabs"]["configured"] is False
    assert status["tts.local"]["configured"] is True


async def test_it_warms_what_the_installation_uses() -> None:
    local = ScriptedEar("local", ())
    world = SpeechWorld(*voices(), local, keys=Keys("azure"))
    await world.gateway.start()
    assert [voice.warmed for voice in world.voices.values()] == [0, 1, 0]
    await world.gateway.aclose()


def test_it_lists_connectors_under_their_own_names() -> None:
    for name in registry.RECOGNISERS:
        assert registry.load_recogniser(name).name == name  # type: ignore[attr-defined]
    for name in registry.VOICES:
        assert registry.load_voice(name).name == name  # type: ignore[attr-defined]


@virtual
async def test_it_refuses_nothing_for_an_unknown_name() -> None:
    world = SpeechWorld(*voices())
    speaker = world.gateway.speaker("", ["nobody", "azure"], TELEPHONE, TtsOptions())
    assert (await spoken(speaker))[0].audio == B
    listener = await SpeechWorld(ScriptedEar("local", ())).gateway.transcription(
        "", ["nobody"], TELEPHONE, SttOptions()
    )
    await listener.aclose()
