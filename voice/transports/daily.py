"""A caller in a Daily room: our agent joins it as a bot. Pure.

The SDK calls back on threads of its own; everything is handed to the event loop at once. The first participant
that is not us is the caller. Pages read transcripts from, and write `dtmf` and `stop` to, app messages.
"""

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, Literal

from voice.audio import WIDE_BAND
from voice.pipeline.ports import NotPossible

from .daily_rooms import DailyKeys, DailyRooms
from .extras import load
from .paced import FRAME_MS, Pace, PacedTransport
from .vendor import VendorFailed

_JOIN_SECONDS: Final = 10.0
_REPORT_SECONDS: Final = 3.0
_devices = itertools.count()  # the SDK tells virtual microphones apart by their names, process-wide
_initialised = False


class DailyTransport(PacedTransport):
    """Our bot in one room. `join`, then `attach` a call, then `connected`."""

    name = "daily"

    def __init__(self, sdk: ModuleType | None = None) -> None:
        """`sdk` is daily-python, or what a test puts in its place. Raises `MissingPackage` without one."""
        super().__init__(WIDE_BAND)
        self._sdk: Any = sdk or load("daily", package="daily-python", transport=self.name)
        self._loop = asyncio.get_running_loop()
        self._client: Any = None
        self._microphone: Any = None
        self._joined: asyncio.Future[str | None] | None = None
        self.caller = ""  # the id of the participant we talk with
        self.telephone = False

    async def join(self, url: str, token: str) -> None:
        """Enter a room with our voice. Raises `VendorFailed`."""
        global _initialised
        sdk, loop = self._sdk, self._loop
        if not _initialised:
            sdk.Daily.init()
            _initialised = True
        device = f"mesh-{next(_devices)}"
        self._microphone = sdk.Daily.create_microphone_device(
            device, sample_rate=self.format.rate, channels=1, non_blocking=True
        )
        self._client = sdk.CallClient(event_handler=self._handler())
        self._client.update_subscription_profiles(
            {"base": {"camera": "unsubscribed", "microphone": "subscribed"}}
        )
        joined = self._joined = loop.create_future()

        def answered(data: Any, error: str | None) -> None:
            loop.call_soon_threadsafe(_settle, joined, error)

        settings = {
            "inputs": {
                "camera": False,
                "microphone": {"isEnabled": True, "settings": {"deviceId": device}},
            }
        }
        self._client.join(url, token, client_settings=settings, completion=answered)
        try:
            async with asyncio.timeout(_JOIN_SECONDS):
                error = await joined
        except TimeoutError:
            error = f"no answer in {_JOIN_SECONDS:g} s"
        if error:
            await self.aclose()
            raise VendorFailed("daily", f"the room could not be joined: {error}")
        for participant in self._client.participants().values():
            self._met(participant)
        self.spawn(self._speak())
        self.spawn(self._report())

    async def _leave(self) -> None:
        if self._client is not None:
            left: asyncio.Future[str | None] = self._loop.create_future()
            self._client.leave(completion=lambda error: self._loop.call_soon_threadsafe(_settle, left, error))
            try:
                async with asyncio.timeout(1):
                    await left
            except TimeoutError:
                pass
            await asyncio.to_thread(self._client.release)  # it blocks until the SDK's own threads are done

    # ---- what the room tells us, on the event loop --------------------------------------------

    def _handler(self) -> Any:
        """The SDK's listener: hands everything over from its threads."""
        tell: Callable[..., Any] = self._loop.call_soon_threadsafe
        transport = self

        class Handler(self._sdk.EventHandler):  # type: ignore[misc, name-defined]
            def on_participant_joined(self, participant: Mapping[str, Any]) -> None:
                tell(transport._met, participant)

            def on_participant_left(self, participant: Mapping[str, Any], reason: str) -> None:
                tell(transport._left, participant)

            def on_call_state_updated(self, state: str) -> None:
                if state == "left":
                    tell(transport.end, "transport_lost")

            def on_error(self, message: str) -> None:
                tell(transport._failed, message)

            def on_app_message(self, message: Any, sender: str) -> None:
                tell(transport._said, message, sender)

            def on_dtmf_event(self, data: Mapping[str, Any]) -> None:
                tell(transport._pressed, data)

        return Handler()

    def _met(self, participant: Mapping[str, Any]) -> None:
        info = participant.get("info", {})
        if self.closed or self.caller or info.get("isLocal"):
            return
        self.caller = str(participant["id"])
        self.telephone = bool(info.get("sipUri") or info.get("isSip"))
        self._client.set_audio_renderer(
            self.caller,
            lambda who, audio, source: self._loop.call_soon_threadsafe(self._hear, audio.audio_frames),
            audio_source="microphone",
            sample_rate=self.format.rate,
            callback_interval_ms=FRAME_MS,
        )
        self._up.set()

    def _failed(self, message: str) -> None:
        if self._joined is not None:
            _settle(self._joined, message)  # the answer to `join` may come much later, or never
        self.end("transport_lost")

    def _left(self, participant: Mapping[str, Any]) -> None:
        if participant.get("id") == self.caller:
            self.end("caller_hung_up")

    def _hear(self, audio: bytes) -> None:
        if self.call is not None and not self.closed:
            self.call.audio(bytes(audio), None)

    def _said(self, message: Any, sender: str) -> None:
        if sender == self.caller:
            self.receive_text(message if isinstance(message, str) else json.dumps(message))

    def _pressed(self, data: Mapping[str, Any]) -> None:
        if self.call is not None:
            self.call.digit(str(data.get("tone", ""))[:1])

    async def _speak(self) -> None:
        pace = Pace()
        while True:
            await pace.beat()
            self._microphone.write_frames(self.next_frame(), completion=_ignore)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            latest = self._client.get_network_stats().get("stats", {}).get("latest", {})
            loss, trip = latest.get("audioSendPacketLoss"), latest.get("networkRoundTripTime")
            if loss is not None:
                self.network(loss=float(loss), round_trip_ms=float(trip or 0) * 1000)

    def _tell(self) -> None:
        if self.caller and not self.closed:
            for text in self.take_news():
                self._client.send_app_message(json.loads(text), self.caller)


class DailyLine:
    """A caller in a room."""

    def __init__(self, keys: DailyKeys, room: str, transport: DailyTransport) -> None:
        self._keys = keys
        self._room = room
        self._transport = transport

    async def transfer(self, to: str, *, mode: Literal["cold", "warm"], summary: str) -> None:
        raise NotPossible("A caller in this room cannot be transferred.")

    async def hang_up(self) -> None:
        """Send the caller out. The room stays: it is the session's, which may have another call."""
        if self._transport.caller:
            async with DailyRooms(self._keys) as rooms:
                await rooms.eject(self._room, self._transport.caller)


def _settle(future: "asyncio.Future[str | None]", error: str | None) -> None:
    if not future.done():
        future.set_result(error)


def _ignore(written: int) -> None:
    """The SDK wants somebody to tell."""
