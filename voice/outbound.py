"""Twilio's REST: placing calls, transferring them, hanging them up. Blocking; event loops use a thread."""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Final, Literal

import structlog
from django.conf import settings
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from voice import slots, twiml
from voice.addresses import webhook_url
from voice.models import PhoneCall, PhoneNumber
from voice.pipeline.ports import NotPossible
from voice.slots import CallRecord

log = structlog.get_logger(__name__)

REST_SECONDS: Final = 10.0
_VENDOR: Final = "https://api.twilio.com"
_NUMBER = re.compile(r"\+[1-9]\d{4,14}")
_SIP = re.compile(r"sips?:[\w.+\-]+@[\w.\-]+(:\d+)?(;[\w=.\-]+)*")
_State = PhoneCall.State


class NotConfigured(Exception):
    """Calls cannot be placed; the message says what is missing."""


class CarrierFailed(Exception):
    """Twilio refused or could not be reached; the message is for the client. `status` is 0 for the latter."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def place_call(
    *,
    project_id: str,
    network_id: str | None,
    to: str,
    from_number: str = "",
    session_id: str = "",
    config: Mapping[str, Any] | None = None,
    request_id: str = "",
) -> PhoneCall:
    """Have Twilio dial `to`; it asks us what to do when somebody answers. `config` is the session config's JSON.

    Without `from_number` the caller id is a number of the network or project, else TWILIO_PHONE_NUMBER.
    Raises `NotConfigured`, `slots.Refused`, and `CarrierFailed`, of which the call's row tells as well.
    """
    if not is_dialable(to):
        raise CarrierFailed("`to` is neither an E.164 number nor a SIP address.", 422)
    client = _client()
    from_number = from_number or _caller_id(project_id, network_id)
    if not from_number:
        raise NotConfigured("There is no number to call from: set TWILIO_PHONE_NUMBER, or add a number.")
    call = PhoneCall(
        project_id=project_id,
        network_id=network_id,
        session_id=session_id,
        transport="twilio",
        direction=PhoneCall.Direction.OUTBOUND,
        state=_State.DIALLING,
        from_number=from_number,
        to_number=to[:40],
        config=dict(config or {}),
        request_id=request_id,
    )
    slots.dial(call)
    try:
        made = client.calls.create(
            to=to,
            from_=from_number,
            url=webhook_url(f"/twilio/answered/{call.pk}"),
            method="POST",
            status_callback=webhook_url(f"/twilio/status/{call.pk}"),
            status_callback_method="POST",
            status_callback_event=["initiated", "ringing", "answered", "completed"],
        )
    except (TwilioException, OSError) as error:
        failure = _failure(error)
        slots.finish(call.pk, "failed", error=str(failure))
        raise failure from error
    # The person may have answered before this line: then the id is there already.
    PhoneCall.objects.filter(pk=call.pk, external_id="").update(external_id=made.sid)
    call.refresh_from_db()
    return call


def update_call(call_sid: str, *, twiml: str = "", status: str = "") -> None:
    """Give a call in progress other orders. Raises `NotConfigured` and `CarrierFailed`."""
    orders = {"twiml": twiml} if twiml else {"status": status}
    try:
        _client().calls(call_sid).update(**orders)
    except (TwilioException, OSError) as error:
        raise _failure(error) from error


class TwilioLine:
    """Control over one Twilio call: a `voice.pipeline.ports.LineControl`."""

    def __init__(self, record: CallRecord, in_thread: Callable[..., Awaitable[Any]]) -> None:
        self._record = record
        self._in_thread = in_thread

    async def transfer(self, to: str, *, mode: Literal["cold", "warm"], summary: str) -> None:
        """Have Twilio connect the caller to `to`; it takes the stream away by that. A warm transfer whispers
        the summary to the person first."""
        if not is_dialable(to):
            raise NotPossible("The number to transfer to is not a complete telephone number.")
        outbound = self._record.direction == PhoneCall.Direction.OUTBOUND
        orders = twiml.transfer(
            to,
            caller_id=self._record.from_number if outbound else "",
            whisper_url=webhook_url(f"/twilio/whisper/{self._record.id}") if mode == "warm" else "",
        )
        if mode == "warm":
            await self._in_thread(_keep_handover, self._record.id, summary)
        await self._order(twiml=orders)

    async def hang_up(self) -> None:
        """End the call. Without an account the closed stream ends it: no TwiML follows `<Connect>`."""
        if settings.TWILIO["account_sid"]:
            await self._order(status="completed")

    async def _order(self, **orders: str) -> None:
        try:
            await self._in_thread(update_call, self._record.external_id, **orders)
        except NotConfigured as error:
            raise NotPossible(f"Calls cannot be transferred here: {error}") from None
        except CarrierFailed as error:
            log.warning("Twilio did not take an order", why=str(error)[:300])
            raise NotPossible("The telephone company did not take the order.") from error


def is_dialable(to: str) -> bool:
    """Whether it is an E.164 number or a SIP address."""
    return bool(_NUMBER.fullmatch(to) or _SIP.fullmatch(to))


def _keep_handover(call_id: str, summary: str) -> None:
    PhoneCall.objects.filter(pk=call_id).update(handover=summary[:2000])


def _caller_id(project_id: str, network_id: str | None) -> str:
    numbers = PhoneNumber.objects.filter(project_id=project_id, active=True).order_by("created_at")
    own = numbers.filter(network_id=network_id).first() if network_id else None
    found = own or numbers.first()
    return found.number if found else str(settings.TWILIO["phone_number"])


def _client() -> Client:
    given = settings.TWILIO
    if not (given["account_sid"] and given["auth_token"]):
        raise NotConfigured("Set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN.")
    return _made(given["account_sid"], given["auth_token"], given["base_url"])


@cache
def _made(account_sid: str, auth_token: str, base_url: str) -> Client:
    return Client(account_sid, auth_token, http_client=_Http(base_url.rstrip("/")))


class _Http(TwilioHttpClient):
    """The library's client, which can be sent to a local server instead, and never waits for ever."""

    def __init__(self, base_url: str) -> None:
        super().__init__(timeout=REST_SECONDS)
        self._base_url = base_url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        if self._base_url and url.startswith(_VENDOR):
            url = self._base_url + url[len(_VENDOR) :]
        return super().request(method, url, *args, **kwargs)


def _failure(error: Exception) -> CarrierFailed:
    if isinstance(error, TwilioRestException):
        return CarrierFailed(f"Twilio refused: {error.msg} (code {error.code})", error.status)
    return CarrierFailed(f"Twilio could not be reached: {type(error).__name__}")
