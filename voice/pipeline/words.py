"""What can be told from the words alone: the same thing said twice, a mere "mm-hm", a thought not finished."""

import re
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Signs of listening. A phrase made of nothing else is no attempt to take the floor.
_BACKCHANNELS: Final = word_set(
    """
    mm mhm mmhm mm-hm mm-hmm mmhmm hm hmm hmmm uh-huh uhuh aha ah oh eh uh um erm er huh ok okay okey yeah yep
    yup yes right sure cool great good alright ja jaja genau gut ach so oui ouais d'accord bien sí si vale claro
    ya sì certo sim tá hoor oké
    """
)
_LISTENING_PHRASES: Final = frozenset({"i see", "oh i see", "got it", "go on", "all right", "va bene"})

# A text that ends in one of these goes on. Words that may also close a sentence ("turn it on") are left out.
_OPEN_ENDS: Final = {
    "en": word_set(
        """
        and or but because if when while which whose than the a an my your his her its our their these those to
        of for from with without at into between is are was were am be can could would should will shall may
        might must do does did have has had i'm i'd i'll i've we they he she i um uh erm er hmm
        """
    ),
    "de": word_set(
        """
        und oder aber weil wenn dass ob der die das den dem des ein eine einen einem einer mein meine meinen
        dein ihr ihre von zum zur für bei im am ich wir äh ähm ist sind habe
        """
    ),
    "fr": word_set(
        "et ou mais parce que si quand le la les un une des mon ma mes votre avec de du pour à dans je nous euh"
    ),
    "es": word_set("y o pero porque si cuando el la los las un una mi su con de del para en yo eh es"),
    "it": word_set("e ma perché se quando il lo gli la un una mio mia con di del per io è"),
    "pt": word_set("e ou mas porque se quando o a os as um uma meu minha com de do da para em eu é"),
    "nl": word_set("en of maar omdat als de het een mijn met van voor bij ik wij is eh"),
}
_HESITATIONS: Final = word_set("um uh erm er hmm äh ähm euh and but because")
_SHORT_ANSWERS: Final = word_set("yes no what who where how why")
_VERBS: Final = word_set("is are was were do does did can could would will have has had")


def words(text: str) -> list[str]:
    """Return the words in small letters, without signs."""
    return [word.replace("’", "'") for word in _WORD.findall(text.casefold())]


def same(one: str, other: str) -> bool:
    """Tell whether two transcripts say the same, whatever their signs and capitals."""
    return words(one) == words(other)


def is_backchannel(text: str) -> bool:
    """Tell whether somebody only shows that they listen ("mm-hm", "yeah, okay"). Nothing said is none."""
    said = words(text)
    return bool(said) and (
        " ".join(said) in _LISTENING_PHRASES or all(word in _BACKCHANNELS for word in said)
    )


def is_mid_thought(text: str, language: str = "en") -> bool:
    """Tell whether a transcript stops where nobody stops ("my number is", "I would like to", "one, two,")."""
    bare = text.rstrip()
    if bare.endswith((",", "-", "–", "…", "...", ":")):
        return True
    if bare.endswith(("!", "?")):
        return False
    # A full stop tells nothing: recognisers put one after whatever they have.
    said = words(bare)
    if len(said) < 2:
        # A single word is an answer more often than a beginning ("no", "so"), but for plain hesitation.
        return bool(said) and said[0] in _HESITATIONS
    last, before = said[-1], said[-2]
    if last in _VERBS and (said[0] in _SHORT_ANSWERS or before in {"it", "they", "i", "we", "you"}):
        return False  # "yes it is", "what time it is", "I think they are"
    return last in _OPEN_ENDS.get(language.split("-")[0].casefold(), frozenset())


def is_echo(text: str, spoken: str) -> bool:
    """Tell whether a transcript is the agent's own words come back: two or more that stand so in `spoken`."""
    said = words(text)
    if len(said) < 2:
        return False
    return f" {' '.join(said)} " in f" {' '.join(words(spoken))} "


def whole_words(text: str, heard: int) -> str:
    """Return the beginning of `text` that was heard, `heard` characters of it, cut at a word.

    A word of which more than half was heard counts.
    """
    if heard >= len(text):
        return text
    if heard <= 0:
        return ""
    for match in re.finditer(r"\S+", text):
        if match.start() >= heard:
            return text[: match.start()].rstrip()
        if match.end() > heard:
            half = (match.start() + match.end()) / 2
            return text[: match.end() if heard > half else match.start()].rstrip()
    return text
