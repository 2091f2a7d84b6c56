"""Twilio's webhooks: a call comes in, was answered, changed its state; a stream began or ended.

Plain views with form bodies. A signature is checked against the address that settings name, never against
what a header claims. What Twilio repeats has the same effect once.
"""

import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec
from urllib.parse import quote

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from networks.models import Network
from voice import addresses, metrics, sessions, slots, tokens, twiml
from voice.config import TRANSPORT, SessionConfig
from voice.config_parsing import ConfigInvalid, parse, to_json
from voice.models import PhoneCall, PhoneNumber, VoiceSession
from web.requests import current_request_id

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]
log = structlog.get_logger(__name__)

_OVER = {
    "completed": "caller_hung_up",
    "busy": "busy",
    "no-answer": "no_answer",
    "failed": "failed",
    "canceled": "cancelled",
}


def signed(view: "View[P]") -> "View[P]":
    """Let only Twilio in: 403 without a valid signature, and always when there is no auth token."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        url = addresses.webhook_url(request.get_full_path())
        signature = request.headers.get("X-Twilio-Signature", "")
        form = dict(request.POST.lists())
        if not tokens.signed_by_twilio(settings.TWILIO["auth_token"], signature, url, form):
            metrics.refused("webhook")
            log.warning("a webhook is refused: its signature is missing or wrong", path=request.path)
            return HttpResponseForbidden("The signature is missing or wrong.\n", content_type="text/plain")
        return view(request, *args, **kwargs)

    return csrf_exempt(require_POST(guarded))


@signed
def incoming(request: HttpRequest) -> HttpResponse:
    """Somebody dialled one of our numbers."""
    number = (
        PhoneNumber.objects.select_related("network")
        .filter(number=_field(request, "To"), active=True)
        .first()
    )
    if number is None:
        return _answer(twiml.say(twiml.UNKNOWN))
    if number.sip_uri:
        return _answer(twiml.sip(_addressed(number.sip_uri, request)))
    try:
        config = parse(number.config, provider="twilio", network_id=number.network_id or "")
    except ConfigInvalid as error:
        log.error("a number's config cannot be used", number=number.pk, error=str(error)[:300])
        return _answer(twiml.say(twiml.UNAVAILABLE))
    return _connect(request, config, project_id=number.project_id)


@signed
def incoming_session(request: HttpRequest, session_id: str) -> HttpResponse:
    """Somebody dialled a number that a client has pointed at one of its voice sessions."""
    session = VoiceSession.objects.filter(sessions.live(), pk=session_id).first()
    if session is None:
        return _answer(twiml.say(twiml.UNAVAILABLE))
    config = sessions.config_of(session)
    return _connect(request, config, project_id=session.project_id, session_id=session.pk)


@signed
def answered(request: HttpRequest, call_id: str) -> HttpResponse:
    """Somebody answered a call that we placed."""
    call = PhoneCall.objects.filter(pk=call_id, direction=PhoneCall.Direction.OUTBOUND).first()
    if call is None:
        return _answer(twiml.hang_up())
    caller = slots.Incoming(
        project_id=call.project_id,
        network_id=call.network_id,
        transport="twilio",
        external_id=_field(request, "CallSid"),
        call_id=call.pk,
    )
    return _reserve(caller)


@signed
def call_status(request: HttpRequest, call_id: str = "") -> HttpResponse:
    """A call's state has changed; a final one ends the call here, too, wherever it is."""
    reason = _OVER.get(_field(request, "CallStatus"))
    if reason and (call := _call(request, call_id)):
        slots.ask_to_end(call.pk, reason)
    return HttpResponse(status=204)


@signed
def stream_status(request: HttpRequest) -> HttpResponse:
    """A stream has begun, ended or failed."""
    event = _field(request, "StreamEvent")
    if event in ("stream-stopped", "stream-error") and (call := _call(request)):
        if error := _field(request, "StreamError"):
            log.error("Twilio could not stream a call", call_id=call.pk, error=error[:300])
        slots.ask_to_end(call.pk, "caller_hung_up" if event == "stream-stopped" else "transport_lost")
    return HttpResponse(status=204)


@signed
def whisper(request: HttpRequest, call_id: str) -> HttpResponse:
    """A person has answered who is about to take a caller over: say what it is about."""
    texts = PhoneCall.objects.filter(pk=call_id).values_list("handover", flat=True)
    return _answer(twiml.whisper(texts.first() or ""))


def _connect(
    request: HttpRequest, config: SessionConfig, *, project_id: str, session_id: str = ""
) -> HttpResponse:
    if config.connectors[TRANSPORT].primary == "livekit" and settings.LIVEKIT["sip_uri"]:
        return _answer(twiml.sip(_addressed(settings.LIVEKIT["sip_uri"], request)))
    networks = Network.objects.filter(pk=config.network_id, project_id=project_id)
    if config.network_id and not networks.filter(status=Network.Status.ACTIVE).exists():
        return _answer(twiml.say(twiml.UNAVAILABLE))
    caller = slots.Incoming(
        project_id=project_id,
        network_id=config.network_id or None,
        transport="twilio",
        external_id=_field(request, "CallSid"),
        session_id=session_id,
        config=to_json(config),
        from_number=_field(request, "From"),
        to_number=_field(request, "To"),
        request_id=current_request_id(),
    )
    return _reserve(caller)


def _reserve(caller: slots.Incoming) -> HttpResponse:
    """Connect the caller to a slot, or say politely that there is none."""
    if not caller.external_id:
        return HttpResponse("CallSid is missing.\n", status=400, content_type="text/plain")
    try:
        slot = slots.reserve(caller)
    except slots.Refused as refusal:
        if refusal.reason == "over":
            return _answer(twiml.hang_up())
        metrics.refused(refusal.reason)
        log.warning("a caller is told that all lines are busy", why=refusal.reason)
        return _answer(twiml.say(twiml.BUSY))
    token = addresses.call_token(caller.external_id, slot.worker, slot.nonce, now=time.time())
    url = addresses.stream_url(slot.address, slot.worker, token)
    return _answer(twiml.stream(url, status_callback=addresses.webhook_url("/twilio/stream-status")))


def _call(request: HttpRequest, call_id: str = "") -> PhoneCall | None:
    calls = PhoneCall.objects.filter(transport="twilio")
    if call_id:
        return calls.filter(pk=call_id).first()
    sid = _field(request, "CallSid")
    return calls.filter(external_id=sid).first() if sid else None


def _addressed(uri: str, request: HttpRequest) -> str:
    """A SIP address in which `{to}` and `{from}` stand for the numbers of the call.

    A caller may give any text for a number (some trunks pass it on): it must not become another address.
    """
    for name, field in (("{to}", "To"), ("{from}", "From")):
        uri = uri.replace(name, quote(_field(request, field), safe="+"))
    return uri


def _field(request: HttpRequest, name: str) -> str:
    return request.POST.get(name, "").strip()[:100].replace("\0", "")


def _answer(text: str) -> HttpResponse:
    return HttpResponse(text, content_type="text/xml; charset=utf-8")
