"""`daily`, as far as one bot with one caller goes. Its callbacks come on a thread, as the SDK's do."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class EventHandler:
    pass


class Microphone:
    def __init__(self, name: str) -> None:
        self.name = name
        self.frames: list[bytes] = []

    def write_frames(self, frame: bytes, completion: Callable[[int], None]) -> int:
        self.frames.append(frame)
        return 0


class CallClient:
    """One bot. `act` calls its handler as the SDK does."""

    def __init__(self, sdk: "DailySdk", handler: Any) -> None:
        self.sdk = sdk
        self.handler = handler
        self.joined: tuple[str, str] | None = None
        self.device = ""
        self.said: list[tuple[Any, str]] = []
        self.left = self.released = False
        self._render: Callable[..., None] | None = None

    def act(self, event: str, *values: Any) -> None:
        on_a_thread(getattr(self.handler, f"on_{event}"), *values)

    def speak(self, audio: bytes) -> None:
        assert self._render is not None
        on_a_thread(self._render, "p1", SimpleNamespace(audio_frames=audio), "microphone")

    def update_subscription_profiles(self, profiles: Any) -> None: ...

    def join(self, url: str, token: str, *, client_settings: Any, completion: Callable[..., None]) -> None:
        self.joined = (url, token)
        self.device = client_settings["inputs"]["microphone"]["settings"]["deviceId"]
        on_a_thread(completion, {}, self.sdk.refuse or None)

    def participants(self) -> dict[str, Any]:
        return {"local": {"id": "p0", "info": {"isLocal": True}}} | self.sdk.present

    def set_audio_renderer(self, who: str, callback: Callable[..., None], **wanted: Any) -> None:
        assert wanted == {"audio_source": "microphone", "sample_rate": 16_000, "callback_interval_ms": 20}
        self._render = callback

    def send_app_message(self, message: Any, to: str) -> None:
        self.said.append((message, to))

    def get_network_stats(self) -> dict[str, Any]:
        return {"stats": {"latest": {"audioSendPacketLoss": 0.1, "networkRoundTripTime": 0.05}}}

    def leave(self, completion: Callable[..., None]) -> None:
        self.left = True
        on_a_thread(completion, None)

    def release(self) -> None:
        self.released = True


class DailySdk:
    """The module."""

    EventHandler = EventHandler

    def __init__(self) -> None:
        self.client: CallClient | None = None
        self.microphone: Microphone | None = None
        self.present: dict[str, Any] = {}
        self.refuse = ""
        self.Daily = self

    def init(self) -> None: ...

    def create_microphone_device(
        self, name: str, *, sample_rate: int, channels: int, non_blocking: bool
    ) -> Microphone:
        assert (sample_rate, channels, non_blocking) == (16_000, 1, True)
        self.microphone = Microphone(name)
        return self.microphone

    def CallClient(self, *, event_handler: Any) -> CallClient:
        self.client = CallClient(self, event_handler)
        return self.client


def on_a_thread(work: Callable[..., None], *values: Any) -> None:
    thread = threading.Thread(target=work, args=values)
    thread.start()
    thread.join()
