"""The configs of the sessions that a stage's process works for: read once a version, kept for the next works.

A change is heard over the bus; what was missed is seen by the version that a work names.
"""

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog
from django.db import close_old_connections

from voice.config import SessionConfig
from voice.config_flow import STT
from voice.config_parsing import ConfigInvalid, parse
from voice.dialog_config import expecting
from voice.models import PhoneCall
from voice.session_copies import Copy
from voice.sessions import config_of, load_config

from .messages import Job

log = structlog.get_logger(__name__)

MOST: Final = 5000
THREADS: Final = 4


class StageConfigs:
    """A `Configs`. A call without a session has the config that its row began with."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, SessionConfig] = OrderedDict()
        self._reading: dict[str, asyncio.Task[SessionConfig]] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="stage-configs")

    async def get(self, job: Job) -> SessionConfig:
        key = job.session or job.call
        config = self._kept.get(key)
        if config is None or config.version < job.version:
            reading = self._reading.get(key)
            if reading is None:
                reading = self._reading[key] = asyncio.create_task(self._read(key, job))
                reading.add_done_callback(lambda _: self._reading.pop(key, None))
            config = await asyncio.shield(reading)
        return await expecting(job.project, config) if job.service == STT else config

    def heard(self, message: Any) -> None:
        """A session's config was published."""
        try:
            copy = Copy.unpack(message.data)
            if copy.session_id in self._kept:
                self._keep(copy.session_id, config_of(copy))
        except (ValueError, ConfigInvalid) as error:
            log.warning("a published config cannot be used", error=str(error)[:200])

    def close(self) -> None:
        self._threads.shutdown(wait=False)

    async def _read(self, key: str, job: Job) -> SessionConfig:
        loop = asyncio.get_running_loop()
        config = await loop.run_in_executor(self._threads, _load, job)
        return self._keep(key, config)

    def _keep(self, key: str, config: SessionConfig) -> SessionConfig:
        known = self._kept.pop(key, None)
        newest = self._kept[key] = known if known is not None and known.version > config.version else config
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return newest


def _load(job: Job) -> SessionConfig:
    close_old_connections()
    try:
        config = load_config(job.session) if job.session else None
        if config is not None:
            return config
        call = PhoneCall.objects.filter(pk=job.call).first()  # its session may be over, and it goes on
        if call is None:
            raise LookupError(f"There is no call {job.call!r}.")
        return parse(call.config, provider=call.transport, network_id=call.network_id or "")
    finally:
        close_old_connections()
