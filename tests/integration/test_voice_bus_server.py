"""The connection and the publisher against a NATS server that is stopped and started again: nothing waits, nothing
that was to be kept is lost or kept twice."""

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.fakes.voice_stages import published
from voice.audio import TELEPHONE
from voice.bus.dispatch import Dispatcher, StageAway
from voice.bus.link import Link
from voice.bus.messages import Job
from voice.bus.publishing import Publisher
from voice.bus.subjects import Subjects

SERVER = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin")
SUBJECTS = Subjects("kept")

pytestmark = [
    pytest.mark.skipif(SERVER is None, reason="no nats-server program on this machine"),
    pytest.mark.timeout(60),
]


class Server:
    """A server of the test's own, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert SERVER
        command = [SERVER, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def signal(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


async def eventually(good: Any, seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not good():  # noqa: ASYNC110 (a state of the server)
            await asyncio.sleep(0.02)


async def test_it_says_at_once_that_there_is_no_connection_and_comes_back_by_itself(server: Server) -> None:
    lost: list[bool] = []
    heard: list[bytes] = []
    link = Link(server.url, "test", on_lost=lambda: lost.append(True))
    await link.start()
    assert link.connected
    await link.subscribe("kept.x", lambda message: heard.append(message.data))
    assert link.publish("kept.x", b"one")
    await eventually(lambda: heard == [b"one"])
    await asyncio.to_thread(server.kill)
    await eventually(lambda: lost)
    assert not link.publish("kept.x", b"lost")
    assert link.dropped == 1
    await asyncio.to_thread(server.start)
    await eventually(lambda: link.connected)
    await eventually(lambda: link.publish("kept.x", b"two") and heard[-1] == b"two")
    await link.aclose()


async def test_it_starts_without_a_server_and_finds_it_later(server: Server) -> None:
    await asyncio.to_thread(server.kill)
    link = Link(server.url, "test")
    await link.start(0.2)
    assert not link.connected
    await asyncio.to_thread(server.start)
    await link.connected_once()
    assert link.connected
    await link.aclose()


async def test_it_learns_from_the_server_that_nobody_does_a_stage(server: Server) -> None:
    link = Link(server.url, "test")
    await link.start()
    dispatcher = Dispatcher(link, SUBJECTS)

    def told(message: Any) -> None:
        dispatcher.receive(message.subject, message.data, message.headers, message.reply)

    await link.subscribe(dispatcher.inbox, told)
    work = dispatcher.start("tts", Job("w1", "tts", "p", "n", "c", "w", "s", 1, TELEPHONE))
    with pytest.raises(StageAway) as caught:
        async with asyncio.timeout(5):
            await work.next()
    assert caught.value.reason == "nobody"
    work.close()
    await asyncio.to_thread(server.kill)
    await eventually(lambda: not link.connected)
    with pytest.raises(StageAway) as caught:
        dispatcher.start("tts", Job("w2", "tts", "p", "n", "c", "w", "s", 1, TELEPHONE))
    assert caught.value.reason == "disconnected"
    await link.aclose()


async def test_it_publishes_everything_once_and_in_order_though_the_server_goes_away(server: Server) -> None:
    publisher = Publisher(server.url, SUBJECTS)
    subject = SUBJECTS.events("p", "c")
    for number in range(100):
        publisher.put(subject, {"number": number}, f"c.{number}")
    assert await asyncio.to_thread(publisher.flush, 10)
    await asyncio.to_thread(server.kill)
    began = time.monotonic()
    for number in range(90, 200):  # ten of them again, as after an answer that was lost
        publisher.put(subject, {"number": number}, f"c.{number}")
    assert time.monotonic() - began < 0.5, "nobody waits for the server"
    await asyncio.to_thread(server.start)
    assert await asyncio.to_thread(publisher.flush, 20)
    client = await nats.connect(server.url)
    kept = await published(client, SUBJECTS.prefix, "events.p.c")
    assert [message["number"] for message in kept] == list(range(200))
    await client.close()
    await asyncio.to_thread(publisher.close)


async def test_it_drops_the_oldest_when_the_server_is_away_for_long(server: Server) -> None:
    await asyncio.to_thread(server.kill)
    publisher = Publisher(server.url, SUBJECTS, most=10)
    for number in range(25):
        publisher.put(SUBJECTS.config("s"), {"number": number})
    assert publisher.dropped == 15
    await asyncio.to_thread(server.start)
    assert await asyncio.to_thread(publisher.flush, 20)
    client = await nats.connect(server.url)
    kept = await published(client, SUBJECTS.prefix, "config.s")
    assert [message["number"] for message in kept] == [20, 21, 22, 23, 24], (
        "the last versions of each session"
    )
    await client.close()
    await asyncio.to_thread(publisher.close)


async def test_it_ends_with_a_server_that_hangs(server: Server) -> None:
    publisher = Publisher(server.url, SUBJECTS)
    publisher.put(SUBJECTS.events("p", "c"), {"number": 1})
    assert await asyncio.to_thread(publisher.flush, 10)
    server.signal(signal.SIGSTOP)
    publisher.put(SUBJECTS.events("p", "c"), {"number": 2})
    async with asyncio.timeout(15):
        await asyncio.to_thread(publisher.close)
    server.signal(signal.SIGCONT)
