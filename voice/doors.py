"""Where a voice process takes offers, and is told to join rooms: a small ASGI application beside its sockets.

    POST /voice/offers/{token}                      a browser's, {sdp, type}; the token names a session
    POST /voice/enter/{worker}/{transport}/{token}  from our own web process, for a slot reserved here;
                                                    {sdp, type} or {}

The token is the permission; nothing else is asked. Answers are JSON, errors are problem documents.
"""

import re
import time
from typing import Any, Final

import orjson
import structlog
from django.conf import settings

from voice import addresses, joining, metrics, tokens
from voice.runtime import VoiceRuntime
from voice.transports.webrtc import LARGEST_OFFER
from web.problem_codes import CODES
from web.problems import Problem

log = structlog.get_logger(__name__)

PREFIX: Final = "/voice/"
_OFFERS = re.compile(r"/voice/offers/([^/]+)")
_ENTER = re.compile(r"/voice/enter/([^/]+)/(webrtc|livekit|daily)/([^/]+)")
_LARGEST: Final = LARGEST_OFFER + 4096


async def serve(runtime: VoiceRuntime | None, scope: Any, receive: Any, send: Any) -> None:
    """Answer one request below `PREFIX`."""
    headers = [(b"content-type", b"application/json"), *_allowed_origin(scope)]
    if scope["method"] == "OPTIONS":  # a page of another origin asks before it posts
        headers += [(b"access-control-allow-headers", b"content-type"), (b"access-control-max-age", b"600")]
        await _send(send, 204, headers, b"")
        return
    try:
        status, answer = 200, await _answer(runtime, scope, receive)
    except Problem as problem:
        metrics.refused("door")
        log.warning("nobody is let in", why=problem.detail, path=scope["path"].rpartition("/")[0])
        status, answer = problem.status, _document(problem)
    await _send(send, status, headers, orjson.dumps(answer))


async def _answer(runtime: VoiceRuntime | None, scope: Any, receive: Any) -> dict[str, Any]:
    offers, enter = _OFFERS.fullmatch(scope["path"]), _ENTER.fullmatch(scope["path"])
    if scope["method"] != "POST" or not (offers or enter):
        raise Problem("not_found")
    if runtime is None or not runtime.ready:
        raise Problem("lines_busy", "This process takes no calls.")
    offer = await _body(receive)
    if offers:
        ticket = _ticket("browser", offers[1])
        record = await runtime.in_thread(joining.let_in, ticket.subject, runtime.name)
    else:
        assert enter is not None
        ticket = _ticket("call", enter[3])
        if not ticket.worker == enter[1] == runtime.name:
            raise Problem("forbidden", "The token is for another process.")
        record = await runtime.in_thread(
            joining.open_reserved, enter[2], ticket.subject, ticket.worker, ticket.nonce
        )
    return await joining.enter(runtime, record, offer)


async def _body(receive: Any) -> dict[str, Any]:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _LARGEST:
            raise Problem("body_too_large")
        if not message.get("more_body"):
            break
    try:
        offer = orjson.loads(body or b"{}")
    except ValueError:
        raise Problem("malformed_json") from None
    if not isinstance(offer, dict) or not all(isinstance(value, str) for value in offer.values()):
        raise Problem("validation_failed", "Must be an object {sdp, type}.")
    return offer


def _ticket(purpose: tokens.Purpose, token: str) -> tokens.Ticket:
    try:
        return tokens.read(addresses.token_key(), purpose, token, now=time.time())
    except tokens.TokenRefused as error:
        raise Problem("forbidden", f"The token is {error}.") from None


def _allowed_origin(scope: Any) -> list[tuple[bytes, bytes]]:
    """Let our own pages read the answer; the browser keeps it from all others."""
    origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1")
    if origin and origin in (settings.PUBLIC_BASE_URL, *settings.CSRF_TRUSTED_ORIGINS):
        return [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"origin")]
    return []


def _document(problem: Problem) -> dict[str, Any]:
    title = CODES[problem.code].title
    return {"status": problem.status, "code": problem.code, "title": title, "detail": problem.detail}


async def _send(send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
