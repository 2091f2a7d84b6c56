"""A tool that is a request: what it sends, what it gives back, what it keeps to itself."""

import base64

import pytest
from aiohttp import web

from agents.tools import http
from agents.tools.base import Caller, Effect, Surroundings, ToolFailed, ToolSpec
from web.egress import Egress, EgressPolicy


class Shop:
    """The server that the tool calls."""

    def __init__(self):
        self.requests = []
        self.answers = []
        self.url = ""

    async def answer(self, request):
        self.requests.append((request, await request.text()))
        if self.answers:
            return self.answers.pop(0)
        return web.json_response({"data": {"items": [{"name": "boots"}]}})

    @property
    def last(self):
        return self.requests[-1]


class Safe:
    def __init__(self, **values):
        self.values = values

    async def of(self, tool_id):
        return self.values


@pytest.fixture
async def shop():
    server = Shop()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def call(shop):
    egress = Egress(EgressPolicy.parse(["127.0.0.1"]))

    async def make(arguments=None, *, secrets=None, effect=Effect.UNSAFE, path="/x", **config):
        spec = ToolSpec("tool_1", "shop", "http", config={"url": shop.url + path, **config}, effect=effect)
        return await http.call(
            spec, arguments or {}, Caller("project_1", "key-1"), Surroundings(egress, Safe(**(secrets or {})))
        )

    yield make
    await egress.aclose()


async def test_it_sends_arguments_as_json_with_an_idempotency_key(shop, call):
    assert await call({"size": 42}, method="POST", result="data.items.0.name") == "boots"
    request, body = shop.last
    assert body == '{"size": 42}'
    assert request.headers["Idempotency-Key"] == "key-1"
    assert request.headers["Content-Type"] == "application/json"


async def test_it_sends_arguments_of_a_get_as_a_query(shop, call):
    await call({"q": "red boots", "tags": ["a"]}, method="GET")
    assert dict(shop.last[0].query) == {"q": "red boots", "tags": '["a"]'}


async def test_it_fills_path_query_headers_and_body(shop, call):
    await call(
        {"id": "a/b ?c", "n": 3, "who": "Ann"},
        secrets={"token": "s3cret-token"},
        method="PUT",
        path="/items/{id}",
        query={"n": "{n}"},
        headers={"X-Who": "{who}"},
        body={"count": "{n}", "text": "for {who}"},
        auth={"type": "bearer", "token": "{secret:token}"},
    )
    request, body = shop.last
    assert request.raw_path == "/items/a%2Fb%20%3Fc?n=3"
    assert request.headers["X-Who"] == "Ann"
    assert request.headers["Authorization"] == "Bearer s3cret-token"
    assert body == '{"count": 3, "text": "for Ann"}'


async def test_it_sends_a_name_and_a_password(shop, call):
    await call(secrets={"pw": "pass"}, auth={"type": "basic", "username": "me", "password": "{secret:pw}"})
    assert shop.last[0].headers["Authorization"] == "Basic " + base64.b64encode(b"me:pass").decode()


async def test_it_keeps_secrets_out_of_answers_and_errors(shop, call):
    shop.answers = [
        web.json_response({"echo": "s3cret-token"}),
        web.Response(status=400, text="bad s3cret-token"),
    ]
    assert await call(secrets={"t": "s3cret-token"}) == {"echo": "•••"}
    with pytest.raises(ToolFailed) as caught:
        await call(secrets={"t": "s3cret-token"})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "config"),
    [
        ({"h": "evil.example"}, {"path": ".{h}/x"}),
        ({"h": ".."}, {"path": "/a/{h}/x"}),
        ({"v": "a\r\nX-Evil: 1"}, {"headers": {"X-V": "{v}"}}),
        ({}, {"path": "/{missing}"}),
        ({}, {"headers": {"X-V": "{secret:missing}"}}),
    ],
)
async def test_arguments_cannot_bend_the_request(shop, call, arguments, config):
    with pytest.raises(ToolFailed):
        await call(arguments, **config)
    assert shop.requests == []


async def test_it_repeats_what_may_be_repeated(shop, call):
    shop.answers = [web.Response(status=503), web.json_response({"ok": True})]
    assert await call(method="GET", retries=1) == {"ok": True}
    shop.answers = [web.Response(status=503)]
    with pytest.raises(ToolFailed) as caught:
        await call(method="POST", retries=1)
    assert caught.value.unknown
    assert len(shop.requests) == 3


async def test_it_says_that_an_address_is_not_allowed(call):
    egress = Egress(EgressPolicy())
    spec = ToolSpec("tool_1", "inside", "http", config={"url": "http://169.254.169.254/latest"})
    with pytest.raises(ToolFailed) as caught:
        await http.call(spec, {}, Caller("project_1", "key-1"), Surroundings(egress, Safe()))
    assert caught.value.code == "address_not_allowed"
    await egress.aclose()
