"""Asking as an ASGI server does: answers that wait, and streams of events."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections
from django.test import AsyncClient

from .conftest import Caller


@asynccontextmanager
async def served() -> AsyncIterator[AsyncClient]:
    """A client whose synchronous parts have a thread of their own, as Django's ASGI handler gives each request.

    The test client leaves connections open at the end of a request; here that would empty the pool.
    """
    async with ThreadSensitiveContext():
        try:
            yield AsyncClient()
        finally:
            await sync_to_async(close_old_connections)()


async def get(owner: Caller, path: str, **headers: str) -> Any:
    async with served() as client:
        return await client.get(path, headers=owner.headers(**headers))


async def stream(owner: Caller, path: str, **headers: str) -> AsyncGenerator[bytes, None]:
    """The chunks of a stream of events."""
    async with served() as client:
        named = owner.headers(Accept="text/event-stream", **headers)
        response: Any = await client.get(path, headers=named)
        assert response.status_code == 200, response.content
        assert response.headers["Content-Type"].startswith("text/event-stream")
        async for chunk in response.streaming_content:
            yield chunk
