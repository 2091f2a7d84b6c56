"""Telephone numbers and calls to ask for, and a telephone company that never dials."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from networks.models import Network
from voice.audio import AudioFormat
from voice.config_parsing import parse
from voice.models import CallEvent, PhoneCall, PhoneNumber, Turn
from voice.respond import Answer
from voice.sessions import create_session
from voice.synthesize import Spoken, wav

TELEPHONE_PCM = AudioFormat("pcm16", 8000)


def make_number(network: Network, number: str = "+15005550006") -> PhoneNumber:
    return PhoneNumber.objects.create(project=network.project, network=network, number=number)


def make_call(network: Network, **values: Any) -> PhoneCall:
    """A call with one turn and three events, which has ended unless `state` says otherwise."""
    now = timezone.now()
    call = PhoneCall.objects.create(
        **{
            "project": network.project,
            "network": network,
            "transport": "twilio",
            "state": "ended",
            "external_id": f"CA{PhoneCall.objects.count()}",
            "from_number": "+15005550001",
            "to_number": "+15005550006",
            "config": {"system_prompt": "Be kind.", "turn": {"redact": False}},
            "turn_count": 1,
            "event_seq": 3,
            "mos": 4.2,
            "latencies": {"first_frame": {"p50": 410.0, "p95": 520.0, "p99": 540.0}},
            "use": [{"connector": "local", "kind": "tts", "seconds": 2.5, "characters": 21, "cost": 0.0}],
            "cost": "0.0125",
            "end_reason": "caller_hung_up",
            "started_at": now,
            "ended_at": now + timedelta(seconds=30),
        }
        | values
    )
    Turn.objects.create(
        call=call,
        number=1,
        caller_text="What does the TechPro cost?",
        reply_text="It costs ninety dollars, and ships today.",
        heard_text="It costs ninety dollars",
        interrupted=True,
        latencies={"stt_final": 120.0, "first_frame": 410.0},
        stt="local",
        tts="local",
        model="rehearsal",
        cost="0.0125",
        config_version=1,
        started_at=now,
    )
    for seq, kind in enumerate(("call.started", "turn.completed", "call.ended"), 1):
        CallEvent.objects.create(call=call, seq=seq, type=kind, payload={"n": seq}, at=now)
    return call


def voice_ids(network: Network) -> dict[str, str]:
    """A session, a number and a call of a network, by the names that addresses have for them."""
    session = create_session(project=network.project, config=parse({}, network_id=network.pk), provider="web")
    return {
        "session_id": session.pk,
        "number_id": make_number(network).pk,
        "call_id": make_call(network).pk,
    }


def never_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer and speak at once, without models and voices."""

    async def obtain() -> None:
        return None

    async def respond(parts: None, **values: Any) -> Answer:
        return Answer(
            reply="Hello.", model="rehearsal", provider="rehearsal", first_token_ms=1.0, total_ms=2.0
        )

    async def synthesize(parts: None, **values: Any) -> Spoken:
        return Spoken(b"RIFF", 10.0, "local", 1.0, 2.0, ())

    monkeypatch.setattr("voice.standalone.obtain", obtain)
    monkeypatch.setattr("voice.api.services.respond", respond)
    monkeypatch.setattr("voice.api.services.synthesize", synthesize)


def never_join(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer offers and join rooms at once, of any session, without media."""

    async def enter(slot: None, offer: dict[str, str]) -> dict[str, str]:
        return {"call_id": "call_1"} | ({"sdp": "v=0", "type": "answer"} if offer else {"room": "mesh-1"})

    monkeypatch.setattr("voice.api.joining.reserve_slot", lambda session, providers: None)
    monkeypatch.setattr("voice.api.joining.enter_slot", enter)


def have_recordings(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Give every call the same recording: a WAV file without a sample."""
    path = folder / "recording.wav"
    path.write_bytes(wav(b"", TELEPHONE_PCM))
    monkeypatch.setattr("voice.recordings.path_of", lambda call: path)


def never_dial(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Write calls down instead of placing them; returns what was asked for."""
    asked: list[dict[str, Any]] = []

    def place_call(**values: Any) -> PhoneCall:
        asked.append(values)
        return PhoneCall.objects.create(
            project_id=values["project_id"],
            network_id=values["network_id"],
            session_id=values["session_id"],
            transport="twilio",
            direction="outbound",
            state="dialling",
            from_number="+15005550006",
            to_number=values["to"],
            config=values["config"],
        )

    monkeypatch.setattr("voice.outbound.place_call", place_call)
    return asked
