"""A worker's loop in the test's own process, with a model that answers by script or sensibly."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from celery import Celery

from agents.providers.base import reply_chunks
from agents.providers.rehearsal import answer
from agents.providers.types import Chunk, FinishReason, ModelRequest, Reply, ToolCall, Usage
from tasks.models import Run
from tasks.worker.flower import StepEvents
from tasks.worker.incarnation import Incarnation
from tasks.worker.loop import StepLoop
from tests.integration.engine_world import EngineWorld, until
from tests.unit.resilience_world import World


class Model:
    """A provider: plays its answers in order, texts or tool calls, then answers sensibly. While `gate` is clear it
    thinks."""

    def __init__(self, *texts: "str | Sequence[ToolCall]") -> None:
        self.requests: list[ModelRequest] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._texts = list(texts)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        await self.gate.wait()
        said = answer(request)
        if self._texts:
            said = _reply(self._texts.pop(0), request.model)
        for chunk in reply_chunks(said):
            yield chunk

    async def aclose(self) -> None: ...


def _reply(said: "str | Sequence[ToolCall]", model: str) -> Reply:
    if isinstance(said, str):
        return Reply(said, FinishReason.STOP, Usage(10, 10), "anthropic", model)
    calls = tuple(said)
    return Reply("", FinishReason.TOOL_CALLS, Usage(10, 10), "anthropic", model, tool_calls=calls)


@asynccontextmanager
async def worker(life: Incarnation, model: Model, **options: Any) -> AsyncIterator[StepLoop]:
    """A loop that claims, until the block is left; then its work is dropped as a kill would drop it."""
    world = World("anthropic")
    world.others["anthropic"] = model
    options = {"slots": 64, "poll_seconds": 0.02, **options}
    steps = StepLoop(
        world.gateway, lambda run_id, *, ended=False: None, StepEvents(Celery(), "test", False), **options
    )
    claiming = asyncio.create_task(steps.claim_forever(life))
    try:
        yield steps
    finally:
        jobs = [claiming, *steps._jobs]
        for job in jobs:
            job.cancel()
        for job in jobs:
            with suppress(asyncio.CancelledError):
                await job
        await world.gateway.aclose()


async def ended(engine: EngineWorld, *runs: Run) -> None:
    """Wait until the runs have ended."""
    ids = [run.pk for run in runs]

    async def all_ended() -> bool:
        async with engine.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT count(*) FROM tasks_run WHERE id = ANY(%s) AND finished_at IS NOT NULL", (ids,)
            )
            row = await cursor.fetchone()
        return bool(row and row[0] == len(ids))

    await until(all_ended, "the runs end", 20)
