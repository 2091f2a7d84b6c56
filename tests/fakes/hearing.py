"""What a fake recogniser understands: words written into the sound, or scripted ones told by its loudness."""

import numpy as np

from .stamps import Words

SPEECH_PEAK = 1000  # of 32768: about -30 dB
BREAK_MS = 600.0  # of silence, after which speech is another utterance

# How loud a mu-law code is, as eight bits: speech or not.
_LOUD = bytes(
    1 if ((((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84 >= SPEECH_PEAK else 0
    for code in (~n & 0x7F for n in range(256))
)


class Hearing:
    """Follows one stream. `text` is what is understood of the present segment, `settled_ms` where it began."""

    def __init__(self, encoding: str, rate: int, utterances: tuple[str, ...], word_ms: float) -> None:
        self.at_ms = 0.0
        self.settled_ms = 0.0
        self.speech_ms = 0.0  # of the whole stream
        self.silence_ms = 0.0  # since the last speech
        self.text = ""
        self._mulaw = encoding == "mulaw"
        self._bytes_a_ms = rate * (1 if self._mulaw else 2) / 1000
        self._utterances = list(utterances)
        self._word_ms = word_ms
        self._words: list[str] = []  # of the present utterance, not yet settled
        self._told = 0
        self._voiced_ms = 0.0  # of the present utterance
        self._stamps = Words() if not utterances and self._mulaw else None
        self._scripted = bool(utterances)

    def feed(self, audio: bytes) -> bool:
        """Take audio; True when more words are understood now."""
        milliseconds = len(audio) / self._bytes_a_ms
        self.at_ms += milliseconds
        before = self.text
        if self._loud(audio):
            if self._scripted and not self._words and (self.silence_ms > BREAK_MS or not self._voiced_ms):
                self._words = self._utterances.pop(0).split() if self._utterances else []
                self._told, self._voiced_ms = 0, 0.0
            self.speech_ms += milliseconds
            self._voiced_ms += milliseconds
            self.silence_ms = 0.0
            if self._scripted:
                known = min(int(self._voiced_ms / self._word_ms), len(self._words))
                self.text = " ".join(self._words[self._told : known])
        else:
            self.silence_ms += milliseconds
        if self._stamps is not None and self._stamps.feed(audio):
            self.text = self._stamps.text(0.9)
        return self.text != before

    def settle(self) -> tuple[str, float, float]:
        """End the segment: return its words, where it began and how long it was, in ms."""
        if self._scripted:
            text = " ".join(self._words[self._told :])
            self._words, self._told, self._voiced_ms = [], 0, 0.0
        else:
            text = self._stamps.text() if self._stamps is not None else ""
        if self._stamps is not None:
            self._stamps.forget()
        start, self.settled_ms = self.settled_ms, self.at_ms
        self.text = ""
        return text, start, self.at_ms - start

    def _loud(self, audio: bytes) -> bool:
        if self._mulaw:
            return 1 in audio.translate(_LOUD)
        samples = np.frombuffer(audio[: len(audio) & ~1], "<i2")
        return bool(len(samples)) and int(np.abs(samples.astype(np.int32)).max()) >= SPEECH_PEAK
