"""Speech to text without a key: pocketsphinx, at the turn's end, in processes of its own.

It is a command-grade recogniser: about 6 % word errors on a list of phrases, 45 % on open speech. With
phrases, speech that is not one of them is answered with no text at all (`connectors.stt.config.open` true
lets it be guessed). English only.
"""

import asyncio
import os
import tempfile
from collections import OrderedDict
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from typing import Any, Final

import numpy as np

from agents.providers.errors import ProviderError
from agents.resilience.ports import Credential
from voice.audio import WIDE_BAND, AudioFormat
from voice.pipeline.resample import convert

from .inbox import Inbox
from .phrase_model import grammar, language_model, sentences
from .pool import SpeechPool
from .settings import settings_for
from .types import SttOptions, Transcript

LONGEST: Final = 30_000.0  # ms of one turn; what is older is given up
PROCESSES: Final = max(1, min(4, (os.cpu_count() or 2) - 1))
_WEIGHT: Final = 10.0  # of the language model; see phrase_model
_KEPT: Final = 20  # phrase lists a process keeps ready
_GRAMMAR: Final = "grammar"
_MODEL: Final = "model"
_FRAME: Final = 320  # samples, 20 ms
_AROUND: Final = 15  # frames kept before and after speech


class PocketSphinx:
    """`connectors.stt.config`: `phrases`, `open`."""

    name = "local"
    partials = False
    expected_ms = 600.0

    def __init__(self, credential: Credential) -> None:
        self._pool = SpeechPool(self.name, PROCESSES, load)

    async def open(self, format: AudioFormat, options: SttOptions) -> "PocketSphinxTranscription":
        return PocketSphinxTranscription(self._pool, format, options)

    async def warm(self) -> None:
        with suppress(ProviderError):  # the first caller's transcription tells
            await self._pool.run(load)

    async def aclose(self) -> None:
        await self._pool.aclose()


class PocketSphinxTranscription:
    """One caller. Audio is collected, and decoded when the caller pauses."""

    def __init__(self, pool: SpeechPool, format: AudioFormat, options: SttOptions) -> None:
        self._pool = pool
        self._format = format
        self._phrases = tuple(options.phrases)
        self._open = bool(settings_for(options.extra, "local").get("open"))
        self._audio = bytearray()
        self._fed = 0
        self._longest = format.size(LONGEST)
        self._inbox: Inbox[Transcript] = Inbox()
        self._order = asyncio.Lock()  # turns are answered one after the other
        self._tasks: set[asyncio.Task[None]] = set()
        self._begin(self._prepare())

    def feed(self, audio: bytes) -> None:
        self._audio += audio
        self._fed += len(audio)
        if len(self._audio) > self._longest * 1.2:
            del self._audio[: len(self._audio) - self._longest]

    def finish_turn(self) -> None:
        audio, self._audio = bytes(self._audio), bytearray()
        self._begin(self._decode(audio, self._format.duration(self._fed)))

    async def results(self) -> AsyncGenerator[Transcript, None]:
        async for transcript in self._inbox.read():
            yield transcript

    async def aclose(self) -> None:
        self._inbox.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _prepare(self) -> None:
        with suppress(ProviderError):  # the first turn tells
            await self._pool.run(prepare, self._phrases, self._open)

    async def _decode(self, audio: bytes, until_ms: float) -> None:
        try:
            async with self._order:
                text, confidence = await self._pool.run(
                    recognise, audio, self._format, self._phrases, self._open
                )
        except ProviderError as error:
            self._inbox.fail(error)
        else:
            self._inbox.put(
                Transcript(text, final=True, closes=True, confidence=confidence, until_ms=until_ms)
            )


# What follows runs in the pool's processes.

_open: Any = None  # the decoder of open speech: the large vocabulary, 100 MB
_lists: OrderedDict[tuple[str, ...], Any] = OrderedDict()


def load() -> None:
    """Import what is needed."""
    try:
        import pocketsphinx  # noqa: F401
    except ImportError as error:
        raise ImportError("local speech to text needs the package pocketsphinx") from error


def prepare(phrases: tuple[str, ...], open_speech: bool) -> None:
    """Make ready what `recognise` will need."""
    decoder = _decoder_of(phrases) if phrases else None
    if decoder is None or open_speech:
        _large()


def recognise(
    audio: bytes, format: AudioFormat, phrases: tuple[str, ...], open_speech: bool
) -> tuple[str, float | None]:
    """Return what was said, and how sure that is; an empty text when nothing was, or nothing of the list."""
    pcm = _speech(convert(audio, format, WIDE_BAND))
    if not pcm:
        return "", None
    decoder = _decoder_of(phrases) if phrases else None
    if decoder is not None:
        heard = _decode(decoder, pcm, _GRAMMAR)
        if heard and heard == _decode(decoder, pcm, _MODEL):
            return heard, 0.9
        if not open_speech:
            return "", None
    return _decode(_large(), pcm, None), 0.4


def _speech(pcm: bytes) -> bytes:
    """Cut off what is before and after the loud part; empty when there is none."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    count = len(samples) // _FRAME
    if not count:
        return b""
    level = np.sqrt((samples[: count * _FRAME].reshape(count, _FRAME) ** 2).mean(axis=1))
    floor = float(np.percentile(level, 10))
    loud = np.flatnonzero(level > max(100.0, min(floor * 3, float(level.max()) / 4)))
    if len(loud) < 4:
        return b""
    begin, end = max(int(loud[0]) - _AROUND, 0), int(loud[-1]) + _AROUND
    return pcm[begin * _FRAME * 2 : end * _FRAME * 2]


def _decode(decoder: Any, pcm: bytes, search: str | None) -> str:
    if search is not None:
        decoder.activate_search(search)
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    best = decoder.hyp()
    return best.hypstr.strip() if best is not None else ""


def _large() -> Any:
    global _open
    if _open is None:
        _open = _new_decoder()
    return _open


def _decoder_of(phrases: tuple[str, ...]) -> Any:
    """Return the decoder of a phrase list, None when none of it can be recognised."""
    if phrases in _lists:
        _lists.move_to_end(phrases)
        return _lists[phrases]
    said = sentences(phrases)
    pronounced = _pronunciations({word for words in said for word in words})
    # A word without a known pronunciation makes its whole phrase useless.
    said = [words for words in said if all(word in pronounced for word in words)]
    decoder = None
    if said:
        # A dictionary of just these words: with the large one, adding a model takes ten seconds.
        with tempfile.TemporaryDirectory() as folder:
            lines = [line for words in said for word in words for line in pronounced[word]]
            dictionary = _written(folder, "words.dict", "".join(dict.fromkeys(lines)))
            decoder = _new_decoder(dict=dictionary, lm=None)
            decoder.add_lm_file(_MODEL, _written(folder, "phrases.lm", language_model(said)))
            decoder.add_jsgf_string(_GRAMMAR, grammar(said))
    _lists[phrases] = decoder
    if len(_lists) > _KEPT:
        _lists.popitem(last=False)
    return decoder


def _new_decoder(**settings: Any) -> Any:
    import pocketsphinx

    return pocketsphinx.Decoder(samprate=WIDE_BAND.rate, lw=_WEIGHT, logfn=os.devnull, **settings)


def _pronunciations(words: set[str]) -> dict[str, list[str]]:
    """Return the dictionary's lines of these words; a word may have several: "read", "read(2)"."""
    import pocketsphinx

    found: dict[str, list[str]] = {}
    with open(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")) as lines:
        for line in lines:
            word = line.split(" ", 1)[0].partition("(")[0]
            if word in words:
                found.setdefault(word, []).append(line)
    return found


def _written(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write(text)
    return path
