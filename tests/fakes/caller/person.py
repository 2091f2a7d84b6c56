"""One simulated caller: dials, listens, talks, interrupts, presses keys, hangs up."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from . import clips
from .carrier import CallRefused, Carrier, Instructions, sid, signature
from .clips import Clip
from .ear import Ear
from .g711 import FRAME_MS
from .line import CLEAN, Line, Way
from .mouth import Mouth
from .report import Exchange, Report
from .timer import Timer, now
from .websocket import Refused, WebSocket

Script = Callable[["Person"], Awaitable[None]]
Watch = Callable[[str, dict[str, Any]], None]
_FRAME_S = FRAME_MS / 1000


class Person:
    """Use: `report = await Person(carrier, timer, to=…).call(script)`. The script awaits the methods below."""

    def __init__(
        self,
        carrier: Carrier,
        timer: Timer,
        *,
        to: str,
        caller: str = "+15005550001",
        line: Line = CLEAN,
        via: str = "",
        webhook: str = "/twilio/voice",
        seed: int | None = None,
        watch: Watch | None = None,
    ) -> None:
        """`via`: host:port to open the stream at, whatever its address says; `webhook`: the path that the
        dialled number is configured with. `watch` is told what happens."""
        self.ear = Ear()
        self.mouth = Mouth(line, self.ear)
        self.report = Report(sid("CA"), to, caller)
        self.stream_sid = sid("MZ")
        self.hung_up = asyncio.Event()
        self.carrier, self.timer = carrier, timer
        self._line, self._via, self._webhook = line, via, webhook
        self._chance = random.Random(seed)
        self._up, self._down = Way(line, self._chance), Way(line, self._chance)
        self._watch = watch or (lambda kind, facts: None)
        self._socket: WebSocket | None = None
        self._exchange: Exchange | None = None
        self._waiters: set[tuple[Callable[[], bool], asyncio.Future[None]]] = set()
        self._sequence, self._chunk, self._started = 1, 0, 0.0
        self._held: bytes | None = None
        self._phase = self._chance.random() * _FRAME_S
        self._stopped = False

    # --- the call -----------------------------------------------------------------------------------

    async def call(self, script: Script, *, status: bool = True) -> Report:
        """Dial, act, hang up; returns when the carrier has told the service that the call is over. A caller
        who has waited too long for something hangs up, too (`Report.gave_up`)."""
        report = self.report
        try:
            await self.dial()
        except (CallRefused, Refused) as error:
            report.refused = str(error)
            return report
        try:
            await script(self)
            await self.hang_up()
        except HungUp:
            pass
        except TimeoutError:
            report.gave_up = True
            await self.hang_up()
        finally:
            self._stop()
            if self._socket is not None:
                self._socket.close()
                try:
                    async with asyncio.timeout(3):
                        await self._socket.closed.wait()
                except TimeoutError:
                    self._socket.abort()
            if status:
                await self.carrier.status(
                    report.call_sid, report.to, report.caller, "completed", report.seconds
                )
        return report

    async def dial(self) -> Instructions:
        """Ring, read the TwiML, open the stream. Raises `CallRefused` or `Refused`."""
        report, began = self.report, now()
        found = await self.carrier.ring(report.call_sid, report.to, report.caller, path=self._webhook)
        report.instructions = found
        if not found.stream:
            raise CallRefused(found.sip or " ".join(found.says) or found.xml)
        await self.open(found)
        report.connected_ms = (now() - began) * 1000
        return found

    async def open(self, found: Instructions) -> None:
        """Open the stream, and start it as the carrier does."""
        socket = WebSocket(self._message, self._closed)
        token = self.carrier.auth_token
        headers = {"X-Twilio-Signature": signature(token, found.stream)} if token else {}
        await socket.connect(found.stream, headers, via=self._via)
        self._socket = socket
        self._put({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        self._put(
            {
                "event": "start",
                "sequenceNumber": "1",
                "start": {
                    "accountSid": self.carrier.account,
                    "streamSid": self.stream_sid,
                    "callSid": self.report.call_sid,
                    "tracks": ["inbound"],
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                    "customParameters": dict(found.parameters),
                },
                "streamSid": self.stream_sid,
            }
        )
        self._started = now()
        self._watch("connected", {})
        self.timer.at(self._started + self._phase, self._tick, self._started + self._phase)

    async def hang_up(self) -> None:
        """End the call as a caller does: the carrier says `stop` and closes the stream."""
        if self._socket is None or self._stopped:
            return
        self.report.hung_up_by = self.report.hung_up_by or "caller"
        self._sequence += 1
        self._put(
            {
                "event": "stop",
                "sequenceNumber": str(self._sequence),
                "stop": {"accountSid": self.carrier.account, "callSid": self.report.call_sid},
                "streamSid": self.stream_sid,
            }
        )
        self._stop()
        self._socket.close()

    def vanish(self) -> None:
        """The connection is cut without a word."""
        self.report.hung_up_by = "network"
        self._stop()
        if self._socket is not None:
            self._socket.abort()

    # --- what a person does ----------------------------------------------------------------------------

    def start_saying(self, what: str | Clip) -> "tuple[Exchange, asyncio.Future[None]]":
        """Begin to speak; the future is done when the last frame of it has left the socket. A text is
        spoken in fake speech, which fake recognisers understand."""
        clip = clips.stamped(what) if isinstance(what, str) else what
        exchange = Exchange(clip.text, interrupting=self.ear.playing(now()))
        self.report.exchanges.append(exchange)
        self._exchange = exchange
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add((lambda: exchange.last_sent > 0, future))
        self.mouth.say(clip, lambda: self._said(exchange))
        self._watch("saying", {"text": clip.text, "interrupting": exchange.interrupting})
        return exchange, future

    async def say(self, what: str | Clip) -> Exchange:
        """Speak, and return when the last frame has left the socket."""
        exchange, done = self.start_saying(what)
        await done
        if self.hung_up.is_set():
            raise HungUp
        return exchange

    async def make_noise(self, clip: Clip) -> None:
        """Cough, hum: a sound that wants no answer."""
        done = asyncio.Event()
        self.mouth.say(clip, done.set)
        await self._until(done.is_set, 10)

    async def ask(self, what: str | Clip, *, silent_ms: float = 700, timeout: float = 30) -> Exchange:
        """Say something and listen to the whole answer."""
        exchange = await self.say(what)
        await self.answered(exchange, timeout)
        await self.listen(silent_ms, timeout)
        return exchange

    async def answered(self, exchange: Exchange, timeout: float = 30) -> None:
        """Wait for the first frame of the answer."""
        await self._until(lambda: exchange.first_answer is not None, timeout)

    async def listen(self, silent_ms: float = 700, timeout: float = 60) -> None:
        """Wait until the agent has spoken, since the caller last did, and has been silent for so long."""
        since = self._exchange.last_sent if self._exchange is not None else 0.0

        def over() -> bool:
            moment = now()
            end = self.ear.silent_since(moment)
            return end > since and moment - end >= silent_ms / 1000

        await self._until(over, timeout)

    async def greeted(self, silent_ms: float = 500, patience: float = 3) -> None:
        """Listen to a greeting, if one begins in time."""
        began = now()
        await self._until(lambda: self.ear.silent_since(now()) > 0 or now() - began > patience, patience + 5)
        if self.ear.silent_since(now()) > 0:
            await self.listen(silent_ms)

    async def hears(self, milliseconds: float, timeout: float = 30) -> None:
        """Wait until so much of the agent has been heard from now on."""
        since = now()
        await self._until(lambda: self.ear.heard_ms(since, now()) >= milliseconds, timeout)

    async def hears_words(self, count: int, timeout: float = 60) -> None:
        """Wait until so many words have been heard in all."""

        def heard() -> bool:
            self.ear.settle(now())  # also when nothing more comes
            return sum(1 for _ in self.ear.words()) >= count

        await self._until(heard, timeout)

    async def interrupt(self, what: str | Clip, *, after_ms: float, timeout: float = 30) -> Exchange:
        """Hear that much of what is being said, then talk over it; returns when the agent is silent."""
        await self.hears(after_ms, timeout)
        return await self.interrupt_now(what, timeout=timeout)

    async def interrupt_now(self, what: str | Clip, *, timeout: float = 30) -> Exchange:
        exchange = await self.say(what)

        def silenced() -> bool:
            moment = now()
            silent = moment - self.ear.silent_since(moment)
            return silent > 1 or (silent > 0 and exchange.clear is not None)

        await self._until(silenced, timeout)
        exchange.silent = self.ear.silent_since(now())
        exchange.stopped = [word for word in self.ear.words() if word.start < exchange.silent]
        return exchange

    async def press(self, digits: str) -> None:
        """Press keys, 120 ms apart."""
        for digit in digits:
            self._sequence += 1
            self._send_later(
                {
                    "event": "dtmf",
                    "streamSid": self.stream_sid,
                    "sequenceNumber": str(self._sequence),
                    "dtmf": {"track": "inbound_track", "digit": digit},
                }
            )
            await self.wait(0.12)

    async def wait(self, seconds: float) -> None:
        until = now() + seconds
        await self._until(lambda: now() >= until, seconds + 10)

    async def hung_up_on(self, timeout: float = 30) -> None:
        """Wait until the agent ends the call."""
        async with asyncio.timeout(timeout):
            await self.hung_up.wait()

    def send_raw(self, text: bytes | None = None, binary: bytes | None = None) -> None:
        """Send what no carrier would."""
        assert self._socket is not None
        if binary is not None:
            self._socket.send_binary(binary)
        if text is not None:
            self._socket.send_text(text)

    # --- the carrier's machinery ---------------------------------------------------------------------

    async def _until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Wait for something that is looked at every 20 ms. Raises `HungUp` when the call ends before."""
        if self.hung_up.is_set():
            raise HungUp
        if condition():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (condition, future)
        self._waiters.add(entry)
        try:
            async with asyncio.timeout(timeout):
                await future
        finally:
            self._waiters.discard(entry)
        if self.hung_up.is_set():
            raise HungUp

    def _tick(self, due: float) -> None:
        """20 ms of the caller: one frame out, and a look at what is waited for."""
        if self._stopped:
            return
        payload, speaks, done = self.mouth.frame(due)
        self._chunk += 1
        self._sequence += 1
        if speaks and self._exchange is not None and not self._exchange.began:
            self._exchange.began = due
        frame = (
            b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d","timestamp":"%d",'
            b'"payload":"%b"},"streamSid":"%b"}'
            % (self._sequence, self._chunk, self._chunk * FRAME_MS, payload, self.stream_sid.encode())
        )
        self._deliver(frame, due, speaks, done)
        if self._waiters:
            for entry in [entry for entry in self._waiters if entry[0]()]:
                self._waiters.discard(entry)
                if not entry[1].done():
                    entry[1].set_result(None)
        self.timer.at(due + _FRAME_S, self._tick, due + _FRAME_S)

    def _deliver(self, frame: bytes, due: float, speaks: bool, done: Callable[[], None] | None) -> None:
        line, report = self._line, self.report
        if line.drop and self._chance.random() < line.drop:
            report.dropped += 1
            if done is not None:
                done()
            return
        arrival = self._up.arrival(due)
        if line.swap and self._held is None and done is None and self._chance.random() < line.swap:
            self._held = frame
            return
        if arrival <= due:
            self._frame_out(frame, speaks, done)
        else:
            self.timer.at(arrival, self._frame_out, frame, speaks, done)

    def _frame_out(self, frame: bytes, speaks: bool, done: Callable[[], None] | None) -> None:
        if self._socket is None or not self._socket.writable:
            return
        self._socket.send_text(frame)
        self.report.frames_out += 1
        if self._held is not None:
            held, self._held = self._held, None
            self._socket.send_text(held)
        if speaks and self._exchange is not None and not self._exchange.first_sent:
            self._exchange.first_sent = now()
        if done is not None:
            done()

    def _said(self, exchange: Exchange) -> None:
        exchange.last_sent = now()

    def _message(self, data: bytes, at: float) -> None:
        """A message of the service reaches the carrier: measured here, heard after the way back."""
        message = orjson.loads(data)
        event, exchange, report = message["event"], self._exchange, self.report
        arrival = self._down.arrival(at)
        if message.get("streamSid") != self.stream_sid:
            report.unknown.append(f"{event} for another stream")
        if event == "media":
            report.frames_in += 1
            if report.greeting_ms is None:
                report.greeting_ms = (at - self._started) * 1000
            if exchange is not None:
                self._note_media(exchange, at)
            self._arrives(arrival, self.ear.audio, clips.from_base64(message["media"]["payload"]))
        elif event == "mark":
            report.marks += 1
            self._arrives(arrival, self._mark_arrives, message["mark"]["name"])
        elif event == "clear":
            report.clears += 1
            if exchange is not None and exchange.clear is None:
                exchange.clear = at
            self._arrives(arrival, self._clear_arrives)
        else:
            report.unknown.append(str(event))

    def _note_media(self, exchange: Exchange, at: float) -> None:
        sent = exchange.last_sent
        if exchange.clear is not None and (not sent or at < max(sent, exchange.clear) + 0.1):
            exchange.frames_after_clear += 1
        elif sent and exchange.first_answer is None and (not exchange.interrupting or exchange.clear):
            exchange.first_answer = at
            self._watch("answer", {"latency_ms": exchange.latency_ms})

    def _arrives(self, at: float, what: Callable[..., None], *arguments: Any) -> None:
        """Let a message take effect after the way back: at once without one, and always in order."""
        if self._down.delays:
            self.timer.at(at, what, at, *arguments)
        else:
            what(at, *arguments)

    def _mark_arrives(self, at: float, name: str) -> None:
        due = self.ear.mark(at, name)
        self.timer.at(due, self._echo_marks, due)

    def _echo_marks(self, at: float) -> None:
        for name in self.ear.reached(at):
            self._send_mark(name)

    def _clear_arrives(self, at: float) -> None:
        for name in self.ear.clear(at):
            self._send_mark(name)

    def _send_mark(self, name: str) -> None:
        self._sequence += 1
        self._send_later(
            {
                "event": "mark",
                "sequenceNumber": str(self._sequence),
                "streamSid": self.stream_sid,
                "mark": {"name": name},
            }
        )

    def _send_later(self, message: dict[str, Any]) -> None:
        moment = now()
        arrival = self._up.arrival(moment)
        if arrival <= moment:
            self._put(message)
        else:
            self.timer.at(arrival, self._put, message)

    def _put(self, message: dict[str, Any]) -> None:
        if self._socket is not None and self._socket.writable:
            self._socket.send_text(orjson.dumps(message))

    def _closed(self, code: int) -> None:
        self.report.close_code = code
        self.report.hung_up_by = self.report.hung_up_by or "agent"
        self._stop()

    def _stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        moment = now()
        report = self.report
        report.seconds = moment - self._started if self._started else 0.0
        self.ear.settle(moment)
        report.words = list(self.ear.words())
        report.gaps = [(before.end, after.start) for before, after in itertools.pairwise(self.ear.sounds)]
        self.hung_up.set()
        for _, future in self._waiters:
            if not future.done():
                future.set_result(None)
        self._waiters.clear()
        self._watch("over", {"by": report.hung_up_by})


class HungUp(Exception):
    """The call ended while the caller was waiting for something."""
