"""Every voice: real sockets, the vendor's own wire format, and every way it fails."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from agents.providers.errors import Failure, ProviderError
from tests.conformance.speech_case import REMOTE_VOICES, VOICES, VoiceCase, loudness
from tests.fakes.garbage import garbage
from tests.fakes.speech_vendor import SpeechFault
from tests.fakes.stamps import Words
from tests.fakes.vendor_server import Vendors
from voice.audio import STUDIO, TELEPHONE, WIDE_BAND, AudioFormat
from voice.connectors.types import TtsOptions

F = Failure
TEXT = "Good morning, this is the office. How can I help you today?"


@pytest.fixture(params=VOICES)
async def voice(request: pytest.FixtureRequest, vendors: Vendors) -> AsyncIterator[VoiceCase]:
    case = VoiceCase(request.param, vendors)
    yield case
    await case.aclose()


@pytest.fixture(params=REMOTE_VOICES)
async def remote(request: pytest.FixtureRequest, vendors: Vendors) -> AsyncIterator[VoiceCase]:
    case = VoiceCase(request.param, vendors)
    yield case
    await case.aclose()


@pytest.mark.parametrize(
    "format",
    [TELEPHONE, WIDE_BAND, STUDIO, AudioFormat("pcm16", 48_000)],
    ids=lambda f: f"{f.encoding}{f.rate}",
)
async def test_it_speaks_in_the_format_asked_for(voice: VoiceCase, format: AudioFormat) -> None:
    pieces = await voice.speak(TEXT, format)
    audio = b"".join(piece.audio for piece in pieces)
    assert len(audio) % format.width == 0
    assert 2500 < format.duration(len(audio)) < 9000
    assert all(piece.connector == voice.name and not piece.restarts for piece in pieces)


async def test_it_is_loud_enough_for_a_telephone(voice: VoiceCase) -> None:
    audio = b"".join(piece.audio for piece in await voice.speak(TEXT))
    assert loudness(audio) > 300


async def test_it_speaks_any_text_as_text(voice: VoiceCase) -> None:
    text = "Is 3 < 4 & \"so\" on? <break time='5s'/> \x00\x0b ]]> {{x}} Zoë naïve 日本"
    audio = b"".join(piece.audio for piece in await voice.speak(text))
    assert audio
    if voice.vendor is not None:
        kept = voice.call.text.replace(" ", "")
        assert "<breaktime='5s'/>" in kept
        assert "3<4&" in kept


async def test_it_speaks_to_many_at_once(voice: VoiceCase) -> None:
    service = voice.service()
    spoken = await asyncio.gather(*[voice.speak(TEXT, service=service) for _ in range(6)])
    lengths = [sum(len(piece.audio) for piece in pieces) for pieces in spoken]
    assert max(lengths) - min(lengths) < TELEPHONE.size(50)  # espeak-ng is never quite the same


async def test_it_speaks_clause_after_clause(voice: VoiceCase) -> None:
    service = voice.service()
    await service.warm(TELEPHONE, TtsOptions())
    for _ in range(3):
        assert await voice.speak(TEXT, service=service)


async def test_a_clause_that_is_over_leaves_nothing_behind(remote: VoiceCase) -> None:
    service = remote.service()
    await remote.speak(TEXT, service=service)
    with garbage("voice.", "websockets.client") as left:
        for _ in range(3):
            await remote.speak(TEXT, service=service)
    assert not left, left


async def test_a_socket_that_broke_off_leaves_nothing_behind(vendors: Vendors) -> None:
    case = VoiceCase("elevenlabs", vendors)
    vendors.elevenlabs.always = SpeechFault("cut", after_ms=300)
    with garbage("voice.", "websockets.client") as left:
        service = case.service()
        for _ in range(3):
            with pytest.raises(ProviderError):
                await case.speak(TEXT, service=service)
    assert not left, left
    await case.aclose()


async def test_it_stops_the_vendor_when_nobody_listens_any_more(remote: VoiceCase) -> None:
    assert remote.vendor is not None
    remote.vendor.set(chunk_ms=100, chunk_interval_ms=20)
    stream = remote.service().synthesize(TEXT, TELEPHONE, TtsOptions())
    await anext(stream)
    await stream.aclose()
    await asyncio.wait_for(remote.call.gone.wait(), 5)
    assert not remote.call.complete


async def test_it_sends_its_key_and_the_text(remote: VoiceCase) -> None:
    await remote.speak(TEXT)
    assert remote.call.api_key == "key-of-the-test"
    assert remote.call.text.strip() == TEXT


@pytest.mark.parametrize("remote", ["elevenlabs", "azure"], indirect=True)  # OpenAI has no mu-law
async def test_it_keeps_mu_law_as_the_vendor_made_it(remote: VoiceCase) -> None:
    words = Words()
    for piece in await remote.speak(TEXT):
        words.feed(piece.audio)
    assert words.text() == TEXT


async def test_it_gives_audio_as_it_comes(remote: VoiceCase) -> None:
    assert remote.vendor is not None
    remote.vendor.always = SpeechFault("silence", after_ms=500)
    stream = remote.service().synthesize(TEXT, TELEPHONE, TtsOptions())
    assert (await anext(stream)).audio
    await stream.aclose()


@pytest.mark.parametrize(
    ("status", "category"),
    [
        (400, F.INVALID_REQUEST),
        (401, F.AUTHENTICATION),
        (402, F.BILLING),
        (403, F.AUTHENTICATION),
        (429, F.RATE_LIMITED),
        (500, F.SERVER_ERROR),
        (503, F.SERVER_ERROR),
    ],
)
async def test_it_classifies_a_refusal(remote: VoiceCase, status: int, category: Failure) -> None:
    assert remote.vendor is not None
    remote.vendor.always = SpeechFault("status", status=status, headers={"retry-after": "7"})
    with pytest.raises(ProviderError) as caught:
        await remote.speak(TEXT)
    error = caught.value
    assert (error.category, error.status, error.provider) == (category, status, remote.name)
    assert error.retry_after == 7.0
    assert "key-of-the-test" not in str(error)


async def test_it_tells_that_nobody_listens(remote: VoiceCase) -> None:
    service = remote.service(url=remote.vendors.refused)
    await service.warm(TELEPHONE, TtsOptions())
    with pytest.raises(ProviderError) as caught:
        await remote.speak(TEXT, service=service)
    assert caught.value.category is F.CONNECTION
    assert caught.value.nothing_sent


@pytest.mark.parametrize(
    ("fault", "categories"),
    [
        (SpeechFault("cut", after_ms=500), {F.CUT_STREAM}),
        (SpeechFault("close", after_ms=500), {F.CUT_STREAM}),
        (SpeechFault("garbage"), {F.MALFORMED}),
        (SpeechFault("html"), {F.MALFORMED}),
        (SpeechFault("empty"), {F.MALFORMED}),
        (SpeechFault("error_frame"), {F.CUT_STREAM, F.SERVER_ERROR}),
    ],
    ids=lambda value: value.kind if isinstance(value, SpeechFault) else "",
)
async def test_it_raises_what_goes_wrong(
    remote: VoiceCase, fault: SpeechFault, categories: set[Failure]
) -> None:
    assert remote.vendor is not None
    remote.vendor.set(chunk_ms=250)
    remote.vendor.always = fault
    with pytest.raises(ProviderError) as caught:
        await remote.speak(TEXT)
    assert caught.value.category in categories
    assert caught.value.provider == remote.name


async def test_it_asks_for_the_voice_it_is_told(remote: VoiceCase) -> None:
    await remote.speak(TEXT, options=TtsOptions(voice='a "voice"', speed=1.1))
    if remote.name == "openai":
        assert remote.call.messages[0]["voice"] == 'a "voice"'
        assert remote.call.messages[0]["speed"] == 1.1
    elif remote.name == "azure":
        assert '<voice name=\'a "voice"\'><prosody rate="+10%">' in remote.call.messages[0]
    else:
        assert '/a "voice"/' in remote.call.path.replace("%20", " ").replace("%22", '"')
        assert remote.call.messages[0] == {"text": " ", "voice_settings": {"speed": 1.1}}


class TestElevenLabs:
    @pytest.fixture
    async def elevenlabs(self, vendors: Vendors) -> AsyncIterator[VoiceCase]:
        case = VoiceCase("elevenlabs", vendors)
        yield case
        await case.aclose()

    @pytest.mark.parametrize("chunk_ms", [70, 250, 10_000])
    async def test_it_tells_when_each_word_begins(self, elevenlabs: VoiceCase, chunk_ms: int) -> None:
        elevenlabs.vendors.elevenlabs.set(chunk_ms=chunk_ms)
        pieces = await elevenlabs.speak(TEXT)
        words = [word for piece in pieces for word in piece.words]
        assert [TEXT[word.start : word.end] for word in words] == TEXT.split()
        heard = Words()
        heard.feed(b"".join(piece.audio for piece in pieces))
        begins = [TELEPHONE.duration(word.start) for word in heard.heard()]
        assert [word.at_ms for word in words] == pytest.approx(begins, abs=2)

    async def test_it_does_without_times(self, elevenlabs: VoiceCase) -> None:
        elevenlabs.vendors.elevenlabs.set(timestamps=False)
        pieces = await elevenlabs.speak(TEXT)
        assert pieces
        assert not any(piece.words for piece in pieces)

    async def test_it_has_a_connection_ready_for_the_next_clause(self, elevenlabs: VoiceCase) -> None:
        service = elevenlabs.service()
        await service.warm(TELEPHONE, TtsOptions())
        calls = await elevenlabs.vendors.elevenlabs.wait_for_calls(1)
        await elevenlabs.speak(TEXT, service=service)
        assert calls[0].text.strip() == TEXT, "the warm one was taken"
        await elevenlabs.vendors.elevenlabs.wait_for_calls(2)

    async def test_it_does_not_speak_into_a_connection_that_has_died(self, elevenlabs: VoiceCase) -> None:
        service = elevenlabs.service()
        await service.warm(TELEPHONE, TtsOptions())
        vendor = elevenlabs.vendors.elevenlabs
        vendor.dead = True
        await vendor.calls[0].gone.wait()
        vendor.dead = False
        await asyncio.sleep(0.05)  # until our side has noticed
        assert await elevenlabs.speak(TEXT, service=service)

    async def test_it_leaves_no_connection_open(self, elevenlabs: VoiceCase) -> None:
        service = elevenlabs.service()
        await service.warm(TELEPHONE, TtsOptions())
        await elevenlabs.speak(TEXT, service=service)
        await service.aclose()
        for call in elevenlabs.vendors.elevenlabs.calls:
            await asyncio.wait_for(call.gone.wait(), 5)


class TestLocal:
    @pytest.fixture
    async def local(self, vendors: Vendors) -> AsyncIterator[VoiceCase]:
        case = VoiceCase("local", vendors)
        yield case
        await case.aclose()

    async def test_it_tells_when_each_word_begins(self, local: VoiceCase) -> None:
        pieces = await local.speak(TEXT)
        words = [TEXT[word.start : word.end] for piece in pieces for word in piece.words]
        assert words[:4] == ["Good", "morning", "this", "is"]

    async def test_it_speaks_the_language_asked_for(self, local: VoiceCase) -> None:
        service = local.service()
        english, german = [
            await local.speak("Guten Tag", options=TtsOptions(language=language), service=service)
            for language in ("en-US", "de-DE")
        ]
        assert english[0].audio != german[0].audio

    async def test_it_goes_on_after_its_process_died(self, local: VoiceCase) -> None:
        service = local.service()
        await local.speak(TEXT, service=service)
        (process,) = service._pool._executor._processes  # type: ignore[attr-defined]
        os.kill(process, signal.SIGKILL)
        with pytest.raises(ProviderError) as caught:
            await local.speak(TEXT, service=service)
        assert caught.value.nothing_sent
        assert await local.speak(TEXT, service=service)
