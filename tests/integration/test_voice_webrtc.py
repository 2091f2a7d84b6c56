"""A browser's end of WebRTC, by a second aiortc, over UDP on this machine."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from tests.integration.lines_world import eventually
from voice.audio import WIDE_BAND
from voice.pipeline import mulaw
from voice.pipeline.ports import TransportClosed
from voice.transports.webrtc import BadOffer, WebRtcTransport

RATE = 48_000


class Microphone(MediaStreamTrack):
    """A tone, 20 ms at a time."""

    kind = "audio"

    def __init__(self, frequency: float) -> None:
        super().__init__()
        self._frequency = frequency
        self._at = 0

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(0.02)
        at = np.arange(self._at, self._at + 960)
        self._at += 960
        samples = (np.sin(2 * np.pi * self._frequency / RATE * at) * 8000).astype(np.int16)
        frame = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, int(at[0]), Fraction(1, RATE)
        return frame


class Page:
    """What a page does: a microphone, a loudspeaker, a data channel."""

    def __init__(self) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.peer.addTrack(Microphone(440))
        self.channel = self.peer.createDataChannel("mesh")
        self.news: list[dict[str, Any]] = []
        self.channel.on("message", lambda text: self.news.append(json.loads(text)))
        self.loud: list[bool] = []
        self._listening: asyncio.Task[None] | None = None
        self.peer.on("track", self._hear)

    def _hear(self, track: Any) -> None:
        async def listen() -> None:
            try:
                while True:
                    frame = await track.recv()
                    self.loud.append(bool(np.abs(frame.to_ndarray()).max() > 1500))
            except MediaStreamError:
                return

        self._listening = asyncio.ensure_future(listen())

    async def offer(self) -> tuple[str, str]:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return self.peer.localDescription.sdp, self.peer.localDescription.type

    async def take(self, answer: dict[str, str]) -> None:
        await self.peer.setRemoteDescription(RTCSessionDescription(**answer))

    async def leave(self) -> None:
        await self.peer.close()
        if self._listening is not None:
            await asyncio.gather(self._listening, return_exceptions=True)


class Listener:
    """The call, as far as the transport knows it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.times: list[float] = []
        self.marks: list[str] = []
        self.digits: list[str] = []
        self.reasons: list[str] = []

    def audio(self, payload: bytes, timestamp_ms: float | None) -> None:
        assert timestamp_ms is not None
        self.heard.append(payload)
        self.times.append(float(timestamp_ms))

    def mark(self, name: str) -> None:
        self.marks.append(name)

    def digit(self, d: str) -> None:
        self.digits.append(d)

    def end(self, reason: str) -> None:
        self.reasons.append(reason)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[WebRtcTransport, Page, Listener]]:
    transport, page, call = WebRtcTransport(), Page(), Listener()
    try:
        transport.attach(call)
        await page.take(await transport.answer(*await page.offer()))
        assert await transport.connected(10)
        yield transport, page, call
    finally:
        await page.leave()
        await transport.aclose()


def tone(milliseconds: float) -> bytes:
    at = np.arange(WIDE_BAND.size(milliseconds) // 2)
    return mulaw.pack(np.sin(at * 0.2) * 12_000, WIDE_BAND)


async def test_it_hears_the_microphone_at_16_khz() -> None:
    async with connected() as (_, _, call):
        await eventually(lambda: len(call.heard) >= 50)
        audio = b"".join(call.heard[20:])
        samples = np.frombuffer(audio, "<i2").astype(float)
        power = np.abs(np.fft.rfft(samples))
        assert np.argmax(power) * 16_000 / len(samples) == pytest.approx(440, abs=20)
        assert np.diff(call.times[:20]) == pytest.approx(20)


async def test_it_plays_what_is_sent_and_says_when_it_was_heard() -> None:
    async with connected() as (transport, page, call):
        await transport.send_audio(tone(400))
        await transport.send_mark("half")
        await transport.send_audio(tone(400))
        await transport.send_mark("all")
        await eventually(lambda: call.marks == ["half", "all"])
        await eventually(lambda: sum(page.loud) >= 38)
        await eventually(lambda: page.loud and not any(page.loud[-5:]))
        assert sum(page.loud) <= 44


async def test_it_is_silent_at_once_when_cleared() -> None:
    async with connected() as (transport, page, call):
        await transport.send_audio(tone(4000))
        await transport.send_mark("never heard")
        await eventually(lambda: sum(page.loud) > 5)
        await transport.clear()
        await eventually(lambda: page.loud and not any(page.loud[-10:]))
        assert sum(page.loud) < 60
        await eventually(lambda: call.marks == ["never heard"])


async def test_it_talks_with_the_page_over_the_data_channel() -> None:
    async with connected() as (transport, page, call):
        transport.show("transcript", role="caller", text="hello")
        await eventually(lambda: page.news == [{"event": "transcript", "role": "caller", "text": "hello"}])
        for message in ('{"event":"dtmf","digit":"7"}', "nonsense", '{"event":"stop"}'):
            page.channel.send(message)
        await eventually(lambda: call.reasons == ["caller_hung_up"])
        assert call.digits == ["7"]


async def test_it_ends_when_the_page_leaves() -> None:
    async with connected() as (transport, page, call):
        await page.leave()
        await eventually(lambda: call.reasons)
        assert call.reasons[0] == "caller_hung_up"
        await transport.aclose()
        with pytest.raises(TransportClosed):
            await transport.send_audio(tone(20))


async def test_it_reports_how_our_audio_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voice.transports.webrtc._REPORT_SECONDS", 0.2)
    figures: list[dict[str, float]] = []
    async with connected() as (transport, _, call):
        transport.attach(call, on_network=lambda **given: figures.append(given))
        await eventually(lambda: figures)
        assert figures[0]["loss"] == 0
        assert 0 <= figures[0]["round_trip_ms"] < 1000


async def test_it_leaves_no_task_and_no_socket_behind() -> None:
    before = asyncio.all_tasks()
    async with connected() as (_, _, call):
        await eventually(lambda: call.heard)
    await eventually(lambda: asyncio.all_tasks() <= before)


@pytest.mark.parametrize("sdp", ["", "v=0", "v=0\r\nm=audio 9 nonsense", "m=audio " + "x" * 70_000])
async def test_it_refuses_what_is_no_offer(sdp: str) -> None:
    transport = WebRtcTransport()
    with pytest.raises(BadOffer):
        await transport.answer(sdp)
    assert transport.closed


async def test_it_gives_up_on_a_page_that_never_comes() -> None:
    transport, page = WebRtcTransport(), Page()
    transport.attach(Listener())
    await transport.answer(*await page.offer())
    assert not await transport.connected(0.2)
    await transport.aclose()
    await page.leave()
