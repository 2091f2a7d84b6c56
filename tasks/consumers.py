"""`/ws/runs/{id}`: a run's events over a WebSocket, the same as its stream's, and as gap-free.

Who may: a key, as `Authorization: Bearer`, as the second of `Sec-WebSocket-Protocol: mesh, <key>`, or in the first
message `{"key": …, "after": …}`; or a person who is logged in, from our own pages. Each event is one message; at
the end comes `{"type": "done"}` and the socket is closed. `?after=` resumes behind an event.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.http.request import validate_host

from networks.authentication import key_of
from networks.models import Member, Scope
from tasks.api.runs import position_in
from tasks.api.streaming import follow
from tasks.models import Run
from tasks.run_selectors import access_run_for
from web import ratelimit
from web.problems import NotFound, Problem
from web.views import in_database

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PROTOCOL: Final = "mesh"
FIRST_MESSAGE_SECONDS: Final = 10.0
_LONGEST_MESSAGE: Final = 4096


class RunConsumer:
    """One socket, from its handshake to its end."""

    def __init__(self, scope: Any, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send

    @classmethod
    def as_asgi(cls) -> Any:
        async def serve(scope: Any, receive: Receive, send: Send) -> None:
            await cls(scope, receive, send).serve()

        return serve

    async def serve(self) -> None:
        await self._receive()  # websocket.connect
        if not self._from_our_pages():
            await self._send({"type": "websocket.close"})  # before it is accepted: the handshake is refused
            return
        offered = self._scope.get("subprotocols") or []
        await self._send(
            {"type": "websocket.accept", "subprotocol": PROTOCOL if PROTOCOL in offered else None}
        )
        try:
            run_id, seq = await self._admit()
        except Problem as problem:
            await self._close(4000 + problem.status, problem.code)
            return
        except _Gone:
            return
        telling = asyncio.create_task(self._tell(run_id, seq))
        leaving = asyncio.create_task(self._wait_for_leave())
        try:
            await asyncio.wait([telling, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (telling, leaving):
                task.cancel()
            await asyncio.gather(telling, leaving, return_exceptions=True)
        if not telling.cancelled():
            telling.result()

    async def _admit(self) -> tuple[str, int]:
        """Find out who is there and what is to be told. Raises `Problem` or `_Gone`."""
        run_id: str = self._scope["url_route"]["kwargs"]["run_id"]
        query = parse_qs(self._scope["query_string"].decode("latin-1"))
        after = query.get("after", [None])[-1]
        secret, user = self._secret(), self._scope.get("user")
        if secret is None and not getattr(user, "is_authenticated", False):
            first = await self._first_message()
            secret, after = first.get("key"), first.get("after", after)
            if not isinstance(secret, str):
                raise Problem("unauthenticated")
        if after is not None and not isinstance(after, str | int):
            raise Problem("bad_request")
        if secret is None:
            await in_database(_check_person)(user, run_id)
        else:
            await in_database(_check_key)(secret, run_id)
        return run_id, position_in(run_id, None if after is None else str(after))

    async def _tell(self, run_id: str, seq: int) -> None:
        async with aclosing(follow(run_id, seq)) as events:
            async for event in events:
                await self._say(event or {"type": "heartbeat"})
        await self._say({"type": "done", "run_id": run_id})
        await self._close(1000)

    async def _first_message(self) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(FIRST_MESSAGE_SECONDS):
                message = await self._receive()
        except TimeoutError:
            raise Problem("unauthenticated") from None
        if message["type"] == "websocket.disconnect":
            raise _Gone
        text = message.get("text") or ""
        try:
            first = json.loads(text) if len(text) <= _LONGEST_MESSAGE else None
        except (ValueError, RecursionError):
            first = None
        if not isinstance(first, dict):
            raise Problem("unauthenticated")
        return first

    async def _wait_for_leave(self) -> None:
        while (await self._receive())["type"] != "websocket.disconnect":
            pass  # nothing that is said now means anything

    async def _say(self, message: Mapping[str, Any]) -> None:
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"), default=str)
        await self._send({"type": "websocket.send", "text": text})

    async def _close(self, code: int, reason: str = "") -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def _secret(self) -> str | None:
        scheme, _, secret = self._header(b"authorization").partition(" ")
        if scheme.lower() == "bearer":
            return secret.strip()
        offered = list(self._scope.get("subprotocols") or [])
        if PROTOCOL in offered:
            offered.remove(PROTOCOL)
        return offered[0] if offered else None

    def _header(self, name: bytes) -> str:
        found = [value for key, value in self._scope["headers"] if key == name]
        return found[0].decode("latin-1") if len(found) == 1 else ""

    def _from_our_pages(self) -> bool:
        """Whether a page may open the socket: browsers send cookies along whatever page asks. Programs name no
        origin, and no cookie of theirs counts."""
        origin = self._header(b"origin")
        if not origin:
            self._scope["user"] = None
            return True
        if origin in (settings.PUBLIC_BASE_URL, *settings.CSRF_TRUSTED_ORIGINS):
            return True
        return validate_host(urlsplit(origin).hostname or "", settings.ALLOWED_HOSTS)


class _Gone(Exception):
    """The other side left before it said who it is."""


def _check_key(secret: str, run_id: str) -> None:
    key = key_of(secret, Scope.READ)
    quota = int((key.project and key.project.requests_per_minute) or settings.MESH_RATE_LIMIT_PER_MINUTE)
    if ratelimit.counter.add(key.pk, time.time()) > quota:
        raise Problem("rate_limited")
    access_run_for(key, run_id)


def _check_person(user: Any, run_id: str) -> None:
    """Staff who may look at runs, and members of the run's project."""
    run = Run.objects.filter(pk=run_id).only("project_id").first()
    allowed = run is not None and (
        user.has_perm("tasks.view_run")
        or Member.objects.filter(project_id=run.project_id, user=user).exists()
    )
    if not allowed:
        raise NotFound("There is no such run.")
