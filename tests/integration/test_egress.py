"""No spelling of an internal address is reached; what is allowed is."""

import socket

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver

from web.egress import Egress, EgressDenied, EgressFailed, EgressPolicy, EgressRequest


class Inside:
    """A server on this machine that must not be reached."""

    def __init__(self):
        self.seen: list[tuple[str, str, dict]] = []

    async def start(self):
        app = web.Application(client_max_size=10)
        app.router.add_route("*", "/{tail:.*}", self.answer)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        await web.SockSite(self.runner, both).start()
        self.port = both.getsockname()[1]

    async def answer(self, request):
        self.seen.append((request.method, request.path, dict(request.headers)))
        if request.path.startswith("/to/"):
            return web.Response(status=302, headers={"Location": request.query["url"]})
        if request.path == "/large":
            return web.Response(body=b"x" * 3_000_000)
        return web.json_response({"path": request.path})


class Names(AbstractResolver):
    """A name server of the attacker's: the first answer is public, the next ones are not."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def resolve(self, host, port=0, family=socket.AF_INET):
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [{"hostname": host, "host": address, "port": port, "family": kind, "proto": 0, "flags": 0}]

    async def close(self):
        pass


@pytest.fixture
async def inside():
    server = Inside()
    await server.start()
    yield server
    await server.runner.cleanup()


@pytest.fixture
async def open_egress():
    opened: list[Egress] = []

    def make(*allowed, names=None):
        opened.append(Egress(EgressPolicy.parse(allowed), resolver=names))
        return opened[-1]

    yield make
    for egress in opened:
        await egress.aclose()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "LOCALHOST", "LocalHost.", "127.0.0.1.", "2130706433", "0x7f000001", "0177.0.0.1",
        "127.1", "0", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
        "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[fe80::1%25lo]", "[fec0::1]", "[fd00::1]",
        "169.254.169.254", "[fd00:ec2::254]", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "224.0.0.1",
        "255.255.255.255", "198.18.0.1", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u2460\u2461\u2466.0.0.1",
    ],
)  # fmt: skip
async def test_it_reaches_no_internal_address(inside, open_egress, host):
    with pytest.raises((EgressDenied, EgressFailed)):
        await open_egress().send(EgressRequest("GET", f"http://{host}:{inside.port}/", seconds=5))
    assert inside.seen == []


@pytest.mark.parametrize(
    "url",
    ["http://user:pass@example.com/", "http://127.0.0.1@example.com/", "ftp://example.com/", "file:///etc/passwd",
     "gopher://127.0.0.1/", "//example.com/", "http:///x", "http://[::1", "http://example.com:99999/", "unix:///x"],
)  # fmt: skip
async def test_it_reads_no_other_address(open_egress, url):
    with pytest.raises(EgressDenied):
        await open_egress().send(EgressRequest("GET", url))


@pytest.mark.parametrize("answer", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.9.8.7", "64:ff9b::a00:1"])
async def test_a_name_that_leads_inside_is_refused(inside, open_egress, answer):
    with pytest.raises(EgressDenied):
        await open_egress(names=Names(answer)).send(EgressRequest("GET", f"http://a.example:{inside.port}/"))
    assert inside.seen == []


async def test_a_redirect_inside_is_refused(inside, open_egress):
    """The first hop is allowed by its name; the second is not."""
    egress = open_egress("front.example", names=Names("127.0.0.1"))
    for target in (f"http://127.0.0.1:{inside.port}/secret", f"http://other.example:{inside.port}/secret"):
        with pytest.raises(EgressDenied):
            await egress.send(EgressRequest("GET", f"http://front.example:{inside.port}/to/?url={target}"))
    assert [path for _, path, _ in inside.seen] == ["/to/", "/to/"]


async def test_a_name_that_changes_its_mind_is_refused_when_it_does(inside, open_egress):
    egress = open_egress("127.0.0.1", names=Names("127.0.0.1", "127.0.0.2"))
    first = await egress.send(
        EgressRequest("GET", f"http://a.example:{inside.port}/1", headers={"Connection": "close"})
    )
    assert first.status == 200
    with pytest.raises(EgressDenied):
        await egress.send(EgressRequest("GET", f"http://a.example:{inside.port}/2"))
    assert [path for _, path, _ in inside.seen] == ["/1"]


@pytest.mark.parametrize("allowed", ["127.0.0.1", "127.0.0.0/8", "localhost"])
async def test_what_is_allowed_is_reached(inside, open_egress, allowed):
    host = "localhost" if allowed == "localhost" else "127.0.0.1"
    answer = await open_egress(allowed).send(
        EgressRequest("POST", f"http://{host}:{inside.port}/x", body=b"{}")
    )
    assert (answer.status, answer.body) == (200, b'{"path": "/x"}')


async def test_credentials_stay_with_the_first_address(inside, open_egress):
    egress = open_egress("a.example", "b.example", names=Names("127.0.0.1"))
    request = EgressRequest(
        "POST",
        f"http://a.example:{inside.port}/to/?url=http://b.example:{inside.port}/end",
        headers={"Authorization": "Bearer secret", "X-Other": "1"},
        body=b"x",
    )
    await egress.send(request)
    assert inside.seen[0][2]["Authorization"] == "Bearer secret"
    assert "Authorization" not in inside.seen[1][2]
    assert inside.seen[1][:2] == ("GET", "/end")


async def test_it_bounds_redirects_and_size(inside, open_egress):
    egress = open_egress("127.0.0.1")
    base = f"http://127.0.0.1:{inside.port}"
    with pytest.raises(EgressFailed, match="redirects"):
        await egress.send(EgressRequest("GET", f"{base}/to/?url=/to/?url=/to/?url=x", redirects=1))
    with pytest.raises(EgressFailed, match="larger"):
        await egress.send(EgressRequest("GET", f"{base}/large"))


def test_a_bad_network_is_refused():
    with pytest.raises(ValueError, match="does not appear"):
        EgressPolicy.parse(["10.0.0.0/99"])
