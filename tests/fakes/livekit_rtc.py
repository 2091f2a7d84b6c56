"""`livekit.rtc`, as far as one participant with one caller goes: a room that a test acts out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


@dataclass
class Source:
    """What our participant says."""

    frames: list[bytes] = field(default_factory=list)
    cleared: int = 0

    async def capture_frame(self, frame: Any) -> None:
        assert (frame.rate, frame.channels, frame.samples) == (16_000, 1, len(frame.data) // 2)
        self.frames.append(frame.data)

    def clear_queue(self) -> None:
        self.cleared += 1

    async def aclose(self) -> None: ...


class Room:
    """One room. `act` raises its events; `said` is what was published to its data topic."""

    def __init__(self) -> None:
        self.connected = ""
        self.left = False
        self.refuse = ""
        self.said: list[tuple[str, str]] = []
        self.tracks: list[Any] = []
        self.local_participant = self
        self._listeners: dict[str, Callable[..., None]] = {}

    def on(self, event: str, listener: Callable[..., None]) -> None:
        self._listeners[event] = listener

    def act(self, event: str, *values: Any) -> None:
        self._listeners[event](*values)

    async def connect(self, url: str, token: str, options: Any) -> None:
        if self.refuse:
            raise RuntimeError(self.refuse)
        self.connected = token

    async def publish_track(self, track: Any, options: Any) -> None:
        self.tracks.append(track)

    async def publish_data(self, text: str, *, reliable: bool, topic: str) -> None:
        self.said.append((topic, text))

    async def get_rtc_stats(self) -> Any:
        seen = SimpleNamespace(fraction_lost=0.25, round_trip_time=0.08)
        ours = SimpleNamespace(
            HasField=lambda name: name == "remote_inbound_rtp",
            remote_inbound_rtp=SimpleNamespace(remote_inbound=seen),
        )
        return SimpleNamespace(publisher_stats=[ours], subscriber_stats=[])

    async def disconnect(self) -> None:
        self.left = True


class Hearing:
    """A caller's track as a stream of frames."""

    def __init__(self, track: Any, **wanted: Any) -> None:
        assert wanted == {"sample_rate": 16_000, "num_channels": 1, "frame_size_ms": 20}
        self._frames: asyncio.Queue[bytes] = track.frames

    async def __aiter__(self) -> AsyncIterator[Any]:
        while True:
            yield SimpleNamespace(frame=SimpleNamespace(data=memoryview(await self._frames.get())))

    async def aclose(self) -> None: ...


class Rtc:
    """The module."""

    TrackKind = SimpleNamespace(KIND_AUDIO=1, KIND_VIDEO=2)
    TrackSource = SimpleNamespace(SOURCE_MICROPHONE=2)
    ParticipantKind = SimpleNamespace(PARTICIPANT_KIND_STANDARD=0, PARTICIPANT_KIND_SIP=3)
    LocalAudioTrack = SimpleNamespace(create_audio_track=lambda name, source: (name, source))
    AudioStream = Hearing

    def __init__(self) -> None:
        self.room = Room()
        self.source = Source()

    def Room(self) -> Room:
        return self.room

    def RoomOptions(self, **options: Any) -> Any:
        return options

    def TrackPublishOptions(self, **options: Any) -> Any:
        return options

    def AudioSource(self, rate: int, channels: int, *, queue_size_ms: int) -> Source:
        return self.source

    def AudioFrame(self, data: bytes, rate: int, channels: int, samples: int) -> Any:
        return SimpleNamespace(data=data, rate=rate, channels=channels, samples=samples)


def microphone() -> Any:
    """A caller's audio track; put frames into `frames`."""
    return SimpleNamespace(kind=Rtc.TrackKind.KIND_AUDIO, frames=asyncio.Queue())


def participant(identity: str = "caller", *, telephone: bool = False) -> Any:
    return SimpleNamespace(identity=identity, kind=3 if telephone else 0)


def packet(text: str, sender: Any, topic: str = "mesh") -> Any:
    return SimpleNamespace(data=text.encode(), participant=sender, topic=topic)
