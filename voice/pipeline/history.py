"""What has been said in a call, as the parties know it: the agent's lines are what the caller heard."""

from typing import Final, Literal

from .ports import Utterance

KEPT: Final = 40  # lines; a longer call forgets its beginning


class Line:
    """One line; its text may still change (a stage translates it, the caller interrupts it)."""

    __slots__ = ("utterance",)

    def __init__(self, utterance: Utterance) -> None:
        self.utterance = utterance

    def say(self, text: str) -> None:
        """It was this that was said."""
        if text != self.utterance.text:
            self.utterance = Utterance(self.utterance.role, text)


class History:
    def __init__(self) -> None:
        self._lines: list[Line] = []

    def add(self, role: Literal["caller", "agent", "note"], text: str) -> Line:
        line = Line(Utterance(role, text))
        self._lines.append(line)
        del self._lines[:-KEPT]
        return line

    def utterances(self) -> tuple[Utterance, ...]:
        """Return what an answer is given with. Lines of which nothing was heard are not said."""
        return tuple(line.utterance for line in self._lines if line.utterance.text.strip())
