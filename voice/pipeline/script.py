"""Leads a caller through a dialog: says, asks, hears the answer, until the agent or a person takes over.

One coroutine does it, prompt by prompt. The conversation tells it what the caller says, keys and interrupts; the guide
says what is next.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from voice.config import DialogSettings

from .actions import transfer
from .answers import understood
from .ending import Ending
from .exchanges import Exchanges
from .filler import Filler
from .floor import NOISES, Floor, Heard
from .guide import Ask, Busy, Guide, GuideLost, HandOver, Lead, Outcome, Over, Say
from .phrases import phrases
from .setting import Setting

_TAKE_OVER: Final = (
    "The caller has just been handed over to you. Greet them shortly and ask how you can help."
)
_BROKEN: Final = "The dialog with this caller broke off by an error of ours. Ask them how you can help."


class Script:
    """Without a guide it does nothing. It leads as long as `floor.led` says so."""

    def __init__(self, setting: Setting, exchanges: Exchanges, ending: Ending, floor: Floor) -> None:
        self._setting = setting
        self._exchanges = exchanges
        self._ending = ending
        self._floor = floor
        self._opened = asyncio.Event()
        self._filler = Filler()
        self._settings = setting.config().dialog or DialogSettings("")  # those the call began with

    def start(self) -> None:
        if self._setting.guide is not None:
            self._setting.tasks.spawn(self._run(self._setting.guide), "script")

    def open(self) -> None:
        """The call's own beginning is over."""
        self._opened.set()

    # ---- the dialog -----------------------------------------------------------------------------

    async def _run(self, guide: Guide) -> None:
        await self._opened.wait()
        try:
            lead = await guide.begin()
            while self._floor.led:
                lead = await self._follow(guide, lead)
        except GuideLost as error:
            self._setting.log.event("error", {"stage": "dialog", "message": str(error)})
            await self._over(guide, Over("unavailable", str(error)))

    async def _follow(self, guide: Guide, lead: Lead) -> Lead:
        match lead:
            case Say():
                return await self._do(guide, lead, self._do_say(lead))
            case Ask():
                return await self._do(guide, lead, self._do_ask(lead))
            case HandOver(to="agent"):
                return await self._to_agent(guide, lead)
            case HandOver():
                return await self._to_person(guide, lead)
            case Busy():
                return await self._wait(guide)
            case Over():
                await self._over(guide, lead)
        return lead

    async def _do(self, guide: Guide, prompt: Say | Ask, doing: Coroutine[Any, Any, Outcome]) -> Lead:
        """Do what a prompt says, and tell what came of it, unless the dialog goes on without that."""
        done = asyncio.ensure_future(doing)
        elsewhere = asyncio.ensure_future(guide.withdrawn(prompt))
        try:
            await asyncio.wait({done, elsewhere}, return_when=asyncio.FIRST_COMPLETED)
            if done.done():
                elsewhere.cancel()
                return await guide.answer(prompt, done.result())
            done.cancel()
            await asyncio.wait({done})
            self._floor.hush()
            return elsewhere.result()
        finally:
            done.cancel()
            elsewhere.cancel()

    async def _do_say(self, say: Say) -> Outcome:
        turn, cut = await self._floor.say(say.text, fixed=not say.interruptible)
        return Outcome({"heard": self._floor.heard_text, "interrupted": turn.interrupted and not cut})

    async def _do_ask(self, ask: Ask) -> Outcome:
        await self._floor.free()
        early, self._floor.early = self._floor.early, None
        counts = early is not None and (ask.choices or early.kind == "keys")
        if early is not None and counts and (answer := _understood(ask, early)) is not None:
            return Outcome({**answer, "matched": True, "attempts": 0})
        own = phrases(self._setting.config().language)
        text, attempt, noises = ask.text, 1, 0
        while True:
            heard = await self._floor.ask(ask, text)
            if heard.kind == "noise" and noises < NOISES:
                noises += 1
                continue
            if (answer := _understood(ask, heard)) is not None:
                return Outcome({**answer, "matched": True, "attempts": attempt})
            if attempt >= ask.attempts:
                last = {"text": heard.text if heard.kind == "speech" else "", "choice": None}
                keyed = heard.text if heard.kind == "keys" else ""
                return Outcome({**last, "digits": keyed, "matched": False, "attempts": attempt})
            attempt += 1
            before = ask.no_input if heard.kind in ("silence", "noise") else ask.no_match or own.pardon
            text = f"{before} {ask.text}".strip()

    async def _to_agent(self, guide: Guide, over: HandOver) -> Lead:
        if over.text:
            await self._floor.say(over.text)
        lead = await guide.answer(over, Outcome({"to": "agent"}))
        await self._floor.rest()
        self._give_up(over.brief)
        if self._floor.said:
            self._exchanges.answer(self._floor.said, self._setting.now())
        elif not over.text:
            self._exchanges.answer(_TAKE_OVER, self._setting.now(), note=True)
        return lead

    async def _to_person(self, guide: Guide, over: HandOver) -> Lead:
        turn = 0
        if over.text:
            turn = (await self._floor.say(over.text))[0].number
        why = await transfer(self._setting, turn, over.target, over.mode, over.brief)
        output = {"to": "person", "target": over.target}
        if why:
            return await guide.answer(over, Outcome(output, "transfer_failed", why))
        self._floor.led = False
        guide.gone(over, Outcome(output))
        self._setting.end("transferred")
        return Over()

    async def _wait(self, guide: Guide) -> Lead:
        """Wait for somebody who works, with a word now and then."""
        setting = self._setting
        settings = setting.config().turn
        self._filler.begin(setting.now(), settings.filler, settings.filler_after_ms)
        moved = asyncio.ensure_future(guide.moved())
        try:
            while not moved.done():
                due = self._filler.due_in(setting.now(), setting.playout.queued_ms)
                await asyncio.wait({moved}, timeout=None if due is None else due / 1000)
                if moved.done():
                    break
                if self._floor.engaged:
                    self._filler.later(setting.now())
                else:
                    self._exchanges.say(self._filler.take(setting.now()))
            return moved.result()
        finally:
            moved.cancel()

    async def _over(self, guide: Guide, over: Over) -> None:
        """The dialog has ended without giving the caller to anybody."""
        config, settings = self._setting.config(), self._settings
        own = phrases(config.language)
        await self._floor.rest()
        if not over.error:
            if settings.at_end == "agent":
                self._give_up("")
                if self._floor.said:
                    self._exchanges.answer(self._floor.said, self._setting.now())
            elif config.turn.goodbye:
                self._ending.farewell("dialog_ended", config.turn.goodbye)
            else:
                self._setting.end("dialog_ended")
            self._floor.led = False
            return
        if settings.on_failure == "hang_up":
            self._ending.farewell("failed", own.trouble)
        elif settings.on_failure == "person":
            turn, _ = await self._floor.say(own.broken)
            if not await transfer(self._setting, turn.number, guide.person, "cold", over.detail):
                self._setting.end("transferred")
            else:
                self._ending.farewell("failed", own.trouble)
        else:
            await self._floor.say(own.broken)
            self._give_up("")
            self._exchanges.answer(_BROKEN, self._setting.now(), note=True)
        self._floor.led = False

    def _give_up(self, brief: str) -> None:
        """From now on the agent talks to the caller. It knows what was said, and this."""
        guide = self._setting.guide
        assert guide is not None
        if brief:
            self._exchanges.history.add("note", brief)
        self._floor.led = False
        guide.let_go()


def _understood(ask: Ask, heard: Heard) -> dict[str, object] | None:
    match heard.kind:
        case "speech":
            return understood(ask, text=heard.text)
        case "keys":
            return understood(ask, digits=heard.text)
    return None
