"""What all calls of a voice process share, started together and closed together."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connections

from agents.credentials import credentials
from agents.metrics import PrometheusObserver
from agents.providers import registry
from agents.resilience.gateway import ModelGateway
from tasks.worker.runtime import LiveCatalogue
from voice.agent import DEADLINES
from voice.bus import access
from voice.calllog import CallWriter
from voice.connectors.gateway import SpeechGateway
from voice.credentials import SpeechKeys
from voice.metrics import PrometheusSpeechObserver
from voice.pipeline.vad import VoiceActivityEngine

if TYPE_CHECKING:
    from voice.bus.stages import Stages


@dataclass(frozen=True, slots=True)
class Parts:
    """The long-lived objects below every call. All belong to the event loop that started them."""

    catalogue: LiveCatalogue
    models: ModelGateway
    speech: SpeechGateway
    activity: VoiceActivityEngine
    writer: CallWriter
    stages: "Stages | None" = None  # those outside

    def refresh(self) -> None:
        """Read the catalogue again, and import the SDKs that there are new keys for. Blocks."""
        self.catalogue.refresh()
        credentials.refresh()
        registry.load_known(credentials.providers())  # no call is to wait for that

    async def aclose(self) -> None:
        """Close everything; the writer last, for closing may be worth a line."""
        for part in (self.stages, self.activity, self.speech, self.models, self.writer):
            if part is not None:
                await part.aclose()


async def start_parts() -> Parts:
    """Make and start everything; SDKs are imported on a thread, so that a loop that serves others goes on."""
    catalogue = await asyncio.to_thread(prepare)
    parts = Parts(
        catalogue,
        ModelGateway(
            catalogue,
            credentials,
            redis_url=settings.REDIS_URL,
            observer=PrometheusObserver(),
            deadlines=DEADLINES,
        ),
        SpeechGateway(SpeechKeys(), redis_url=settings.REDIS_URL, observer=PrometheusSpeechObserver()),
        VoiceActivityEngine(),
        CallWriter(),
        access.make_stages(),
    )
    await parts.models.start()
    await parts.speech.start()
    await parts.activity.start()
    await parts.writer.start()
    await asyncio.to_thread(access.publisher)  # now, and not in the first call
    if parts.stages is not None:
        await parts.stages.start()
    return parts


def prepare() -> LiveCatalogue:
    """Read what calls need of the database and import the SDKs that there are keys for. Blocks for seconds."""
    try:
        catalogue = LiveCatalogue()
        credentials.refresh()
    finally:
        connections.close_all()
    registry.load_known(credentials.providers())
    return catalogue
