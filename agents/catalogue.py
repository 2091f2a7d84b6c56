"""The model catalogue as a value: built from the seed file or from database rows, asked by names and aliases.

Pure: the table that feeds it lives in `agents.models`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from agents.providers.types import Capabilities, Price
from agents.resilience.ports import Limits, ModelInfo

SEED_FILE = Path(__file__).parent / "data" / "models.yaml"


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One model with the other names it answers to."""

    info: ModelInfo
    aliases: tuple[str, ...] = ()

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "CatalogueEntry":
        """Build an entry from a row of models.yaml or of the table; what is missing takes its default.

        Raises `KeyError` without id or provider, `TypeError` for an unknown capability or price.
        """
        capabilities = dict(row.get("capabilities") or {})
        limits = Limits(
            capabilities.pop("requests_per_minute", None), capabilities.pop("tokens_per_minute", None)
        )
        retires_on = row.get("retires_on")
        info = ModelInfo(
            id=row["id"],
            provider=row["provider"],
            tier=row.get("tier") or "standard",
            capabilities=Capabilities(
                **capabilities,
                price=Price(**(row.get("prices") or {})),
                retires_on=str(retires_on) if retires_on else None,
            ),
            limits=limits,
        )
        return cls(info, tuple(row.get("aliases") or ()))


@dataclass(frozen=True)
class Catalogue:
    """What models there are. Satisfies `agents.resilience.ports.Catalogue`."""

    entries: tuple[CatalogueEntry, ...]
    chains: Mapping[str, tuple[str, ...]]
    _names: dict[str, ModelInfo] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = {alias: entry.info for entry in self.entries for alias in entry.aliases}
        names.update({entry.info.id: entry.info for entry in self.entries})  # an id beats an alias
        object.__setattr__(self, "_names", names)

    @classmethod
    def from_rows(
        cls, rows: Iterable[Mapping[str, Any]], chains: Mapping[str, Sequence[str]] | None = None
    ) -> "Catalogue":
        """Build from database rows; `chains` maps a tier to model names and defaults to the seed file's."""
        chosen = seed_data()["default_chains"] if chains is None else chains
        return cls(
            tuple(CatalogueEntry.from_row(row) for row in rows),
            {tier: tuple(names) for tier, names in chosen.items()},
        )

    @classmethod
    def from_seed(cls) -> "Catalogue":
        """Build from models.yaml alone."""
        data = seed_data()
        return cls.from_rows(data["models"], data["default_chains"])

    def resolve(self, name: str) -> ModelInfo | None:
        """Look up an id or an alias; None when there is no such model."""
        return self._names.get(name)

    def default_chain(self, tier: str = "standard") -> tuple[str, ...]:
        """The order in which models of a tier are tried; an unknown tier gets the standard one."""
        return self.chains.get(tier) or self.chains["standard"]

    def retiring_soon(self, today: date, days: int = 60) -> list[ModelInfo]:
        """Models that go off within `days` or have gone off already, soonest first."""
        limit = (today + timedelta(days=days)).isoformat()
        dated = [(info.capabilities.retires_on, info) for info in (entry.info for entry in self.entries)]
        due = [(day, info) for day, info in dated if day is not None and day <= limit]
        return [info for _, info in sorted(due, key=lambda pair: pair[0])]


@cache  # parsing YAML holds up a request or the engine's loop for tens of milliseconds
def seed_data() -> dict[str, Any]:
    """The parsed models.yaml: `default_chains` and `models`, for the database's seed. Not to be changed."""
    data: dict[str, Any] = yaml.safe_load(SEED_FILE.read_text(encoding="utf-8"))
    return data


def default_chain(tier: str = "standard") -> tuple[str, ...]:
    """The seed file's chain of a tier; a live catalogue's own is `Catalogue.default_chain`."""
    return Catalogue.from_seed().default_chain(tier)


def chain_for(model: str, chain: Sequence[str]) -> tuple[str, ...]:
    """Put an agent's own model in front of its chain. An empty `model` leaves the chain as it is."""
    if not model:
        return tuple(chain)
    return (model, *(name for name in chain if name != model))
