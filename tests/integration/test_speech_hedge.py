"""Services killed in mid-turn, over real sockets: no caller word lost, the answer spoken, later calls spared."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from agents.resilience.ports import Credential
from tests.conformance.speech_case import Listening, said
from tests.fakes.speech_vendor import SpeechFault
from tests.fakes.stamps import Words
from tests.fakes.vendor_server import Vendors, vendor_servers
from voice.audio import TELEPHONE
from voice.connectors.base import Listener
from voice.connectors.gateway import SpeechGateway
from voice.connectors.types import SttOptions, TtsOptions

QUESTION = "I would like to know when the office is open on Saturday"
ANSWER = "The office is open from nine to one on Saturdays."
FRAME = 160


class Keys:
    def __init__(self, vendors: Vendors) -> None:
        self.urls = {name: vendor.url for name, vendor in vendors.speech.items()}
        self.urls["openai"] = vendors.openai_stt.url

    def get(self, project_id: str, service: str) -> Credential | None:
        return Credential("key-of-the-test", self.urls[service], "print") if service in self.urls else None


@pytest.fixture
async def vendors() -> AsyncIterator[Vendors]:
    async with vendor_servers() as running:
        yield running


@pytest.fixture
async def open_gateway(vendors: Vendors, redis_url: str) -> AsyncIterator[Callable[..., SpeechGateway]]:
    opened: list[SpeechGateway] = []

    def make(redis: str = "") -> SpeechGateway:
        opened.append(SpeechGateway(Keys(vendors), redis_url=redis))
        return opened[-1]

    yield make
    for gateway in opened:
        await gateway.aclose()


async def listen(gateway: SpeechGateway) -> tuple[Listener, Listening]:
    listener = await gateway.transcription("", ("deepgram", "openai"), TELEPHONE, SttOptions())
    return listener, Listening(listener)


async def speak(gateway: SpeechGateway, text: str = ANSWER) -> tuple[str, list[str]]:
    """Return the words the caller hears, restarts dropping what was before, and who spoke."""
    speaker = gateway.speaker("", ("elevenlabs", "azure"), TELEPHONE, TtsOptions())
    stream = speaker.speak(text, queued_ms=lambda: 0.0)
    audio, who = b"", []
    async for piece in stream:
        audio = piece.audio if piece.restarts else audio + piece.audio
        who.append(piece.connector)
    words = Words()
    words.feed(audio)
    return words.text(), list(dict.fromkeys(who))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95, 1.0])
async def test_it_loses_no_word_when_the_recogniser_is_killed(
    vendors: Vendors, open_gateway: Callable[..., SpeechGateway], share: float
) -> None:
    listener, caller = await listen(open_gateway())
    audio = said(QUESTION)
    kill_at = int(len(audio) * share) // FRAME * FRAME
    listener.speech_began()
    for at in range(0, len(audio), FRAME):
        if at == kill_at:
            vendors.deepgram.dead = True
        listener.feed(audio[at : at + FRAME])
        await asyncio.sleep(0.001)
    if share == 1.0:
        vendors.deepgram.dead = True
    listener.speech_ended()
    listener.finish_turn()
    assert await caller.closed() == QUESTION
    assert listener.connector == "openai"
    await caller.aclose()


@pytest.mark.parametrize(
    "fault",
    [
        SpeechFault("status", status=503),
        SpeechFault("status", status=401),
        SpeechFault("silence", after_ms=400),
        SpeechFault("cut", after_ms=400),
        SpeechFault("close", after_ms=400),
        SpeechFault("garbage", after_ms=400),
        SpeechFault("error_frame", after_ms=400),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status}",
)
async def test_it_hears_the_caller_whatever_the_recogniser_does(
    vendors: Vendors, open_gateway: Callable[..., SpeechGateway], fault: SpeechFault
) -> None:
    vendors.deepgram.always = fault
    listener, caller = await listen(open_gateway())
    listener.speech_began()
    await caller.say(said(QUESTION))
    listener.speech_ended()
    listener.finish_turn()
    assert await caller.closed() == QUESTION
    await caller.aclose()


@pytest.mark.parametrize(
    "fault",
    [
        SpeechFault("status", status=503),
        SpeechFault("status", status=401),
        SpeechFault("silence"),
        SpeechFault("silence", after_ms=500),
        SpeechFault("cut", after_ms=500),
        SpeechFault("close", after_ms=500),
        SpeechFault("garbage", after_ms=500),
        SpeechFault("error_frame", after_ms=500),
        SpeechFault("empty"),
        SpeechFault("drip", interval=5.0),
    ],
    ids=lambda fault: f"{fault.kind}{fault.after_ms:.0f}",
)
async def test_it_speaks_the_answer_whatever_the_voice_does(
    vendors: Vendors, open_gateway: Callable[..., SpeechGateway], fault: SpeechFault
) -> None:
    vendors.elevenlabs.always = fault
    text, who = await speak(open_gateway())
    assert text == ANSWER
    assert who[-1] == "azure"


async def test_it_speaks_the_answer_when_the_voice_is_killed_in_it(
    vendors: Vendors, open_gateway: Callable[..., SpeechGateway]
) -> None:
    vendors.elevenlabs.set(chunk_ms=200, chunk_interval_ms=30)
    speaking = asyncio.create_task(speak(open_gateway()))
    (call,) = await vendors.elevenlabs.wait_for_calls(1)
    await call.spoken(400)
    vendors.elevenlabs.dead = True
    assert await speaking == (ANSWER, ["elevenlabs", "azure"])


async def test_it_spares_later_calls_the_dead_voice(
    vendors: Vendors, open_gateway: Callable[..., SpeechGateway]
) -> None:
    gateway = open_gateway()
    vendors.elevenlabs.always = SpeechFault("silence")
    for _ in range(3):
        await speak(gateway)
    assert gateway.status()["tts.elevenlabs"]["breaker"] == "open"
    asked = len(vendors.elevenlabs.calls)
    for _ in range(5):
        assert await speak(gateway) == (ANSWER, ["azure"])
    assert len(vendors.elevenlabs.calls) == asked


async def test_it_shares_what_it_knows_with_the_other_processes(
    vendors: Vendors, open_gateway: Callable[..., SpeechGateway], redis_url: str
) -> None:
    here, there = open_gateway(redis_url), open_gateway(redis_url)
    await here.start()
    vendors.elevenlabs.dead = True
    for _ in range(3):
        await speak(here)
    await here.synchronise()
    await there.start()
    assert there.status()["tts.elevenlabs"]["breaker"] == "open"
    asked = len(vendors.elevenlabs.calls)
    assert await speak(there) == (ANSWER, ["azure"])
    assert len(vendors.elevenlabs.calls) == asked
