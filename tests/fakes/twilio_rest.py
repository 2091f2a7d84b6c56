"""Twilio's REST, as far as calls go: create, update and read them, with signed webhooks to their owner.

    POST /2010-04-01/Accounts/{AccountSid}/Calls.json            To, From, Url or Twiml, StatusCallback…
    POST /2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}.json  Twiml, Url or Status
    GET  /2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}.json

Nobody answers by himself: the test says `ring`, `answer` and `hang_up`; with `at_once`, somebody has picked up
before the order to call has been answered.
"""

import base64
import itertools
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs

import httpx2

from .caller.carrier import signature
from .vendor_http import Exchange, HttpServer

JSON = {"content-type": "application/json"}
_CALLS = re.compile(r"/2010-04-01/Accounts/(\w+)/Calls(?:/(\w+))?\.json")
_TO = re.compile(r"\+[1-9]\d{4,14}|sips?:.+")
_FINAL = ("completed", "busy", "failed", "no-answer", "canceled")

Post = Callable[[str, dict[str, str], str], Awaitable[tuple[int, str]]]  # (url, form, signature)


@dataclass
class RestCall:
    """One call, and every TwiML that was given to it."""

    sid: str
    to: str
    sender: str
    orders: dict[str, list[str]]
    status: str = "queued"
    twiml: list[str] = field(default_factory=list)
    told: list[tuple[str, int]] = field(default_factory=list)  # (status, answer) of status callbacks


class TwilioRest:
    """One account. `post` sends webhooks; by default over HTTP."""

    def __init__(
        self, auth_token: str, *, account_sid: str = "AC" + "0" * 32, post: Post | None = None
    ) -> None:
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.calls: dict[str, RestCall] = {}
        self.requests: list[tuple[str, str, dict[str, list[str]]]] = []
        self.at_once = False
        self.fail_with: tuple[int, int, str] | None = None  # (status, code, message) of the next requests
        self._numbers = itertools.count(1)
        self._post = post or _over_http
        self._server = HttpServer(self._serve)

    async def __aenter__(self) -> "TwilioRest":
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__()

    @property
    def url(self) -> str:
        return self._server.url

    async def ring(self, sid: str) -> None:
        """The telephone rings at the other side."""
        await self._change(self.calls[sid], "initiated")
        await self._change(self.calls[sid], "ringing")

    async def answer(self, sid: str) -> str:
        """Somebody picks up; returns the TwiML that the owner answers with."""
        call = self.calls[sid]
        await self._change(call, "in-progress", event="answered")
        if "Twiml" in call.orders:
            call.twiml.append(call.orders["Twiml"][0])
            return call.twiml[-1]
        return await self.fetch(sid, call.orders["Url"][0])

    async def fetch(self, sid: str, url: str) -> str:
        """Ask a webhook of the owner what to do."""
        call = self.calls[sid]
        form = self._form(call)
        status, text = await self._post(url, form, signature(self.auth_token, url, form))
        assert status == 200, (status, text)
        call.twiml.append(text)
        return text

    async def hang_up(self, sid: str, status: str = "completed") -> None:
        """The call is over."""
        await self._change(self.calls[sid], status)

    async def _change(self, call: RestCall, status: str, *, event: str = "") -> None:
        call.status = status
        url = call.orders.get("StatusCallback", [""])[0]
        wanted = call.orders.get("StatusCallbackEvent", ["completed"])
        name = "completed" if status in _FINAL else event or status
        if url and name in wanted:
            form = self._form(call)
            answer, _ = await self._post(url, form, signature(self.auth_token, url, form))
            call.told.append((status, answer))

    def _form(self, call: RestCall) -> dict[str, str]:
        return {
            "AccountSid": self.account_sid,
            "ApiVersion": "2010-04-01",
            "CallSid": call.sid,
            "CallStatus": call.status,
            "Direction": "outbound-api",
            "From": call.sender,
            "To": call.to,
        }

    async def _serve(self, exchange: Exchange) -> None:
        known = set(self.calls)
        status, answer = self._answer(exchange)
        for sid in set(self.calls) - known if self.at_once else ():
            await self.ring(sid)
            await self.answer(sid)
        exchange.send(status, JSON, json.dumps(answer).encode())

    def _answer(self, exchange: Exchange) -> tuple[int, dict[str, Any]]:
        form = parse_qs(exchange.body.decode())
        self.requests.append((exchange.method, exchange.path, form))
        wanted = base64.b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()
        if exchange.headers.get("authorization") != f"Basic {wanted}":
            return _error(401, 20003, "Authenticate")
        if self.fail_with:
            return _error(*self.fail_with)
        found = _CALLS.fullmatch(exchange.path)
        if not found or found[1] != self.account_sid:
            return _error(404, 20404, f"The requested resource {exchange.path} was not found")
        if found[2] is None:
            return self._create(form) if exchange.method == "POST" else _error(405, 20004, "Not allowed")
        call = self.calls.get(found[2])
        if call is None:
            return _error(404, 20404, f"The requested resource {exchange.path} was not found")
        if exchange.method == "POST":
            if call.status in _FINAL:
                return _error(400, 21220, "Call is not in-progress. Cannot redirect.")
            call.orders |= form
            if "Twiml" in form:
                call.twiml.append(form["Twiml"][0])
            if "Status" in form:
                call.status = form["Status"][0]
        return 200, self._shown(call)

    def _create(self, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        to, sender = form.get("To", [""])[0], form.get("From", [""])[0]
        if not _TO.fullmatch(to):
            return _error(400, 21211, f"The 'To' number {to} is not a valid phone number.")
        if not sender:
            return _error(400, 21213, "No 'From' number specified")
        if "Url" not in form and "Twiml" not in form:
            return _error(400, 21205, "Url is not a valid URL")
        sid = f"CA{next(self._numbers):032x}"
        self.calls[sid] = RestCall(sid, to, sender, form)
        return 201, self._shown(self.calls[sid])

    def _shown(self, call: RestCall) -> dict[str, Any]:
        now = formatdate(usegmt=False)
        path = f"/2010-04-01/Accounts/{self.account_sid}/Calls/{call.sid}"
        return {
            "sid": call.sid,
            "account_sid": self.account_sid,
            "api_version": "2010-04-01",
            "to": call.to,
            "to_formatted": call.to,
            "from": call.sender,
            "from_formatted": call.sender,
            "status": call.status,
            "direction": "outbound-api",
            "date_created": now,
            "date_updated": now,
            "start_time": None,
            "end_time": None,
            "duration": None,
            "price": None,
            "price_unit": "USD",
            "parent_call_sid": None,
            "phone_number_sid": None,
            "answered_by": None,
            "forwarded_from": None,
            "group_sid": None,
            "caller_name": None,
            "annotation": None,
            "queue_time": "0",
            "trunk_sid": None,
            "uri": f"{path}.json",
            "subresource_uris": {"streams": f"{path}/Streams.json"},
        }


def _error(status: int, code: int, message: str) -> tuple[int, dict[str, Any]]:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return status, {"code": code, "message": message, "more_info": more, "status": status}


async def _over_http(url: str, form: dict[str, str], signature: str) -> tuple[int, str]:
    async with httpx2.AsyncClient(timeout=15) as client:
        answer = await client.post(url, data=form, headers={"X-Twilio-Signature": signature})
        return answer.status_code, answer.text
