"""Daily's REST API: rooms, and who may enter them. Pure.

Every method asks the server once and raises `VendorFailed` when it refuses or is away.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from .vendor import VendorFailed

BASE_URL: Final = "https://api.daily.co/v1"
TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class DailyRoom:
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class DailyKeys:
    api_key: str = field(repr=False)
    base_url: str = ""


class DailyRooms:
    """One Daily domain. `aclose` it, or use it as a context. `clock` is seconds since the epoch."""

    def __init__(self, keys: DailyKeys, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._client = httpx2.AsyncClient(
            base_url=(keys.base_url or BASE_URL).rstrip("/") + "/",
            headers={"Authorization": f"Bearer {keys.api_key}"},
            timeout=TIMEOUT_SECONDS,
        )

    async def __aenter__(self) -> "DailyRooms":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def create(self, name: str, *, seconds: int) -> DailyRoom:
        """Make a private room, for voices only, that can be entered for so many seconds. Who is in it then stays."""
        properties = {
            "exp": int(self._clock()) + seconds,
            "eject_at_room_exp": False,
            "max_participants": 4,
            "start_video_off": True,
            "enable_chat": False,
            "enable_prejoin_ui": False,
        }
        made = await self._ask(
            "POST", "rooms", {"name": name, "privacy": "private", "properties": properties}
        )
        return DailyRoom(str(made["name"]), str(made["url"]))

    async def keep(self, name: str, *, seconds: int) -> None:
        """Let a room be entered for so many seconds from now."""
        await self._ask("POST", f"rooms/{name}", {"properties": {"exp": int(self._clock()) + seconds}})

    async def token(self, room: str, *, seconds: int, name: str, owner: bool = False) -> str:
        """Make a token that lets one participant into one room."""
        properties = {
            "room_name": room,
            "exp": int(self._clock()) + seconds,
            "user_name": name,
            "is_owner": owner,
        }
        made = await self._ask("POST", "meeting-tokens", {"properties": properties})
        return str(made["token"])

    async def eject(self, name: str, participant: str) -> None:
        """Send one participant out. One who has gone, or whose room has, is no error."""
        try:
            await self._ask("POST", f"rooms/{name}/eject", {"ids": [participant]})
        except VendorFailed as error:
            if error.status != 404:
                raise

    async def delete(self, name: str) -> None:
        """Send everybody out. A room that is not there is no error."""
        try:
            await self._ask("DELETE", f"rooms/{name}")
        except VendorFailed as error:
            if error.status != 404:
                raise

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = await self._client.request(method, path, json=body)
            content = answer.json()
        except httpx2.HTTPError as error:
            raise VendorFailed("daily", f"{type(error).__name__}: {error}") from error
        except ValueError as error:
            raise VendorFailed("daily", "the answer is not JSON", status=answer.status_code) from error
        if answer.status_code >= 400 or not isinstance(content, dict):
            info = content.get("info") or content.get("error") if isinstance(content, dict) else content
            raise VendorFailed("daily", str(info), status=answer.status_code)
        return content
