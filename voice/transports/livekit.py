"""A caller in a LiveKit room: our agent joins it as a participant with a voice of its own. Pure.

The first participant whose microphone is heard is the caller, at a page or on a telephone. Pages read
transcripts from, and write `dtmf` and `stop` to, the data topic `mesh`.
"""

import asyncio
from types import ModuleType
from typing import Any, Final, Literal

from voice.audio import WIDE_BAND
from voice.pipeline.ports import NotPossible, TransportClosed

from .extras import load
from .livekit_rooms import AGENT, LiveKitKeys, LiveKitRooms, token
from .paced import FRAME_MS, Pace, PacedTransport
from .vendor import VendorFailed

TOPIC: Final = "mesh"
_REPORT_SECONDS: Final = 3.0
_QUEUE_MS: Final = 100  # of the SDK: we pace by ourselves, so it holds a frame or two
_TOKEN_SECONDS: Final = 6 * 3600


class LiveKitTransport(PacedTransport):
    """Our participant in one room. `join`, then `attach` a call, then `connected`."""

    name = "livekit"

    def __init__(self, rtc: ModuleType | None = None) -> None:
        """`rtc` is LiveKit's SDK, or what a test puts in its place. Raises `MissingPackage` without one."""
        super().__init__(WIDE_BAND)
        self._rtc: Any = rtc or load("livekit.rtc", package="livekit", transport=self.name)
        self._room: Any = self._rtc.Room()
        self._source: Any = None
        self.caller = ""  # the identity of the participant we talk with
        self.telephone = False

    async def join(self, keys: LiveKitKeys, room: str) -> None:
        """Enter a room with our voice. Raises `VendorFailed`."""
        rtc, here = self._rtc, self._room
        here.on("track_subscribed", self._on_track)
        here.on("participant_disconnected", self._on_left)
        here.on("disconnected", lambda *_: self.end("transport_lost"))
        here.on("data_received", self._on_data)
        here.on("sip_dtmf_received", self._on_digit)
        mine = token(keys, room=room, identity=AGENT, seconds=_TOKEN_SECONDS, agent=True)
        try:
            await here.connect(keys.url, mine, rtc.RoomOptions(auto_subscribe=True))
            self._source = rtc.AudioSource(self.format.rate, 1, queue_size_ms=_QUEUE_MS)
            track = rtc.LocalAudioTrack.create_audio_track(AGENT, self._source)
            options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
            await here.local_participant.publish_track(track, options)
        except Exception as error:  # the SDK has no common class of its own
            await self.aclose()
            raise VendorFailed("livekit", f"the room could not be joined: {error}") from error
        self.spawn(self._speak())
        self.spawn(self._report())

    async def clear(self) -> None:
        await super().clear()
        self._source.clear_queue()

    async def _leave(self) -> None:
        if self._source is not None:
            await self._source.aclose()
        await self._room.disconnect()

    # ---- what the room tells us ---------------------------------------------------------------

    def _on_track(self, track: Any, publication: Any, participant: Any) -> None:
        if track.kind != self._rtc.TrackKind.KIND_AUDIO or self.caller not in ("", participant.identity):
            return
        self.caller = participant.identity
        self.telephone = participant.kind == self._rtc.ParticipantKind.PARTICIPANT_KIND_SIP
        self.spawn(self._listen(track))
        self._up.set()

    def _on_left(self, participant: Any) -> None:
        if participant.identity == self.caller:
            self.end("caller_hung_up")

    def _on_data(self, packet: Any) -> None:
        if packet.topic == TOPIC and packet.participant and packet.participant.identity == self.caller:
            self.receive_text(bytes(packet.data))

    def _on_digit(self, pressed: Any) -> None:
        if self.call is not None:
            self.call.digit(pressed.digit)

    async def _listen(self, track: Any) -> None:
        stream = self._rtc.AudioStream(
            track, sample_rate=self.format.rate, num_channels=1, frame_size_ms=FRAME_MS
        )
        try:
            async for event in stream:
                if self.call is not None:
                    self.call.audio(bytes(event.frame.data), None)
        finally:
            await stream.aclose()

    async def _speak(self) -> None:
        pace = Pace()
        while True:
            await pace.beat()
            audio = self.next_frame()
            frame = self._rtc.AudioFrame(audio, self.format.rate, 1, len(audio) // 2)
            await self._source.capture_frame(frame)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            for stats in (await self._room.get_rtc_stats()).publisher_stats:
                if stats.HasField("remote_inbound_rtp"):
                    seen = stats.remote_inbound_rtp.remote_inbound
                    self.network(loss=seen.fraction_lost, round_trip_ms=seen.round_trip_time * 1000)

    def _tell(self) -> None:
        if self.caller and not self.closed:
            for text in self.take_news():
                self.spawn(self._publish(text))

    async def _publish(self, text: str) -> None:
        await self._room.local_participant.publish_data(text, reliable=True, topic=TOPIC)


class LiveKitLine:
    """A telephone caller in a room: can be handed over by SIP, and hung up on."""

    def __init__(self, keys: LiveKitKeys, room: str, transport: LiveKitTransport) -> None:
        self._keys = keys
        self._room = room
        self._transport = transport

    async def transfer(self, to: str, *, mode: Literal["cold", "warm"], summary: str) -> None:
        """Cold only: SIP REFER takes the caller away before anybody could be told a summary."""
        if not self._transport.telephone:
            raise NotPossible("The caller is at a page, and a page cannot be transferred.")
        if mode == "warm":
            raise NotPossible("This line transfers without an announcement only; use mode cold.")
        try:
            async with LiveKitRooms(self._keys) as rooms:
                address = to if ":" in to else f"tel:{to}"
                await rooms.transfer(self._room, self._transport.caller, address)
        except VendorFailed as error:
            raise NotPossible(f"The transfer failed: {error}") from error

    async def hang_up(self) -> None:
        try:
            async with LiveKitRooms(self._keys) as rooms:
                await rooms.delete(self._room)
        except VendorFailed as error:
            raise TransportClosed(str(error)) from error
