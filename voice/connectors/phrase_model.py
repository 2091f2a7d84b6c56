"""A grammar and a language model made of a list of phrases, as text that recognisers read. Pure.

Both hear only words of the list. They go wrong in different ways on speech that is not from it, so what both
hear alike was very likely said (`local_stt`).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from .overlap import plain

BEGIN: Final = "<s>"
END: Final = "</s>"
# Of each count, kept for what the list does not have. On recordings of a telephone system's prompts, 0.2 with
# a weight of 10 (local_stt) heard 9 of 10 phrases and 2 of 120 others; the grammar alone took 98 of those 129.
_DISCOUNT: Final = 0.2
_NEVER: Final = -99.0

Gram = tuple[str, ...]


def sentences(phrases: Sequence[str]) -> list[list[str]]:
    """Return the phrases as words, each phrase once, without those that have none."""
    unique = dict.fromkeys(tuple(plain(phrase)) for phrase in phrases)
    return [list(words) for words in unique if words]


def grammar(said: Sequence[Sequence[str]]) -> str:
    """Return a JSGF grammar of exactly these sentences."""
    options = " | ".join(" ".join(words) for words in said)
    return f"#JSGF V1.0;\ngrammar phrases;\npublic <phrase> = {options};\n"


def language_model(said: Sequence[Sequence[str]]) -> str:
    """Return a back-off model of up to three words in a row, in ARPA's format."""
    counts: list[Counter[Gram]] = [Counter(), Counter(), Counter()]
    for words in said:
        line = [BEGIN, *words, END]
        for order in (1, 2, 3):
            for at in range(len(line) - order + 1):
                counts[order - 1][tuple(line[at : at + order])] += 1
    total = sum(count for gram, count in counts[0].items() if gram != (BEGIN,))
    probability: dict[Gram, float] = {
        gram: count / total for gram, count in counts[0].items() if gram != (BEGIN,)
    }
    for order in (2, 3):
        for gram, count in counts[order - 1].items():
            probability[gram] = count * (1 - _DISCOUNT) / counts[order - 2][gram[:-1]]
    back_off = _back_off(counts, probability)
    lines = ["\\data\\", *(f"ngram {order}={len(counts[order - 1])}" for order in (1, 2, 3))]
    for order in (1, 2, 3):
        lines += ["", f"\\{order}-grams:"]
        for gram in sorted(counts[order - 1]):
            value = _log(probability.get(gram, 0.0))
            weight = f" {back_off.get(gram, 0.0):.4f}" if order < 3 else ""
            lines.append(f"{value:.4f} {' '.join(gram)}{weight}")
    return "\n".join([*lines, "", "\\end\\", ""])


def _back_off(counts: Sequence[Counter[Gram]], probability: dict[Gram, float]) -> dict[Gram, float]:
    """Return the logarithms of the weights that give what was kept to the shorter contexts."""
    followers: dict[Gram, list[Gram]] = defaultdict(list)
    for order in (2, 3):
        for gram in counts[order - 1]:
            followers[gram[:-1]].append(gram)
    weights: dict[Gram, float] = {}
    for context, grams in followers.items():
        shorter = sum(probability.get(gram[1:], 0.0) for gram in grams)
        weights[context] = _log(_DISCOUNT / max(1.0 - shorter, 0.01))
    return weights


def _log(value: float) -> float:
    return math.log10(value) if value > 0 else _NEVER
