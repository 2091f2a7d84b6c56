"""LiveKit's server API, as far as rooms and telephone callers go: Twirp over protobuf, with signed tokens.

    POST /twirp/livekit.RoomService/{CreateRoom,DeleteRoom,RemoveParticipant}
    POST /twirp/livekit.SIP/{ListSIPInboundTrunk,CreateSIPInboundTrunk,ListSIPDispatchRule,CreateSIPDispatchRule,
                             CreateSIPParticipant,TransferSIPParticipant}

A request without a token of our secret, or without the grant it takes, is refused as the server does.
"""

import base64
import hmac
import itertools
import json
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from livekit.protocol import models, room, sip

from .vendor_http import Exchange, HttpServer

PROTOBUF = {"content-type": "application/protobuf"}
JSON = {"content-type": "application/json"}


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class LiveKitServer:
    """One project. `rooms`, `trunks` and `rules` are what there is; `asked` is every call: (method, request)."""

    def __init__(self, api_key: str = "APIkey", api_secret: str = "s" * 32) -> None:
        self.api_key, self.api_secret = api_key, api_secret
        self.rooms: dict[str, models.Room] = {}
        self.trunks: list[sip.SIPInboundTrunkInfo] = []
        self.rules: list[sip.SIPDispatchRuleInfo] = []
        self.asked: list[tuple[str, Any]] = []
        self.fail_with: tuple[int, str, str] | None = None  # status, code, message of the next requests
        self._numbers = itertools.count(1)
        self._server = HttpServer(self._serve)
        self._methods: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
            "RoomService/CreateRoom": (room.CreateRoomRequest, "roomCreate", self._create),
            "RoomService/DeleteRoom": (room.DeleteRoomRequest, "roomCreate", self._delete),
            "RoomService/RemoveParticipant": (room.RoomParticipantIdentity, "roomAdmin", self._remove),
            "SIP/ListSIPInboundTrunk": (sip.ListSIPInboundTrunkRequest, "admin", self._list_trunks),
            "SIP/CreateSIPInboundTrunk": (sip.CreateSIPInboundTrunkRequest, "admin", self._create_trunk),
            "SIP/ListSIPDispatchRule": (sip.ListSIPDispatchRuleRequest, "admin", self._list_rules),
            "SIP/CreateSIPDispatchRule": (sip.CreateSIPDispatchRuleRequest, "admin", self._create_rule),
            "SIP/CreateSIPParticipant": (sip.CreateSIPParticipantRequest, "call", self._dial),
            "SIP/TransferSIPParticipant": (sip.TransferSIPParticipantRequest, "call", self._transfer),
        }

    async def __aenter__(self) -> "LiveKitServer":
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__()

    @property
    def url(self) -> str:
        return self._server.url.replace("http://", "ws://")

    def claims(self, token: str) -> dict[str, Any]:
        """Read a token as the server does; raises `Refused`."""
        try:
            head, body, signature = token.split(".")
        except ValueError:
            raise Refused(401, "unauthenticated", "no permissions to access the room") from None
        expected = hmac.digest(self.api_secret.encode(), f"{head}.{body}".encode(), sha256)
        claims: dict[str, Any] = json.loads(_decode(body))
        if not hmac.compare_digest(_decode(signature), expected) or claims["iss"] != self.api_key:
            raise Refused(401, "unauthenticated", "invalid token")
        if claims["exp"] < time.time():
            raise Refused(401, "unauthenticated", "token is expired")
        return claims

    def webhook(self, event: dict[str, Any]) -> tuple[str, str]:
        """A webhook's body, and its Authorization."""
        body = json.dumps(event)
        digest = base64.b64encode(sha256(body.encode()).digest()).decode()
        claims = {"iss": self.api_key, "exp": int(time.time()) + 300, "sha256": digest}
        signed = f"{_encode(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{_encode(json.dumps(claims).encode())}"
        return body, f"{signed}.{_encode(hmac.digest(self.api_secret.encode(), signed.encode(), sha256))}"

    async def _serve(self, exchange: Exchange) -> None:
        try:
            answer = self._answer(exchange)
        except Refused as refusal:
            error = {"code": refusal.code, "msg": str(refusal)}
            exchange.send(refusal.status, JSON, json.dumps(error).encode())
        else:
            exchange.send(200, PROTOBUF, answer.SerializeToString())

    def _answer(self, exchange: Exchange) -> Any:
        name = exchange.path.removeprefix("/twirp/livekit.")
        if exchange.method != "POST" or name not in self._methods:
            raise Refused(404, "bad_route", f"no handler for path {exchange.path}")
        if exchange.headers.get("content-type") != "application/protobuf":
            raise Refused(400, "malformed", "unexpected Content-Type")
        claims = self.claims(exchange.headers.get("authorization", "").removeprefix("Bearer "))
        kind, grant, answer = self._methods[name]
        if not (claims.get("video", {}) | claims.get("sip", {})).get(grant):
            raise Refused(403, "permission_denied", "permissions denied")
        request = kind.FromString(exchange.body)
        self.asked.append((name.partition("/")[2], request))
        if self.fail_with:
            raise Refused(*self.fail_with)
        return answer(request)

    def _create(self, request: Any) -> Any:
        made = models.Room(
            sid=f"RM_{next(self._numbers)}",
            name=request.name,
            empty_timeout=request.empty_timeout,
            max_participants=request.max_participants,
            metadata=request.metadata,
        )
        return self.rooms.setdefault(request.name, made)

    def _delete(self, request: Any) -> Any:
        if self.rooms.pop(request.room, None) is None:
            raise Refused(404, "not_found", "requested room does not exist")
        return room.DeleteRoomResponse()

    def _remove(self, request: Any) -> Any:
        return room.RemoveParticipantResponse()

    def _list_trunks(self, request: Any) -> Any:
        return sip.ListSIPInboundTrunkResponse(items=self.trunks)

    def _create_trunk(self, request: Any) -> Any:
        made = sip.SIPInboundTrunkInfo()
        made.CopyFrom(request.trunk)
        made.sip_trunk_id = f"ST_{next(self._numbers)}"
        self.trunks.append(made)
        return made

    def _list_rules(self, request: Any) -> Any:
        return sip.ListSIPDispatchRuleResponse(items=self.rules)

    def _create_rule(self, request: Any) -> Any:
        made = sip.SIPDispatchRuleInfo()
        made.CopyFrom(request.dispatch_rule)
        made.sip_dispatch_rule_id = f"SDR_{next(self._numbers)}"
        self.rules.append(made)
        return made

    def _dial(self, request: Any) -> Any:
        return sip.SIPParticipantInfo(
            participant_identity=request.participant_identity, room_name=request.room_name
        )

    def _transfer(self, request: Any) -> Any:
        if not request.transfer_to.startswith(("tel:", "sip:", "<")):
            raise Refused(400, "invalid_argument", "transfer_to must be tel: or sip:")
        return sip.TransferSIPParticipantResponse()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
