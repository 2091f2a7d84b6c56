"""Words that were heard twice: by a service that was lost, and by the one that heard the turn again."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher


def plain(text: str) -> list[str]:
    """Return the words of a text as they sound: without case and punctuation."""
    return [word for item in text.lower().split() if (word := re.sub(r"[^\w']+", "", item))]


def unsaid(said: Sequence[str], text: str) -> str:
    """Return what is left of a text after the words that were said already (`plain`), which it begins with,
    perhaps heard a little differently."""
    words = text.split()
    if not said or not words:
        return text
    again = [re.sub(r"[^\w']+", "", word.lower()) for word in words]
    blocks = SequenceMatcher(None, list(said), again, autojunk=False).get_matching_blocks()
    matched = [block for block in blocks if block.size]
    if not matched:
        return text  # nothing alike: rather twice than never
    last = matched[-1]
    cut = last.b + last.size + (len(said) - last.a - last.size)
    return " ".join(words[cut:])
