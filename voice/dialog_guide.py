"""Leads a call by a run of its config's workflow: the run's prompts are read, answered, and written in the call's log.

The questions to the database are asked by threads of their own. While it is away for a moment they are asked again;
an answer that was taken already is not given twice.
"""

import asyncio
import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog
from django.db import Error, connection, transaction

from networks.models import Network, Project
from tasks import dialogs
from tasks.dialogs import CallerSaid, DialogState, NotAwaited
from tasks.notifier import get_notifier
from voice.agent_tools import destinations
from voice.config import DialogSettings, SessionConfig
from voice.models import PhoneCall
from voice.pipeline.guide import Ask, Busy, Choice, GuideLost, HandOver, Lead, Outcome, Over, Prompt, Say
from voice.pipeline.ports import CallLog
from voice.slots import CallRecord
from web.problems import Problem

log = structlog.get_logger(__name__)
T = TypeVar("T")

THREADS: Final = 4
PATIENCE: Final = (0.1, 0.3, 1.0, 2.0, 3.0)  # seconds between tries while the database is away
LEFT: Final = "caller_left"
_SPARE_SECONDS: Final = 60.0  # of a run beyond the longest call: a bound for runs whose process is lost
_WATCH_SECONDS: Final = 30.0

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="dialog")


@dataclass(frozen=True, slots=True)
class _Ref:
    step_id: str
    fence: int


class RunGuide:
    """A `voice.pipeline.guide.Guide` of one call."""

    def __init__(
        self, record: CallRecord, config: SessionConfig, dialog: DialogSettings, log: CallLog
    ) -> None:
        self._record = record
        self._dialog = dialog
        self._log = log
        self._places = destinations(config)
        self._language = config.language
        self._seconds = config.turn.max_call_seconds + _SPARE_SECONDS
        self._starting: asyncio.Future[DialogState] | None = None
        self._run_id = ""
        self._seq = 0  # of the run's events that are in the call's log
        self._over = False
        self._free = False  # the run goes on without the caller
        self._last: tuple[Prompt, Outcome] | None = None
        self._news = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.person = next(iter(self._places.values()), "")

    async def begin(self) -> Lead:
        self._starting = asyncio.ensure_future(_ask(self._start))
        try:
            state = await asyncio.shield(self._starting)
        except Problem as problem:
            return Over(problem.code, str(problem))
        except Error as error:
            raise GuideLost(f"the workflow cannot be started: {error}") from error
        self._run_id = state.run_id
        started = {"run_id": state.run_id, "workflow_id": self._dialog.workflow_id}
        self._log.event("dialog.started", started)
        self._watching = asyncio.create_task(self._watch(), name=f"dialog of {self._record.id}")
        return self._lead(state)

    async def answer(self, prompt: Prompt, outcome: Outcome) -> Lead:
        began = time.monotonic()
        lead = self._lead(await self._patiently(functools.partial(self._answer, prompt, outcome)))
        self._log.measure("dialog_answer_ms", (time.monotonic() - began) * 1000)
        return lead

    async def withdrawn(self, prompt: Prompt) -> Lead:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                state = await _ask(self._look)
            except Error as error:
                log.warning("a dialog's run cannot be read", error=str(error)[:200])
                continue
            awaited = state.prompt is not None and _Ref(state.prompt.step_id, state.prompt.fence)
            if state.over or awaited != prompt.ref:
                return self._lead(state)
            self._note(state)

    async def moved(self) -> Lead:
        while True:
            self._news.clear()
            lead = self._lead(await self._patiently(self._look))
            if not isinstance(lead, Busy):
                return lead
            await self._news.wait()

    def let_go(self) -> None:
        self._free = True

    def gone(self, prompt: Prompt, outcome: Outcome) -> None:
        self._free, self._last = True, (prompt, outcome)

    async def aclose(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if self._starting is not None and not self._run_id:
            self._run_id = (await asyncio.shield(self._starting)).run_id
        if not self._run_id or self._over:
            return
        if self._last is not None:
            state = await _ask(functools.partial(self._answer, *self._last))
        elif self._free:
            state = await _ask(self._look)
        else:
            state = await _ask(
                functools.partial(dialogs.leave, run_id=self._run_id, reason=LEFT, after=self._seq)
            )
        self._note(state)

    # ---- the run --------------------------------------------------------------------------------

    def _lead(self, state: DialogState) -> Lead:
        self._note(state)
        if state.over:
            return Over(
                state.error_code or (state.state if state.state != "succeeded" else ""), state.error_detail
            )
        return Busy() if state.prompt is None else self._prompt(state.prompt)

    def _note(self, state: DialogState) -> None:
        """Put down in the call's log what is new in the run's."""
        for event in state.events:
            if event.seq > self._seq:
                self._seq = event.seq
                self._log.event(event.type, {**event.payload, "run_id": state.run_id, "run_seq": event.seq})
        self._over = state.over

    def _prompt(self, prompt: dialogs.Prompt) -> Prompt:
        body, ref = prompt.body, _Ref(prompt.step_id, prompt.fence)
        match prompt.kind:
            case "say":
                return Say(ref, body["text"], body["interruptible"])
            case "ask":
                return Ask(
                    ref,
                    body["text"],
                    expects=body["expects"],
                    choices=tuple(
                        Choice(choice["value"], tuple(choice.get("phrases", ())), choice.get("keys", ""))
                        for choice in body["choices"]
                    ),
                    max_digits=body["max_digits"],
                    wait_ms=body["wait_seconds"] * 1000,
                    attempts=body["attempts"],
                    no_match=body["no_match"],
                    no_input=body["no_input"],
                    interruptible=body["interruptible"],
                )
        target = self._places.get(body["target"], body["target"])
        return HandOver(ref, body["to"], body["text"], target, body["mode"], _brief(body))

    async def _watch(self) -> None:
        """Notice that the run moves; when nobody leads the caller any more, put down what it does."""
        async with get_notifier().watch(self._run_id, every_step=True) as watch:
            while not self._over:
                if not await watch.changed(_WATCH_SECONDS):
                    continue
                self._news.set()
                if self._free and self._last is None:
                    try:
                        self._note(await _ask(self._look))
                    except Error as error:
                        log.warning("a dialog's run cannot be read", error=str(error)[:200])

    async def _patiently(self, question: Callable[[], DialogState]) -> DialogState:
        for seconds in (*PATIENCE, None):
            try:
                return await _ask(question)
            except Error as error:
                if seconds is None:
                    raise GuideLost(f"the dialog's run cannot be read: {error}") from error
                await asyncio.sleep(seconds)
        raise AssertionError("it returns or raises")

    # ---- in a thread ----------------------------------------------------------------------------

    def _start(self) -> DialogState:
        record = self._record
        with transaction.atomic():
            state = dialogs.start(
                project=Project.objects.get(pk=record.project_id),
                workflow_id=self._dialog.workflow_id,
                network=Network.objects.filter(pk=record.network_id).first(),
                input={
                    **self._dialog.input,
                    "call_id": record.id,
                    "from": record.from_number,
                    "to": record.to_number,
                    "direction": record.direction,
                    "language": self._language,
                },
                timeout_seconds=self._seconds,
                request_id=record.request_id,
            )
            PhoneCall.objects.filter(pk=record.id).update(run_id=state.run_id)
        return state

    def _answer(self, prompt: Prompt, outcome: Outcome) -> DialogState:
        ref: _Ref = prompt.ref
        said = CallerSaid(ref.step_id, ref.fence, outcome.output, outcome.error, outcome.detail)
        try:
            return dialogs.answer(run_id=self._run_id, said=said, after=self._seq)
        except NotAwaited:  # the run went on without it, or the answer's commit was not heard of
            return self._look()

    def _look(self) -> DialogState:
        return dialogs.look(run_id=self._run_id, after=self._seq)


def _brief(body: Any) -> str:
    """What whoever takes over is told: the node's own words, and what the run has written down."""
    known = "; ".join(f"{name}: {value}" for name, value in body["context"].items())
    return " ".join(part for part in (body["brief"], f"Known so far: {known}." if known else "") if part)


async def _ask(question: Callable[[], T]) -> T:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, _within, question)


def _within(question: Callable[[], T]) -> T:
    try:
        return question()
    finally:
        if not connection.in_atomic_block:  # a test's transaction
            connection.close()
