"""The text stages on the way in and on the way out, as the session's flow has them."""

from collections.abc import Mapping, Sequence

from voice.config import SessionConfig

from .ports import TextStage


class Router:
    """Made for one version of a config. Raises `KeyError` for a stage that nobody does: configs are checked
    before they come here."""

    def __init__(self, config: SessionConfig, stages: Mapping[str, TextStage]) -> None:
        self._inward = [stages[name] for name in config.path("stt", "llm")]
        self._outward = [stages[name] for name in config.path("llm", "tts")]

    async def inward(self, text: str) -> str:
        """What the agent is asked when the caller said `text`."""
        return await _through(self._inward, text)

    async def outward(self, text: str) -> str:
        """What is spoken when the agent wrote `text`, a clause."""
        return await _through(self._outward, text)


async def _through(stages: Sequence[TextStage], text: str) -> str:
    for stage in stages:
        if not text.strip():
            break
        text = await stage.transform(text)
    return text
