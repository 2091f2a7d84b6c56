"""What a call's config names, made and exchanged when it changes: the text stages, the voice, the recogniser."""

import asyncio
from typing import Final

from agents.providers.errors import ProviderError
from voice.connectors.base import Speaker
from voice.connectors.types import SpeechUse

from .hearing import Hearing
from .router import Router
from .setting import Setting

_SPEECH: Final = ("stt", "tts")


class Services:
    def __init__(self, setting: Setting, hearing: Hearing) -> None:
        self._setting = setting
        self._hearing = hearing
        self._config = setting.config()
        self._router = Router(self._config, setting.stages(self._config))
        self._routed = self._config.version
        self.speaker = setting.speaker(self._config)
        self.voice = self._usual_voice()  # the service that spoke last; at first the one that is asked first
        self._used: list[SpeechUse] = []  # by voices that were exchanged
        self._retired: list[Speaker] = []  # not closed yet
        self._renewing: asyncio.Task[None] | None = None

    def router(self) -> Router:
        """The stages of the config as it is now."""
        config = self._setting.config()
        if config.version != self._routed:
            self._router = Router(config, self._setting.stages(config))
            self._routed = config.version
        return self._router

    async def renew(self) -> None:
        """Take on a config that was changed since the last turn. Cancelling leaves nothing half done."""
        if self._setting.config().version != self._config.version:
            self._renewing = self._setting.tasks.spawn(self._renew(), "renew")
        if self._renewing is not None:
            await asyncio.wait({self._renewing})

    async def _renew(self) -> None:
        setting, old = self._setting, self._config
        config = self._config = setting.config()
        changed = [name for name in _SPEECH if old.connectors.get(name) != config.connectors.get(name)]
        if old.language != config.language:
            changed = [*_SPEECH]
        if "tts" in changed:
            spent, self.speaker = self.speaker, setting.speaker(config)
            self.voice = self._usual_voice()
            self._used.extend(spent.use())
            self._retired.append(spent)
            setting.tasks.spawn(self._close(spent), "retired voice")
        if "stt" in changed:
            try:
                await self._hearing.open(config)
            except ProviderError as error:  # the old one goes on
                setting.log.event("error", {"stage": "stt", "message": str(error)})
        changes = {"version": config.version, "from": old.version}
        setting.log.event("config.changed", {**changes, **(self.serving() if changed else {})})

    def serving(self) -> dict[str, list[str]]:
        """Who is asked to recognise and to speak, in order: of those that the config names, who has a key."""
        return {"stt": list(self._hearing.connectors), "tts": list(self.speaker.connectors)}

    def _usual_voice(self) -> str:
        return next(iter(self.speaker.connectors), "")

    async def _close(self, speaker: Speaker) -> None:
        await speaker.aclose()
        self._retired.remove(speaker)

    def use(self) -> tuple[SpeechUse, ...]:
        return (*self._used, *self.speaker.use())

    async def warm(self) -> None:
        """Open what the next clause would have to wait for."""
        await self.speaker.warm()

    async def aclose(self) -> None:
        await asyncio.gather(*(speaker.aclose() for speaker in (*self._retired, self.speaker)))
