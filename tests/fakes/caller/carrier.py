"""The carrier's side that is not audio: signed webhooks, and what a service answers to them."""

import base64
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any
from xml.etree import ElementTree

import httpx2

ACCOUNT = "AC" + "0" * 32


class CallRefused(Exception):
    """The service did not take the call as it should; the message says how it answered."""


@dataclass(frozen=True)
class Instructions:
    """What a TwiML document says, in the order of its verbs."""

    xml: str
    stream: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    stream_callback: str = ""
    says: tuple[str, ...] = ()
    sip: str = ""
    verbs: tuple[str, ...] = ()


def sid(kind: str) -> str:
    return kind + secrets.token_hex(16)


def signature(token: str, url: str, form: Mapping[str, str] | None = None) -> str:
    text = url + "".join(name + value for name, value in sorted((form or {}).items()))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), sha1)).decode()


def read_twiml(xml: str) -> Instructions:
    root = ElementTree.fromstring(xml)
    if root.tag != "Response":
        raise CallRefused(f"not TwiML: {xml[:200]}")
    stream = root.find("./Connect/Stream")
    sip = root.find("./Dial/Sip")
    return Instructions(
        xml,
        stream="" if stream is None else stream.get("url", ""),
        parameters={}
        if stream is None
        else {p.get("name", ""): p.get("value", "") for p in stream.iter("Parameter")},
        stream_callback="" if stream is None else stream.get("statusCallback", ""),
        says=tuple((say.text or "").strip() for say in root.iter("Say")),
        sip="" if sip is None else (sip.text or "").strip(),
        verbs=tuple(child.tag for child in root),
    )


class Carrier:
    """One account of the simulated carrier. `url` is where the service listens, `public_url` what it calls
    itself (signatures are made over that one)."""

    def __init__(self, url: str, auth_token: str, *, public_url: str = "", account: str = ACCOUNT) -> None:
        self.url, self.auth_token = url.rstrip("/"), auth_token
        self.public_url = (public_url or url).rstrip("/")
        self.account = account
        self._http = httpx2.AsyncClient(timeout=20, limits=httpx2.Limits(max_connections=50))

    async def aclose(self) -> None:
        await self._http.aclose()

    async def ring(
        self, call_sid: str, to: str, caller: str, *, path: str = "/twilio/voice", **more: str
    ) -> Instructions:
        """Tell the service that somebody calls. Raises `CallRefused` unless it answers with TwiML."""
        form = self.form(call_sid, to, caller, CallStatus="ringing", **more)
        response = await self.post(path, form)
        if response.status_code != 200:
            raise CallRefused(f"{path} answered {response.status_code}: {response.text[:300]}")
        return read_twiml(response.text)

    async def status(self, call_sid: str, to: str, caller: str, status: str, seconds: float) -> int:
        form = self.form(call_sid, to, caller, CallStatus=status, CallDuration=str(round(seconds)))
        return (await self.post("/twilio/status", form)).status_code

    async def stream_status(self, call_sid: str, stream_sid: str, event: str, name: str = "") -> int:
        form = {
            "AccountSid": self.account,
            "CallSid": call_sid,
            "StreamSid": stream_sid,
            "StreamName": name or stream_sid,
            "StreamEvent": event,
        }
        return (await self.post("/twilio/stream-status", form)).status_code

    def form(self, call_sid: str, to: str, caller: str, **more: str) -> dict[str, str]:
        return {
            "AccountSid": self.account,
            "ApiVersion": "2010-04-01",
            "CallSid": call_sid,
            "Called": to,
            "Caller": caller,
            "Direction": "inbound",
            "From": caller,
            "To": to,
            **more,
        }

    async def post(
        self, path: str, form: Mapping[str, str], *, signed_by: str | None = None
    ) -> httpx2.Response:
        """Post a form as the carrier does; `signed_by` forges the signature with another token."""
        token = self.auth_token if signed_by is None else signed_by
        headers = {"X-Twilio-Signature": signature(token, self.public_url + path, form)} if token else {}
        return await self._http.post(self.url + path, data=dict(form), headers=headers)

    async def ask(self, path: str, api_key: str) -> Any:
        """Read something of the service's own API."""
        response = await self._http.get(self.url + path, headers={"Authorization": f"Bearer {api_key}"})
        response.raise_for_status()
        return response.json()
