"""Text stages: made by the config, changed by it in mid-call; what translate and filter do."""

from typing import Any

import pytest

from agents.providers.errors import Failure, ProviderError
from tests.unit.resilience_world import World, failure, reply, virtual
from tests.unit.voice_agent_world import CALL, Writer, session
from voice.config import Connector, SessionConfig
from voice.config_parsing import parse
from voice.pipeline.router import Router
from voice.stages_text import make_stages


class Stages:
    """The stages of one call over scripted models; `config` may be replaced."""

    def __init__(self, **stages: Connector) -> None:
        self.models, self.writer = World(), Writer()
        self.config = with_stages(**stages)
        self.all = make_stages(
            lambda: self.config,
            call=CALL,
            gateway=self.models.gateway,
            writer=self.writer,
        )


def with_stages(**stages: Connector) -> SessionConfig:
    base = session("openai")
    return SessionConfig(base.system_prompt, base.name, base.flow, {**base.connectors, **stages})


def filtered(**options: Any) -> Stages:
    return Stages(clean=Connector("filter", config=options))


@virtual
async def test_it_translates_by_the_model_chain_and_books_it() -> None:
    world = Stages(german=Connector("translate", config={"source": "de", "target": "en-US"}))
    world.models.on("openai", reply(" Good day. "))
    assert await world.all["german"].transform("Guten Tag. ") == "Good day. "
    [request] = world.models.on("openai").requests
    assert "from de into en-US" in request.messages[0].content
    assert request.messages[1].content == "Guten Tag."
    assert [row["call"] for row in world.writer.rows("begin")] == [CALL.call_id]
    assert [row["state"] for row in world.writer.rows("settle")] == ["succeeded"]


@virtual
async def test_it_translates_by_the_model_that_the_config_names() -> None:
    world = Stages(german=Connector("translate", config={"model": "claude-sonnet-5-5"}))
    world.models.on("anthropic", reply("Good day."))
    assert await world.all["german"].transform("Guten Tag.") == "Good day."


@virtual
async def test_it_translates_silence_without_a_model() -> None:
    world = Stages(german=Connector("translate"))
    assert await world.all["german"].transform("  ") == "  "


@virtual
async def test_it_raises_what_the_chain_raises() -> None:
    world = Stages(german=Connector("translate"))
    world.models.on("openai", failure(Failure.OVERLOADED))
    with pytest.raises(ProviderError):
        await world.all["german"].transform("Guten Tag.")


@virtual
async def test_it_takes_no_empty_translation() -> None:
    world = Stages(german=Connector("translate"))
    world.models.on("openai", reply("  "))
    with pytest.raises(ProviderError) as caught:
        await world.all["german"].transform("Guten Tag.")
    assert caught.value.category is Failure.MALFORMED


@pytest.mark.parametrize(
    ("options", "text", "wanted"),
    [
        ({"replace": {"Acme": "the company"}}, "acme sells. ACME!", "the company sells. the company!"),
        ({"replace": {"art": "x"}}, "art in Bart's cart", "x in Bart's cart"),
        ({"pronounce": {"SQL": "sequel", "GmbH": "G. M. B. H."}}, "Our SQL GmbH", "Our sequel G. M. B. H."),
        ({"remove": ["damn"]}, "damn good", " good"),
        ({"personal_data": "redact"}, "mail ann@example.com", "mail [e-mail address]"),
        ({"replace": {"a": "1", "a b": "2"}}, "a b a", "2 1"),
        ({"replace": {"(.*)+$": "x"}}, "any text", "any text"),
        ({"replace": {"": "x"}}, "any text", "any text"),
        ({}, "any text", "any text"),
        ({"replace": ["no", "map"], "remove": "no list"}, "any text", "any text"),
    ],
)
@virtual
async def test_it_filters_words(options: dict[str, Any], text: str, wanted: str) -> None:
    assert await filtered(**options).all["clean"].transform(text) == wanted


@virtual
async def test_it_is_put_into_a_session_by_its_config_alone() -> None:
    body = {
        "connectors": {
            "stt": {"primary": "local"},
            "english": {"primary": "translate", "config": {"source": "de", "target": "en"}},
            "llm": {"primary": "openai"},
            "spoken": {"primary": "filter", "config": {"pronounce": {"SQL": "sequel"}}},
            "tts": {"primary": "local"},
        },
        "pipeline": {
            "flow": [
                {"from": "transport", "to": "stt"},
                {"from": "stt", "to": "english"},
                {"from": "english", "to": "llm"},
                {"from": "llm", "to": "spoken"},
                {"from": "spoken", "to": "tts"},
                {"from": "tts", "to": "transport"},
            ]
        },
    }
    world = Stages()
    world.config = parse(body)
    world.models.on("openai", reply("What is SQL?"))
    router = Router(world.config, world.all)
    assert await router.inward("Was ist SQL?") == "What is SQL?"
    assert await router.outward("SQL is a language. ") == "sequel is a language. "


@virtual
async def test_it_follows_the_config() -> None:
    world = filtered(replace={"one": "1"})
    stage = world.all["clean"]
    assert (list(world.all), len(world.all)) == (["clean"], 1)
    world.config = with_stages(
        clean=Connector("filter", config={"replace": {"one": "uno"}}), other=Connector("filter")
    )
    assert await stage.transform("one") == "uno"
    assert list(world.all) == ["clean", "other"]
    assert world.all["other"].name == "other"


@pytest.mark.parametrize("name", ["stt", "llm", "tts", "transport", "nothing"])
def test_it_has_no_other_stage(name: str) -> None:
    with pytest.raises(KeyError):
        filtered().all[name]
