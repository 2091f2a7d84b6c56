"""What the request's data blocks say about the work to do, and words to say it with."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NOTICE = "Rehearsal: no model was called; this text was put together from the task's own words."
_SYNONYMS = {
    "product": ("product", "product_name", "service", "offer", "brand", "company", "topic", "subject"),
    "audience": ("audience", "target_audience", "target", "customers", "segment", "readers"),
    "tone": ("tone", "voice", "style"),
    "goal": ("goal", "goals", "objective", "kpi", "purpose"),
}


@dataclass(frozen=True, slots=True)
class Brief:
    """A task as a writer would note it. `facts` are its context's plain values by name, in order."""

    description: str
    facts: Mapping[str, str]
    network: str
    agents: Sequence[Mapping[str, Any]]
    results: Sequence[Mapping[str, Any]]
    memory: Sequence[Mapping[str, Any]]
    subtask: Mapping[str, Any]

    @classmethod
    def of(cls, blocks: Mapping[str, Any]) -> "Brief":
        """Read the blocks; what is missing or of another shape counts as empty."""
        task, network = _mapping(blocks.get("task")), _mapping(blocks.get("network"))
        facts = {str(key): _plain(value) for key, value in _mapping(task.get("context")).items()}
        return cls(
            description=str(task.get("description") or "").strip(),
            facts={key: value for key, value in facts.items() if value},
            network=str(network.get("name") or ""),
            agents=_mappings(blocks.get("agents")),
            results=_mappings(blocks.get("results")),
            memory=_mappings(blocks.get("memory")),
            subtask=_mapping(blocks.get("subtask")),
        )

    @property
    def product(self) -> str:
        return self._fact("product") or "the offer"

    @property
    def audience(self) -> str:
        return self._fact("audience") or "the audience"

    @property
    def tone(self) -> str:
        return self._fact("tone") or "clear and friendly"

    @property
    def goal(self) -> str:
        return self._fact("goal") or self.description or "the task"

    @property
    def details(self) -> str:
        """The facts that have no place of their own in a draft, as sentences."""
        placed = {name for names in _SYNONYMS.values() for name in names}
        rest = {key: value for key, value in self.facts.items() if key.lower() not in placed}
        return " ".join(f"{key.replace('_', ' ').capitalize()}: {value}." for key, value in rest.items())

    def say(self, name: str) -> str:
        """Return a sentence or value for a field called `name`: the fact of that name if there is one."""
        key = name.lower()
        for wanted, names in _SYNONYMS.items():
            if key in names and (fact := self._fact(wanted)):
                return fact
        if key in self.facts:
            return self.facts[key]
        about = self.description or "this request"
        return f"{name.replace('_', ' ').strip().capitalize() or 'Text'} for: {about} ({NOTICE})"

    def _fact(self, wanted: str) -> str:
        names = _SYNONYMS[wanted]
        return next((value for key, value in self.facts.items() if key.lower() in names), "")


def words(*texts: object) -> set[str]:
    """Return the words of texts, lower-case, without the ones that say nothing."""
    found = re.findall(r"[^\W_]+", " ".join(map(str, texts)).lower())
    return {word for word in found if len(word) > 2 and word not in _EMPTY}


def alike(one: str, other: str) -> bool:
    """Tell whether two words share a stem: one begins the other, or their first six letters are the same."""
    short, long = sorted((one, other), key=len)
    return one == other or (len(short) > 3 and long.startswith(short[:6]))


_EMPTY = frozenset(
    """the and for with that this from our your its are was has have will can any all new agent specialist
    general assistant please want need make create write give about into than then them they what who
    """.split()  # noqa: SIM905, a list of forty quoted words is no easier to read
)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _plain(value: object) -> str:
    """Return a context value in words; nested objects are left out."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value).strip()
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(map(str, value))
    return ""
