"""Whether a machine has taken an outbound call: a long monologue, what machines say, or the tone. Times in ms."""

import re
from typing import Final

import numpy as np

from voice.audio import AudioFormat

from .mulaw import samples

MONOLOGUE_MS: Final = 5000.0  # nobody answers the telephone with so long a speech
BREATH_MS: Final = 1200.0  # a longer pause ends it
LISTEN_MS: Final = 30_000.0  # after this a person has taken the call
QUIET_MS: Final = 2000.0  # after the greeting: a machine without a tone records now

_SAID_BY_MACHINES: Final = re.compile(
    r"leave (?:a|your|me a) (?:message|name)|after the (?:tone|beep|signal)|at the (?:tone|beep)|voice ?mail"
    r"|mailbox|can(?:'|no)t (?:come to|take your)|is not available|not available to take|unable to (?:take|answer)"
    r"|(?:nach|auf) dem (?:signal|piep)ton|nachricht (?:nach|auf)|anrufbeantworter|mailbox|nicht erreichbar"
    r"|messagerie|après le (?:bip|signal)|laissez (?:un|votre) message|buzón de voz|después del tono"
    r"|deje su mensaje|segreteria telefonica|dopo il segnale|caixa postal|após o sinal|na de (?:piep|toon)",
    re.IGNORECASE,
)


class VoicemailDetector:
    """One outbound call's beginning. `detected` says why, once something was found."""

    def __init__(self) -> None:
        self.detected = ""
        self.beeped = False
        self._began: float | None = None
        self._talk_from: float | None = None
        self._last_voice = 0.0

    def over(self, now: float) -> bool:
        """Tell whether it is too late for a machine to show itself."""
        return not self.detected and self._began is not None and now - self._began > LISTEN_MS

    def window(self, now: float, voiced: bool) -> None:
        if self._began is None:
            self._began = now
        if not voiced:
            return
        if self._talk_from is None or now - self._last_voice > BREATH_MS:
            self._talk_from = now
        self._last_voice = now
        if not self.detected and now - self._talk_from >= MONOLOGUE_MS:
            self.detected = "monologue"

    def words(self, text: str) -> None:
        if not self.detected and _SAID_BY_MACHINES.search(text):
            self.detected = "words"

    def beep(self) -> None:
        self.beeped = True
        self.detected = self.detected or "tone"

    def ready(self, now: float) -> bool:
        """Tell whether a message can be left now."""
        return self.beeped or (bool(self.detected) and now - self._last_voice >= QUIET_MS)


_BEEP_MS: Final = 180.0
_LEAST_POWER: Final = 1e-4  # of full scale: -40 dB
_PURE: Final = 0.8  # of the power in one narrow peak: speech spreads it


class BeepDetector:
    """Finds a pure tone between 350 and 2600 Hz that lasts. Meant for the first half minute of a call only."""

    def __init__(self, format: AudioFormat) -> None:
        self._format = format
        self._size = format.size(32)
        self._held = bytearray()
        self._pitch = 0.0
        self._lasted = 0.0
        count = self._size // format.width
        self._taper = np.hanning(count)
        self._hertz = np.fft.rfftfreq(count, 1 / format.rate)

    def push(self, audio: bytes) -> bool:
        """Take the next audio. True when the tone has lasted long enough."""
        self._held += audio
        while len(self._held) >= self._size:
            piece = bytes(self._held[: self._size])
            del self._held[: self._size]
            pitch = self._tone(piece)
            # A tone that glides is a voice or a melody.
            same = pitch and (not self._pitch or abs(pitch - self._pitch) < 40)
            self._lasted = self._lasted + 32 if same else (32.0 if pitch else 0.0)
            self._pitch = pitch
        return self._lasted >= _BEEP_MS

    def _tone(self, piece: bytes) -> float:
        """The pitch of a pure tone, else 0."""
        wave = samples(piece, self._format).astype(np.float64) / 32768
        if float(np.mean(wave * wave)) < _LEAST_POWER:
            return 0.0
        power = np.abs(np.fft.rfft(wave * self._taper)) ** 2
        peak = int(power.argmax())
        narrow = float(power[max(0, peak - 2) : peak + 3].sum())
        if narrow < _PURE * float(power.sum()) or not 350 <= self._hertz[peak] <= 2600:
            return 0.0
        return float(self._hertz[peak])
