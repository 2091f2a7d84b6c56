"""One process of stages: everything they need, started, served until it is to end, and closed."""

import asyncio
import secrets
from collections.abc import Coroutine
from typing import Any

import structlog
from django.conf import settings

from voice import standalone
from voice.agent_desk import NetworkDesk
from voice.bus import access
from voice.bus.link import Link
from voice.bus.stage_configs import StageConfigs
from voice.bus.stage_service import StageService, Tools

log = structlog.get_logger(__name__)


async def serve(kinds: tuple[str, ...], name: str, over: asyncio.Event, drain_seconds: float) -> None:
    """Do the work of these stages until `over` is set; then end what was begun, for so long at most."""
    member = f"{name}-{secrets.token_hex(4)}"
    parts = await standalone.obtain()
    configs = StageConfigs()
    link = Link(settings.NATS_URL, f"mesh-{member}")
    subjects = access.subjects()
    tools = Tools(parts.models, parts.speech, parts.writer, NetworkDesk())
    service = StageService(kinds, name=member, wire=link, subjects=subjects, tools=tools, configs=configs)
    await link.start()
    try:
        await _either(link.connected_once(), over)
        if not over.is_set():
            await link.subscribe(subjects.config(), configs.heard)
            await service.start()
            await link.flush()
            log.warning("voice stage ready", stages=list(kinds), member=member)
            await over.wait()
            await service.drain(drain_seconds)
            await link.flush()
    finally:
        await link.aclose()
        configs.close()
        await standalone.forget()


async def _either(work: Coroutine[Any, Any, None], over: asyncio.Event) -> None:
    tasks = {asyncio.ensure_future(work), asyncio.ensure_future(over.wait())}
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
