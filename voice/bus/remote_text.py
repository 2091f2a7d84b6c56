"""Text stages that live outside: a run of them is one way through, from stage to stage, without us."""

from collections.abc import Iterator, Mapping

from voice.pipeline.ports import TextStage

from .dispatch import StageAway
from .outside import Outside
from .subjects import CORE


class RemoteStages(Mapping[str, TextStage]):
    """A call's text stages; `own` are those of this process, for what is not outside and for when it is away."""

    def __init__(self, own: Mapping[str, TextStage], outside: Outside) -> None:
        self._own = own
        self._outside = outside

    def __getitem__(self, service: str) -> TextStage:
        own, outside = self._own[service], self._outside
        if not outside.has(service):
            return own
        to_agent = service in outside.run_to("llm") and outside.has("llm")
        if to_agent or outside.follows_outside(service):
            return _HandedOn(service)
        return RemoteText(service, self._own, outside)

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


class _HandedOn:
    """A stage that another one hands on to: its work is done by then, or done with the next one's."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def transform(self, text: str) -> str:
        return text


class RemoteText:
    """A run of text stages outside, by the name of the first."""

    def __init__(self, name: str, own: Mapping[str, TextStage], outside: Outside) -> None:
        self.name = name
        self._own = own
        self._outside = outside

    async def transform(self, text: str) -> str:
        outside, at = self._outside, self.name
        outside.drop_spoken()
        if not text.strip():
            return text
        try:
            work = outside.start(at, {"text": text})
        except StageAway as error:
            return await self._here(text, at, error)
        kept = False
        try:
            while True:
                message = await work.next()
                if message.type not in ("routed", "done"):
                    continue
                text = str(message.fields["text"])
                if message.type == "done":
                    return text
                at = str(message.fields["to"])
                if at in CORE:  # the voice has it already
                    outside.spoken = (text.strip(), work)
                    kept = True
                    return text
        except StageAway as error:
            return await self._here(text, at, error)
        finally:
            if not kept:
                work.close()

    async def _here(self, text: str, at: str, error: StageAway) -> str:
        """Do what is left of the run in this process."""
        self._outside.away(error, "in process")
        for service in self._outside.run_from(at):
            text = await self._own[service].transform(text)
        return text
