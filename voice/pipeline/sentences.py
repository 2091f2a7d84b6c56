"""Cuts a growing text into clauses that can be spoken: the first early, then sentence by sentence."""

from typing import Final

_ENDS: Final = ".!?…"
_WIDE_ENDS: Final = "。！？"  # nothing need follow these
_PAUSES: Final = ",;:—–"
_CLOSERS: Final = "\"')]}”’»*_"
_ABBREVIATIONS: Final = frozenset(
    {
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "sr",
        "jr",
        "st",
        "mt",
        "vs",
        "etc",
        "inc",
        "ltd",
        "co",
        "corp",
        "no",
        "nr",
    }
    | {"approx", "dept", "est", "fig", "ext", "tel", "min", "max", "e.g", "i.e", "a.m", "p.m", "u.s", "u.k"}
    | {"jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"}
    | {"z.b", "bzw", "ca", "hr", "fr"}
)


class ClauseSplitter:
    """One answer's. The clauses, joined, are the text exactly: white space stays at the end of a clause."""

    def __init__(self, first_min: int = 12, sentence_min: int = 24, longest: int = 240) -> None:
        """`first_min`: characters after which the first clause may end at a comma; `sentence_min`: a later
        sentence that is shorter goes out with the next one; `longest`: cut at white space when no sign comes.
        """
        self._first_min = first_min
        self._sentence_min = sentence_min
        self._longest = longest
        self._text = ""
        self._seen = 0  # up to here no clause ends
        self._first = True

    def push(self, text: str) -> list[str]:
        """Take more text and return the clauses that are complete."""
        self._text += text
        clauses = []
        while end := self._end():
            clauses.append(self._text[:end])
            self._text = self._text[end:]
            self._seen = 0
            self._first = False
        return clauses

    def flush(self) -> list[str]:
        """The text is over: return what is left."""
        rest, self._text, self._seen, self._first = self._text, "", 0, True
        return [rest] if rest.strip() else []

    def _end(self) -> int:
        """Where the first clause of the held text ends; 0 while none does. A sign counts when white space
        is behind it: until then it may be the point of a number or of an address."""
        text = self._text
        for at in range(self._seen, len(text) - 1):
            if text[at] in _WIDE_ENDS or (text[at + 1].isspace() and not text[at].isspace()):
                end = _past_space(text, at + 1)
                if self._ends(text[: at + 1], text[at + 1 : end]):
                    return end
        self._seen = max(0, len(text) - 1)
        if len(text) > self._longest:
            pause = max(text.rfind(sign + " ", 0, self._longest) for sign in _PAUSES) + 2
            space = text.rfind(" ", 0, self._longest) + 1
            return pause if pause > self._longest // 3 else space
        return 0

    def _ends(self, clause: str, gap: str) -> bool:
        said = clause.strip()
        body = said.rstrip(_CLOSERS)
        if not any(letter.isalnum() for letter in body):
            return False
        long_enough = self._first or len(said) >= self._sentence_min
        if "\n" in gap or body[-1] in _WIDE_ENDS:
            return long_enough
        if body[-1] in _ENDS:
            return long_enough and not _abbreviates(body)
        return self._first and body[-1] in _PAUSES and len(said) >= self._first_min


def _past_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _abbreviates(clause: str) -> bool:
    """Whether its last point belongs to a word: `Dr.`, `e.g.`, an initial, the number of a list's item."""
    if not clause.endswith(".") or clause.endswith(".."):
        return False
    words = clause.split()
    word = words[-1].lstrip("([\"'“‘").rstrip(".")
    if word.lower() in _ABBREVIATIONS or (len(word) == 1 and word.isalpha() and word != "I"):
        return True
    return word.isdigit() and len(words) == 1
