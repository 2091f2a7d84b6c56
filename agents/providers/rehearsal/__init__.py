"""The built-in provider that calls no model: answers from the request alone, the same ones every time.

It lets the whole product run, be tried and be tested without a key, and every answer says so. It is used
only where no provider has a key, never as a silent stand-in for one that failed.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable

from agents.resilience.ports import Credential

from ..base import reply_chunks
from ..types import Capabilities, Chunk, ModelRequest
from .answer import MODEL, NAME, answer

__all__ = ["MODEL", "NAME", "RehearsalProvider", "answer"]

_PIECE = 48  # characters a chunk: about what a model sends at once


class RehearsalProvider:
    """Answers at once, without network or key."""

    def __init__(
        self,
        credential: Credential | None = None,
        capabilities: Callable[[str], Capabilities] | None = None,
    ) -> None:
        pass

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Yield the answer; see `base.Provider`. Raises nothing."""
        for chunk in reply_chunks(answer(request), piece=_PIECE if request.stream else 0):
            yield chunk
            await asyncio.sleep(0)  # a long answer must not hold the loop

    async def aclose(self) -> None:
        pass
