"""What the API shows of voice sessions, telephone numbers and phone calls."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from voice.addresses import webhook_url
from voice.config_parsing import to_json
from voice.models import CallEvent, PhoneCall, PhoneNumber, Turn, VoiceSession
from voice.redaction import mask_number
from voice.sessions import config_of, remaining_seconds


def shape_session(session: VoiceSession) -> dict[str, Any]:
    """A session in a list; its config and what opens it are not shown there."""
    return {
        "id": session.pk,
        "session_id": session.pk,
        "network_id": session.network_id,
        "provider": session.provider,
        "version": session.version,
        "ttl_seconds": remaining_seconds(session),
        "expires_at": session.expires_at,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
    }


def shape_session_detail(session: VoiceSession, calls: Sequence[PhoneCall]) -> dict[str, Any]:
    """A session with its config and who is in it."""
    return shape_session(session) | {
        "config": to_json(config_of(session)),
        "participants": [_participant(call) for call in calls],
    }


def shape_config(session: VoiceSession) -> dict[str, Any]:
    return {
        "session_id": session.pk,
        "version": session.version,
        "config": to_json(config_of(session)),
    }


def shape_ttl(session: VoiceSession) -> dict[str, Any]:
    return {
        "session_id": session.pk,
        "ttl_seconds": remaining_seconds(session),
        "expires_at": session.expires_at,
    }


def shape_number(number: PhoneNumber) -> dict[str, Any]:
    """A telephone number, and what its carrier is to be told."""
    return {
        "id": number.pk,
        "number_id": number.pk,
        "number": number.number,
        "network_id": number.network_id,
        "label": number.label,
        "config": number.config,
        "sip_uri": number.sip_uri,
        "active": number.active,
        "webhook_url": webhook_url("/twilio/voice"),
        "created_at": number.created_at,
        "updated_at": number.updated_at,
    }


def shape_call(call: PhoneCall) -> dict[str, Any]:
    """A call in a list."""
    caller, callee = parties(call)
    return {
        "id": call.pk,
        "call_id": call.pk,
        "network_id": call.network_id,
        "session_id": call.session_id or None,
        "run_id": call.run_id or None,
        "transport": call.transport,
        "direction": call.direction,
        "state": call.state,
        "from": caller,
        "to": callee,
        "external_id": call.external_id,
        "turn_count": call.turn_count,
        "interruptions": call.interruptions,
        "false_interruptions": call.false_interruptions,
        "mos": call.mos,
        "cost": float(call.cost),
        "seconds": _seconds(call.started_at, call.ended_at),
        "end_reason": call.end_reason or None,
        "error": call.error or None,
        "created_at": call.created_at,
        "started_at": call.started_at,
        "ended_at": call.ended_at,
    }


def shape_call_detail(call: PhoneCall, turns: Sequence[Turn]) -> dict[str, Any]:
    """A call with what was said, how fast, how well and for how much."""
    return shape_call(call) | {
        "worker": call.worker or None,
        "request_id": call.request_id or None,
        "config": call.config,
        "latencies": call.latencies,
        "statistics": call.statistics,
        "use": call.use,
        "recording": call.recording or None,
        "event_count": call.event_seq,
        "turns": [_turn(turn) for turn in turns],
        "transcript": [line for turn in turns for line in _lines(turn)],
    }


def call_event_data(event: CallEvent) -> dict[str, Any]:
    """An event as the API and the streams show it."""
    return {
        "id": f"{event.call_id}:{event.seq}",
        "call_id": event.call_id,
        "seq": event.seq,
        "type": event.type,
        "payload": event.payload,
        "at": event.at.isoformat().replace("+00:00", "Z"),
    }


def redacts(call: PhoneCall) -> bool:
    """Whether a call's config asks for personal data to be kept out of sight."""
    turn = call.config.get("turn") if isinstance(call.config, Mapping) else None
    return isinstance(turn, Mapping) and turn.get("redact") is True


def parties(call: PhoneCall) -> tuple[str, str]:
    """Who called whom. The other person's number is masked when the config says so; ours is no secret."""
    if not redacts(call):
        return call.from_number, call.to_number
    if call.direction == PhoneCall.Direction.OUTBOUND:
        return call.from_number, mask_number(call.to_number)
    return mask_number(call.from_number), call.to_number


def _participant(call: PhoneCall) -> dict[str, Any]:
    caller, callee = parties(call)
    return {
        "call_id": call.pk,
        "kind": "caller",
        "name": callee if call.direction == PhoneCall.Direction.OUTBOUND else caller,
        "transport": call.transport,
        "state": call.state,
        "joined_at": call.started_at,
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "number": turn.number,
        "caller_text": turn.caller_text,
        "reply_text": turn.reply_text,
        "heard_text": turn.heard_text,
        "interrupted": turn.interrupted,
        "speculative": turn.speculative,
        "note": turn.note,
        "latencies": turn.latencies,
        "stt": turn.stt or None,
        "tts": turn.tts or None,
        "model": turn.model or None,
        "cost": float(turn.cost),
        "config_version": turn.config_version,
        "error": turn.error or None,
        "started_at": turn.started_at,
    }


def _lines(turn: Turn) -> list[dict[str, Any]]:
    """What a turn adds to the conversation: of the reply, what the caller really heard."""
    said = [("note" if turn.note else "caller", turn.caller_text), ("agent", turn.heard_text)]
    return [
        {"role": role, "text": text, "turn": turn.number, "at": turn.started_at}
        for role, text in said
        if text
    ]


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return round((end - start).total_seconds(), 3) if start and end else None
