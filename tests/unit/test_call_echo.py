"""The agent's own voice comes back and the room is not quiet: only the caller stops the agent."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fakes.caller import clips, sounds
from tests.fakes.caller.g711 import decode, encode
from tests.fakes.virtual_time import virtual
from tests.unit.call_world import ScriptedSpeaker, World, now, session
from voice.connectors.types import Speech
from voice.pipeline.call import Call
from voice.pipeline.gate import Gate
from voice.pipeline.vad import VoiceActivityEngine, Window

Wave = NDArray[np.float64]

SENTENCES = (
    "hello this is the demo network how can I help you",
    "we are open from nine to five on weekdays and from ten to two on saturdays",
    "your order has been sent and it will arrive tomorrow before noon",
)


def wave(audio: bytes) -> Wave:
    return np.asarray(decode(audio)).astype(float)


def said(text: str) -> Wave:
    return np.concatenate([wave(frame) for frame in clips.said(text).frames])


class Talker(ScriptedSpeaker):
    """Says all sentences, with a breath between, whatever it is asked to say."""

    async def speak(self, text: str, *, queued_ms: Callable[[], float]) -> AsyncGenerator[Speech, None]:
        breath = np.zeros(2400)
        whole = np.concatenate([part for sentence in SENTENCES for part in (said(sentence), breath)])
        audio = encode(whole.astype(np.int16))
        for start in range(0, len(audio), 1600):
            yield Speech(bytes(audio[start : start + 1600]))


class Room:
    """What the caller's microphone hears: an echo of the agent, noise, and the caller from `speaks_at` on."""

    def __init__(self, seed: int, echo_db: float, *, noisy: bool, speaks_at: float | None = None) -> None:
        chance = random.Random(seed)
        self.world = World(config=session(greeting="Hello."))
        self.world.speaker = Talker()
        self._lag = int(8 * chance.uniform(120, 400))
        self._gain = 10 ** (echo_db / 20)
        self._noise = wave(sounds.noise(-50)) if noisy else np.zeros(160)
        self._played = np.zeros(8000 * 60)
        self._own = said("no wait I want something else") * 10 ** (-10 / 20)
        self._speaks_at = None if speaks_at is None else int(8000 * speaks_at)
        transport = self.world.transport
        send = transport.send_audio

        async def sending(audio: bytes) -> None:
            await send(audio)
            at = int((transport._end - self.began) * 8000) - len(audio)
            self._played[at : at + len(audio)] = wave(audio)

        transport.send_audio = sending  # type: ignore[method-assign]

    async def call(self) -> None:
        """Have a call until the agent has finished, or was stopped."""
        world = self.world
        engine = VoiceActivityEngine(clock=now)
        await engine.start()
        assert not engine.reason, "the real model is meant to be tried"
        self.began = now()
        call = Call(
            call_id="call_1",
            config=lambda: world.config,
            transport=world.transport,
            stt=world.open_listener,
            speaker=lambda config: world.speaker,
            responder=world.responder,
            activity=engine,
            log=world.log,
            clock=now,
        )
        world.transport.call = call
        running = asyncio.ensure_future(call.run())
        number = 0
        while not world.log.turns:
            call.audio(self._frame(number * 160), None)
            number += 1
            await asyncio.sleep(max(0.0, self.began + number * 0.02 - now()))
        call.end("caller_hung_up")
        self.summary = await running
        await engine.aclose()

    def _frame(self, at: int) -> bytes:
        heard = at - self._lag - int(self.world.transport.delay * 8000)
        sound = self._played[heard : heard + 160] * self._gain if heard >= 0 else np.zeros(160)
        sound = sound + self._noise[at % len(self._noise) :][:160]
        if self._speaks_at is not None and 0 <= (own := at - self._speaks_at) < len(self._own):
            part = self._own[own : own + 160]
            sound[: len(part)] += part
        return bytes(encode(np.clip(sound, -32768, 32767).astype(np.int16)))


@pytest.mark.parametrize(("seed", "echo_db", "noisy"), [(0, -25, True), (1, -25, False), (3, -15, True)])
@virtual
async def test_it_does_not_stop_for_its_own_voice(seed: int, echo_db: float, noisy: bool) -> None:
    room = Room(seed, echo_db, noisy=noisy)
    await room.call()
    assert [turn.interrupted for turn in room.world.log.turns] == [False]
    assert room.summary.false_interruptions == 0


@virtual
async def test_it_stops_for_the_caller_all_the_same() -> None:
    room = Room(5, -25, noisy=True, speaks_at=4.0)
    await room.call()
    assert [turn.interrupted for turn in room.world.log.turns] == [True]
    assert 4.4 <= room.world.transport.clears[0] - room.began <= 5.0


def test_it_knows_the_room_and_the_agents_breaths() -> None:
    gate, quiet = Gate(), -60.0
    for number in range(50):
        assert not gate.voiced(Window(number * 32.0, 0.01, -47.0), quiet)
    assert not gate.voiced(Window(0, 1.0, -44.0), quiet), "the room, after an echo"
    assert gate.voiced(Window(0, 1.0, -30.0), quiet)
    assert gate.voiced(Window(0, 0.4, -35.0), quiet), "the end of a word"
    assert not gate.voiced(Window(0, 0.3, -35.0), quiet)
    assert not gate.voiced(Window(0, 0.4, -35.0), quiet), "too unsure for a beginning"
    assert not gate.voiced(Window(0, 1.0, -30.0), -20.0)
    assert not gate.voiced(Window(0, 1.0, -30.0), quiet), "the agent draws breath"
    for _ in range(20):
        gate.voiced(Window(0, 0.01, -47.0), quiet)
    assert gate.voiced(Window(0, 1.0, -30.0), quiet)
