"""Every recogniser: real sockets, the vendor's own wire format, and every way it fails."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from agents.providers.errors import Failure, ProviderError
from tests.conformance.speech_case import (
    RECOGNISERS,
    REMOTE_RECOGNISERS,
    WORDS,
    EarCase,
    said,
)
from tests.fakes.caller.g711 import encode
from tests.fakes.caller.synthesised import say
from tests.fakes.speech_vendor import SpeechFault
from tests.fakes.vendor_server import Vendors
from voice.audio import TELEPHONE, WIDE_BAND
from voice.connectors.types import SttOptions

F = Failure
SILENCE = b"\xff" * 8000  # a second


@pytest.fixture(params=RECOGNISERS)
async def ear(request: pytest.FixtureRequest, vendors: Vendors) -> AsyncIterator[EarCase]:
    case = EarCase(request.param, vendors)
    yield case
    await case.aclose()


@pytest.fixture(params=REMOTE_RECOGNISERS)
async def remote(request: pytest.FixtureRequest, vendors: Vendors) -> AsyncIterator[EarCase]:
    case = EarCase(request.param, vendors)
    yield case
    await case.aclose()


def sound(ear: EarCase) -> bytes:
    """`WORDS`, so that this recogniser understands them."""
    if ear.vendor is None:
        return SILENCE[:2000] + encode(say(WORDS)) + SILENCE[:2000]
    return said(WORDS)


async def test_it_returns_the_words_when_the_turn_is_finished(ear: EarCase) -> None:
    caller = await ear.open()
    await caller.say(sound(ear))
    caller.stream.finish_turn()
    assert await caller.closed() == WORDS
    assert caller.heard[-1].final
    assert caller.heard[-1].closes


async def test_it_hears_what_is_fed_at_once(ear: EarCase) -> None:
    caller = await ear.open()
    caller.stream.feed(sound(ear))
    caller.stream.finish_turn()
    assert await caller.closed() == WORDS


async def test_it_answers_each_end_of_a_turn_once(ear: EarCase) -> None:
    caller = await ear.open()
    for turn in range(1, 4):
        await caller.say(sound(ear))
        caller.stream.finish_turn()
        await caller.closed(turn)
    assert caller.text == " ".join([WORDS] * 3)
    assert sum(item.closes for item in caller.heard) == 3


async def test_it_closes_a_turn_in_which_nothing_was_said(ear: EarCase) -> None:
    caller = await ear.open()
    await caller.say(SILENCE)
    caller.stream.finish_turn()
    assert await caller.closed() == ""
    caller.stream.finish_turn()  # not even silence since
    await caller.closed(2)
    await caller.say(sound(ear))
    caller.stream.finish_turn()
    assert await caller.closed(3) == WORDS


async def test_it_tells_how_far_its_finals_reach(ear: EarCase) -> None:
    caller = await ear.open()
    audio = sound(ear)
    await caller.say(audio)
    caller.stream.finish_turn()
    await caller.closed()
    assert caller.heard[-1].until_ms == pytest.approx(TELEPHONE.duration(len(audio)), abs=1)


async def test_it_takes_wide_band_audio(ear: EarCase) -> None:
    if ear.vendor is not None:
        ear.vendor.set(utterances=(WORDS,))
    caller = await ear.open(WIDE_BAND)
    from voice.pipeline.resample import convert

    await caller.say(convert(sound(ear), TELEPHONE, WIDE_BAND), 640)
    caller.stream.finish_turn()
    assert await caller.closed() == WORDS


async def test_it_ends_its_results_when_it_is_closed(ear: EarCase) -> None:
    caller = await ear.open()
    await caller.stream.aclose()
    await asyncio.wait_for(caller.task, 5)
    assert caller.error is None
    caller.stream.feed(SILENCE)  # nobody is hurt by a late frame
    caller.stream.finish_turn()
    await caller.stream.aclose()


async def test_it_listens_to_many_callers_apart(ear: EarCase) -> None:
    service = ear.service()
    callers = await asyncio.gather(*[ear.open(service=service) for _ in range(4)])
    for caller in callers[:2]:
        await caller.say(sound(ear))
    for caller in callers:
        caller.stream.finish_turn()
    assert [await caller.closed() for caller in callers] == [WORDS, WORDS, "", ""]


async def test_it_tells_words_while_the_caller_speaks(remote: EarCase) -> None:
    caller = await remote.open()
    await caller.say(said("could you tell me a story"))
    await caller.until(lambda: any(item.text == "could you tell me a story" for item in caller.heard))
    assert not any(item.final for item in caller.heard)
    assert [item.text for item in caller.heard][:2] == ["could", "could you"]


async def test_it_waits_for_the_finals_as_long_as_the_vendor_takes(remote: EarCase) -> None:
    assert remote.vendor is not None
    remote.vendor.set(tail_ms=50)
    caller = await remote.open()
    await caller.say(sound(remote))
    caller.stream.finish_turn()
    await caller.say(said("and more"))
    assert await caller.closed() == WORDS


async def test_it_sends_its_key(remote: EarCase) -> None:
    await remote.open()
    assert remote.call.api_key == "key-of-the-test"


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
async def test_it_classifies_a_refusal(remote: EarCase, status: int, category: Failure) -> None:
    assert remote.vendor is not None
    remote.vendor.script(SpeechFault("status", status=status, headers={"retry-after": "7"}))
    with pytest.raises(ProviderError) as caught:
        await remote.open()
    error = caught.value
    assert (error.category, error.status, error.provider) == (category, status, remote.name)
    assert error.retry_after == 7.0
    assert "key-of-the-test" not in str(error)


async def test_it_tells_a_bad_key(remote: EarCase) -> None:
    with pytest.raises(ProviderError) as caught:
        await remote.open(service=remote.service(key="bad-key"))
    assert caught.value.category is F.AUTHENTICATION


async def test_it_tells_that_nobody_listens(remote: EarCase) -> None:
    with pytest.raises(ProviderError) as caught:
        await remote.open(service=remote.service(url=remote.vendors.refused))
    assert caught.value.category is F.CONNECTION
    assert caught.value.nothing_sent


async def test_it_tells_that_a_page_is_no_socket(remote: EarCase) -> None:
    assert remote.vendor is not None
    remote.vendor.script(SpeechFault("html"))
    with pytest.raises(ProviderError) as caught:
        await remote.open()
    assert caught.value.category is F.MALFORMED


@pytest.mark.parametrize(
    ("fault", "category"),
    [
        (SpeechFault("cut", after_ms=200), F.CUT_STREAM),
        (SpeechFault("close", after_ms=200), F.CUT_STREAM),
        (SpeechFault("garbage", after_ms=200), F.MALFORMED),
        (SpeechFault("error_frame", after_ms=200), F.CUT_STREAM),
        (SpeechFault("error_frame", after_ms=200, error="rate_limit_exceeded"), F.RATE_LIMITED),
        (SpeechFault("error_frame", error="insufficient_quota"), F.BILLING),
    ],
    ids=lambda value: value.kind + value.error if isinstance(value, SpeechFault) else str(value),
)
async def test_it_raises_what_happens_in_the_turn(
    remote: EarCase, fault: SpeechFault, category: Failure
) -> None:
    assert remote.vendor is not None
    remote.vendor.script(fault)
    caller = await remote.open()
    await caller.say(said("could you tell me a story"))
    error = await caller.failed()
    assert (error.category, error.provider) == (category, remote.name)


async def test_it_frees_the_socket_when_it_is_closed(remote: EarCase) -> None:
    caller = await remote.open()
    await caller.aclose()
    await asyncio.wait_for(remote.call.gone.wait(), 5)


async def test_it_gives_hints_of_phrases(remote: EarCase) -> None:
    caller = await remote.open(options=SttOptions(phrases=("MeshAG", "call forwarding")))
    caller.stream.finish_turn()
    await caller.closed()
    if remote.name == "deepgram":
        assert [value for key, value in remote.call.query if key == "keyterm"] == [
            "MeshAG",
            "call forwarding",
        ]
    else:
        update = remote.call.messages[0]["session"]["audio"]["input"]
        assert update["transcription"]["keywords"] == ["MeshAG", "call forwarding"]
        assert update["turn_detection"] is None


class TestDeepgram:
    @pytest.fixture
    async def deepgram(self, vendors: Vendors) -> AsyncIterator[EarCase]:
        case = EarCase("deepgram", vendors)
        yield case
        await case.aclose()

    async def test_it_passes_the_vendors_own_endpoint_on(self, deepgram: EarCase) -> None:
        caller = await deepgram.open(options=SttOptions(extra={"endpointing": 100}))
        await caller.say(said(WORDS, tail_ms=400))
        await caller.until(lambda: any(item.endpoint for item in caller.heard))
        final = caller.heard[-1]
        assert (final.text, final.final, final.closes, final.endpoint) == (WORDS, True, False, True)

    async def test_it_closes_a_turn_although_finalize_is_not_answered(self, deepgram: EarCase) -> None:
        deepgram.vendors.deepgram.set(answers_empty=False)
        caller = await deepgram.open()
        await caller.say(SILENCE)
        caller.stream.finish_turn()
        assert await caller.closed() == ""

    async def test_it_takes_the_words_in_hand_where_the_finals_do_not_come(self, deepgram: EarCase) -> None:
        deepgram.vendors.deepgram.set(tail_ms=60_000)
        caller = await deepgram.open()
        await caller.say(said(WORDS))
        await caller.until(lambda: bool(caller.heard) and caller.heard[-1].text == WORDS)
        caller.stream.finish_turn()
        assert await caller.closed() == WORDS

    async def test_it_keeps_a_silent_line_alive(
        self, deepgram: EarCase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("voice.connectors.deepgram.KEEP_ALIVE", 0.05)
        deepgram.vendors.deepgram.set(idle_seconds=0.2)
        caller = await deepgram.open()
        await asyncio.sleep(0.5)  # the time of the vendor, who counts it
        assert caller.error is None
        assert {"type": "KeepAlive"} in deepgram.call.messages
        await caller.say(said(WORDS))
        caller.stream.finish_turn()
        assert await caller.closed() == WORDS

    async def test_it_says_good_bye(self, deepgram: EarCase) -> None:
        caller = await deepgram.open()
        await caller.aclose()
        await deepgram.call.gone.wait()
        assert {"type": "CloseStream"} in deepgram.call.messages
