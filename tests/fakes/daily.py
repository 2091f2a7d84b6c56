"""Daily's REST, as far as rooms and meeting tokens go.

POST   /v1/rooms            {name, privacy, properties}
POST   /v1/rooms/{name}     {properties}
POST   /v1/rooms/{name}/eject  {ids}
DELETE /v1/rooms/{name}
POST   /v1/meeting-tokens   {properties}
"""

import itertools
import json
import time
from typing import Any

from .vendor_http import Exchange, HttpServer

JSON = {"content-type": "application/json; charset=utf-8"}
_ROOM_PROPERTIES = {
    "nbf",
    "exp",
    "max_participants",
    "eject_at_room_exp",
    "eject_after_elapsed",
    "enable_prejoin_ui",
    "enable_chat",
    "start_video_off",
    "start_audio_off",
    "sip",
}
_TOKEN_PROPERTIES = {"room_name", "exp", "nbf", "is_owner", "user_name", "user_id", "eject_at_token_exp"}


class DailyServer:
    """One domain. `rooms` by name, `tokens` by token: the properties that each was made with."""

    def __init__(self, api_key: str = "daily-key") -> None:
        self.api_key = api_key
        self.rooms: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, dict[str, Any]] = {}
        self.ejected: list[str] = []
        self.broken = ""  # answered instead of JSON
        self._numbers = itertools.count(1)
        self._server = HttpServer(self._serve)

    async def __aenter__(self) -> "DailyServer":
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__()

    @property
    def url(self) -> str:
        return f"{self._server.url}/v1"

    async def _serve(self, exchange: Exchange) -> None:
        if self.broken:
            exchange.send(502, {"content-type": "text/html"}, self.broken.encode())
            return
        status, answer = self._answer(exchange)
        exchange.send(status, JSON, json.dumps(answer).encode())

    def _answer(self, exchange: Exchange) -> tuple[int, dict[str, Any]]:
        if exchange.headers.get("authorization") != f"Bearer {self.api_key}":
            return 401, {"error": "authentication-error"}
        path = exchange.path.removeprefix("/v1")
        if exchange.method == "POST" and path == "/rooms":
            return self._room(json.loads(exchange.body))
        if exchange.method == "POST" and path == "/meeting-tokens":
            return self._token(json.loads(exchange.body)["properties"])
        name, _, action = path.removeprefix("/rooms/").partition("/")
        if exchange.method == "POST" and path.startswith("/rooms/"):
            if name not in self.rooms:
                return 404, {"error": "not-found", "info": f"room {name} not found"}
            if action == "eject":
                self.ejected += (ids := json.loads(exchange.body)["ids"])
                return 200, {"ejectedIds": ids}
            self.rooms[name]["properties"] |= json.loads(exchange.body)["properties"]
            return 200, {"name": name, "config": self.rooms[name]["properties"]}
        if exchange.method == "DELETE" and path.startswith("/rooms/"):
            if self.rooms.pop(name, None) is None:
                return 404, {"error": "not-found", "info": f"room {name} not found"}
            return 200, {"deleted": True, "name": name}
        return 404, {"error": "not-found", "info": "no such endpoint"}

    def _room(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name, properties = body["name"], body.get("properties", {})
        if name in self.rooms:
            return _invalid(f"a room named {name} already exists")
        if unknown := set(properties) - _ROOM_PROPERTIES:
            return _invalid(f"unknown parameter '{unknown.pop()}'")
        if properties.get("exp", time.time() + 1) < time.time():
            return _invalid("exp is in the past")
        self.rooms[name] = body
        return 200, {
            "id": f"00000000-0000-0000-0000-{next(self._numbers):012}",
            "name": name,
            "api_created": True,
            "privacy": body.get("privacy", "public"),
            "url": f"https://mesh.daily.co/{name}",
            "created_at": "2026-11-21T12:00:00.000Z",
            "config": properties,
        }

    def _token(self, properties: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if unknown := set(properties) - _TOKEN_PROPERTIES:
            return _invalid(f"unknown parameter '{unknown.pop()}'")
        token = f"eyJ.{next(self._numbers)}.sig"
        self.tokens[token] = properties
        return 200, {"token": token}


def _invalid(info: str) -> tuple[int, dict[str, Any]]:
    return 400, {"error": "invalid-request-error", "info": info}
