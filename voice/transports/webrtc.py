"""A browser by WebRTC, with no vendor in between: aiortc answers the page's offer. Pure.

The page offers one microphone track and a data channel, with all its ICE candidates in the offer (we trickle
none, and take none later). Over the data channel go, as over the browser's WebSocket (`voice.transports.web`),
`dtmf {digit}` and `stop` to us, and transcripts, turns and the end to the page.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np

from voice.audio import WIDE_BAND, AudioFormat
from voice.pipeline.resample import Resampler

from .extras import load
from .paced import Pace, PacedTransport

_OPUS: Final = AudioFormat("pcm16", 48_000)
_REPORT_SECONDS: Final = 3.0
LARGEST_OFFER: Final = 64 * 1024


class BadOffer(Exception):
    """The offer cannot be answered; the message says why."""


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server of ours. None is needed where browsers reach this machine by UDP."""

    urls: str
    username: str = ""
    credential: str = ""


class WebRtcTransport(PacedTransport):
    """One browser. `answer`, then `attach` a call, then `connected`."""

    name = "webrtc"

    def __init__(self, ice_servers: Sequence[IceServer] = ()) -> None:
        """Raises `MissingPackage` without aiortc."""
        super().__init__(WIDE_BAND)
        aiortc = load("aiortc", package="aiortc", transport=self.name)
        servers = [
            aiortc.RTCIceServer(each.urls, each.username or None, each.credential or None)
            for each in ice_servers
        ]
        # An empty list is meant: without one, aiortc asks a public server.
        self._peer = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=servers))
        self._describe = aiortc.RTCSessionDescription
        self._channel: Any = None
        self._peer.on("track", self._on_track)
        self._peer.on("datachannel", self._on_channel)
        self._peer.on("connectionstatechange", self._on_state)

    async def answer(self, sdp: str, type: str = "offer") -> dict[str, str]:
        """Answer the page's offer. Raises `BadOffer`; the transport is closed then."""
        try:
            if type != "offer" or "m=audio" not in sdp or len(sdp) > LARGEST_OFFER:
                raise BadOffer("an offer with one audio track is wanted")
            await self._peer.setRemoteDescription(self._describe(sdp, type))
            self._peer.addTrack(_track(self))
            await self._peer.setLocalDescription(await self._peer.createAnswer())
        except BadOffer:
            await self.aclose()
            raise
        except Exception as error:  # the parser lets through whatever it stumbles over
            await self.aclose()
            raise BadOffer(f"the offer cannot be read: {error}") from error
        described = self._peer.localDescription
        return {"sdp": described.sdp, "type": described.type}

    async def _leave(self) -> None:
        await self._peer.close()

    # ---- what the peer connection tells us ----------------------------------------------------

    def _on_state(self) -> None:
        state = self._peer.connectionState
        if state == "connected":
            self._up.set()
            self.spawn(self._report())
        elif state in ("failed", "closed"):
            self._up.set()
            self.end("transport_lost" if state == "failed" else "caller_hung_up")

    def _on_track(self, track: Any) -> None:
        if track.kind == "audio":
            self.spawn(self._listen(track))

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.on("message", self.receive_text)
        channel.on("open", self._tell)
        self._tell()

    def _tell(self) -> None:
        channel = self._channel
        if channel is not None and channel.readyState == "open":
            for text in self.take_news():
                channel.send(text)

    async def _listen(self, track: Any) -> None:
        from aiortc.mediastreams import MediaStreamError

        narrow = Resampler(_OPUS, self.format)
        with suppress(MediaStreamError):  # the track has ended
            while True:
                frame = await track.recv()
                if self.call is not None:
                    self.call.audio(narrow.push(_mono(frame)), frame.pts * frame.time_base * 1000)

    async def _report(self) -> None:
        """Read what RTCP says of our audio, now and then."""
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            for report in (await self._peer.getStats()).values():
                if report.type == "remote-inbound-rtp" and report.roundTripTime is not None:
                    self.network(loss=report.fractionLost, round_trip_ms=report.roundTripTime * 1000)


def _mono(frame: Any) -> bytes:
    """One channel of a decoded frame: 16 bits, 48 kHz, interleaved."""
    samples = np.frombuffer(bytes(frame.planes[0]), dtype="<i2", count=frame.samples * 2)
    return bytes(samples.reshape(-1, 2).mean(axis=1).astype("<i2").tobytes())


def _track(transport: PacedTransport) -> Any:
    """A track that takes a frame from the transport every 20 ms, silence when there is nothing to say."""
    from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
    from av import AudioFrame

    pace = Pace()

    class Voice(MediaStreamTrack):
        kind = "audio"
        _pts = 0

        async def recv(self) -> Any:
            if self.readyState != "live" or transport.closed:
                raise MediaStreamError
            await pace.beat()
            audio = transport.next_frame()
            frame = AudioFrame(format="s16", layout="mono", samples=len(audio) // 2)
            frame.planes[0].update(audio)
            frame.sample_rate = transport.format.rate
            frame.pts = self._pts
            frame.time_base = Fraction(1, transport.format.rate)
            self._pts += frame.samples
            return frame

    return Voice()
