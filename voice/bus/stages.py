"""The stages outside, for a voice process: connected once, shared by all its calls."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from voice.agent_ports import CallContext
from voice.audio import AudioFormat
from voice.config import SessionConfig
from voice.pipeline.ports import CallLog

from .dispatch import Dispatcher
from .link import Link
from .outside import Outside
from .subjects import Subjects


class Stages:
    """`kinds` are those that live outside. `start` and `aclose` on the loop of the calls."""

    def __init__(self, url: str, kinds: frozenset[str], subjects: Subjects) -> None:
        self.kinds = kinds
        self._link = Link(url, f"mesh-voice-{os.getpid()}", on_lost=lambda: self._dispatcher.lost())
        self._dispatcher = Dispatcher(self._link, subjects)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect. When that is not possible now, calls do all their work themselves until it is."""
        await self._link.start()
        self._tasks = [
            asyncio.create_task(self._subscribe(), name="stages-subscribe"),
            asyncio.create_task(self._dispatcher.run(), name="stages-patrol"),
        ]
        if self._link.connected:
            await self._tasks[0]

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._link.aclose()

    def outside(
        self,
        *,
        call: CallContext,
        session: str,
        config: Callable[[], SessionConfig],
        format: AudioFormat,
        log: CallLog,
    ) -> Outside:
        """One call's view of them."""
        return Outside(
            self._dispatcher, self.kinds, call=call, session=session, config=config, format=format, log=log
        )

    async def _subscribe(self) -> None:
        await self._link.connected_once()

        def told(message: Any) -> None:
            self._dispatcher.receive(message.subject, message.data, message.headers, message.reply)

        await self._link.subscribe(self._dispatcher.inbox, told)
