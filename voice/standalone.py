"""What answers and speaks outside calls (`/v1/respond`, `/v1/synthesize`), in whichever process is asked.

A process that takes calls shares what they use; another one starts its own at the first request.
"""

import asyncio
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from django.conf import settings

from agents.credentials import credentials
from agents.metrics import PrometheusObserver
from agents.resilience.gateway import ModelGateway
from tasks.worker.runtime import LiveCatalogue
from voice import runtime
from voice.agent import DEADLINES
from voice.calllog import CallWriter
from voice.connectors.gateway import SpeechGateway
from voice.credentials import SpeechKeys
from voice.metrics import PrometheusSpeechObserver
from voice.parts import prepare


@dataclass(frozen=True, slots=True)
class Standalone:
    """The parts of `voice.parts.Parts` that need no caller."""

    models: ModelGateway
    speech: SpeechGateway
    writer: CallWriter

    async def aclose(self) -> None:
        for part in (self.speech, self.models, self.writer):
            await part.aclose()


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, "asyncio.Task[Standalone]"] = WeakKeyDictionary()


async def obtain() -> Standalone:
    """The running loop's; started by whoever asks first. A start that failed is tried again."""
    calls = runtime.current()
    if calls is not None and calls.ready:
        return Standalone(calls.parts.models, calls.parts.speech, calls.parts.writer)
    loop = asyncio.get_running_loop()
    starting = _by_loop.get(loop)
    if starting is None or (starting.done() and (starting.cancelled() or starting.exception() is not None)):
        starting = _by_loop[loop] = loop.create_task(_start(), name="voice-standalone")
    return await asyncio.shield(starting)


async def forget() -> None:
    """Close the running loop's own, if it was started."""
    starting = _by_loop.pop(asyncio.get_running_loop(), None)
    if starting is not None and starting.done() and not starting.cancelled() and starting.exception() is None:
        await starting.result().aclose()


async def _start() -> Standalone:
    catalogue: LiveCatalogue = await asyncio.to_thread(prepare)
    parts = Standalone(
        ModelGateway(
            catalogue,
            credentials,
            redis_url=settings.REDIS_URL,
            observer=PrometheusObserver(),
            deadlines=DEADLINES,
        ),
        SpeechGateway(SpeechKeys(), redis_url=settings.REDIS_URL, observer=PrometheusSpeechObserver()),
        CallWriter(),
    )
    await parts.models.start()
    await parts.speech.start()
    await parts.writer.start()
    return parts
