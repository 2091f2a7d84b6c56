"""The catalogue: names, chains, retirements."""

from datetime import date

import pytest

from agents.catalogue import Catalogue, chain_for, default_chain, seed_data
from agents.resilience.ports import Limits


@pytest.mark.parametrize(
    ("alias", "model"),
    [
        ("claude-3-7-sonnet", "claude-sonnet-5-5"),
        ("claude-3-7-sonnet-20250219", "claude-sonnet-5-5"),
        ("gpt-4o", "gpt-6-sol"),
        ("gpt-4o-2024-08-06", "gpt-6-sol"),
        ("gemini-2.0", "gemini-3.8-flash"),
        ("gemini-2.0-flash", "gemini-3.8-flash"),
        ("claude-sonnet-5-5", "claude-sonnet-5-5"),
        ("rehearsal", "rehearsal"),
    ],
)
def test_it_resolves_the_designs_names_to_models_of_today(alias: str, model: str) -> None:
    found = Catalogue.from_seed().resolve(alias)
    assert found is not None
    assert found.id == model


def test_it_knows_no_other_names() -> None:
    assert Catalogue.from_seed().resolve("gpt-2") is None


def test_it_gives_no_name_to_two_models() -> None:
    names = [name for row in seed_data()["models"] for name in (row["id"], *row.get("aliases", ()))]
    assert len(names) == len(set(names))


def test_it_has_a_chain_over_three_vendors_for_every_tier() -> None:
    catalogue = Catalogue.from_seed()
    assert default_chain() == ("claude-sonnet-5-5", "gpt-6-sol", "gemini-3.8-flash")
    assert default_chain("small") == ("claude-haiku-5-5", "gpt-6-luna", "gemini-3.5-flash-lite")
    assert default_chain("unheard of") == default_chain()
    for tier, chain in catalogue.chains.items():
        models = [catalogue.resolve(name) for name in chain]
        assert [model and (model.provider, model.tier) for model in models] == [
            ("anthropic", tier),
            ("openai", tier),
            ("google", tier),
        ]


def test_it_dates_every_price() -> None:
    for entry in Catalogue.from_seed().entries:
        date.fromisoformat(entry.info.capabilities.price.date)


def test_it_starts_an_agents_chain_with_its_own_model() -> None:
    chain = default_chain()
    assert chain_for("gpt-6-sol", chain) == ("gpt-6-sol", "claude-sonnet-5-5", "gemini-3.8-flash")
    assert chain_for("", chain) == chain


def test_it_reads_rows_of_the_table() -> None:
    row = {
        "id": "m",
        "provider": "openai",
        "tier": "small",
        "aliases": ["n"],
        "capabilities": {"max_output": 7, "requests_per_minute": 9},
        "prices": {"input": 1.5},
        "retires_on": date(2027, 1, 14),
        "updated_at": "a column more",
    }
    model = Catalogue.from_rows([row]).resolve("n")
    assert model is not None
    assert model.limits == Limits(requests_per_minute=9)
    assert (model.capabilities.max_output, model.capabilities.price.input) == (7, 1.5)
    assert model.capabilities.retires_on == "2027-01-14"


def test_it_warns_of_models_that_go_within_sixty_days() -> None:
    rows = [
        {"id": name, "provider": "openai", "retires_on": day}
        for name, day in [
            ("soon", "2027-01-14"),
            ("gone", "2026-06-01"),
            ("later", "2027-09-01"),
            ("never", None),
        ]
    ]
    due = Catalogue.from_rows(rows).retiring_soon(date(2026, 11, 21))
    assert [model.id for model in due] == ["gone", "soon"]
