"""What clients do with voice sessions, telephone numbers and calls."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.utils import timezone
from psycopg.errors import UniqueViolation

from agents.models import Agent
from networks.models import ApiKey, Network, Project
from networks.selectors import networks_for
from web.problems import Conflict, FieldError, Invalid, NotAvailable, NotFound, Problem

from . import entrances, outbound, rooms, sessions, slots
from .config import TRANSPORT, SessionConfig
from .config_flow import LLM
from .config_parsing import NETWORK, parse, read, to_json
from .config_reading import Findings
from .dialog_config import check_dialog
from .models import PhoneCall, PhoneNumber, VoiceSession
from .selectors import access_session_for
from .transports.registry import TRANSPORTS

_BESIDE: Final = ("ttl_seconds", "provider")


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a body asks for, found to be right."""

    config: SessionConfig
    ttl_seconds: int

    @property
    def provider(self) -> str:
        return self.config.connectors[TRANSPORT].primary


def read_session(key: ApiKey, body: Any) -> NewSession:
    """Read the body of a new session: a config, its network, its life and its transport.

    Without `network_id`, an llm that is the network gets the first active one. Raises a problem that names
    everything that is wrong.
    """
    findings = Findings()
    members = _object(body)
    ttl = findings.integer(
        members.get("ttl_seconds"),
        "/ttl_seconds",
        default=sessions.DEFAULT_TTL,
        least=1,
        most=sessions.MAX_TTL,
    )
    provider = findings.choice(members.get("provider"), "/provider", default="", choices=tuple(TRANSPORTS))
    config = read(findings, members, provider=provider, beside=_BESIDE)
    return NewSession(_settled(key, findings, config), ttl)


def read_update(key: ApiKey, session: VoiceSession, body: Any) -> SessionConfig:
    """Read a config that is to take the place of a session's. The transport stays, for a call may be on it."""
    findings = Findings()
    config = read(findings, _object(body), provider=session.provider, network_id=session.network_id or "")
    transport = config.connectors[TRANSPORT].primary
    if transport in TRANSPORTS and transport != session.provider:
        findings.add(
            "/connectors/transport/primary",
            f"The session is on `{session.provider}`; another transport needs another session.",
            "fixed",
        )
    return _settled(key, findings, config)


def check_number_config(key: ApiKey, network: Network | None, body: Any) -> None:
    """Check the config of a telephone number that `network` answers. Findings lie below `/config`."""
    findings = Findings()
    config = read(findings, _object(body), provider="twilio", network_id=network.pk if network else "")
    if not config.network_id and NETWORK in config.connectors[LLM].names:
        findings.add(
            "/connectors/llm/primary", "The number has no network that could answer.", "needs_network"
        )
    elif config.network_id != (network.pk if network else ""):
        findings.add("/network_id", "Differs from the number's network.", "differs")
    _check_agent(findings, config)
    check_dialog(findings, key, config)
    _refuse(findings, below="/config")


def start_session(*, project: Project, wanted: NewSession) -> VoiceSession:
    """Create the session that was asked for, with its room where the transport has rooms."""
    return sessions.create_session(
        project=project,
        config=wanted.config,
        provider=wanted.provider,
        ttl_seconds=wanted.ttl_seconds,
        room=rooms.open_room(wanted.provider, seconds=wanted.ttl_seconds),
    )


def extend_session(*, session: VoiceSession, ttl_seconds: int) -> tuple[VoiceSession, dict[str, Any]]:
    """Set the life that is left to a session and its room. Returns it with a new way in. Blocks for the vendor's
    answer, and changes nothing of ours when that is no. Raises `DoesNotExist` when the session is over."""
    rooms.keep_room(session, seconds=ttl_seconds)
    session.expires_at = timezone.now() + timedelta(seconds=ttl_seconds)  # what the way in is made for
    way_in = entrances.entrance_of(session)
    return sessions.extend_session(session=session, ttl_seconds=ttl_seconds), way_in


def place_call(
    *, key: ApiKey, to: str, network_id: str = "", session_id: str = "", request_id: str = ""
) -> PhoneCall:
    """Call somebody on behalf of a network or of a session. Blocks for Twilio's answer."""
    config = config_for(key, network_id=network_id, session_id=session_id, provider="twilio")
    assert key.project_id is not None  # HasScope refuses keys without one
    try:
        return outbound.place_call(
            project_id=key.project_id,
            network_id=config.network_id or None,
            to=to,
            session_id=session_id,
            config=to_json(config),
            request_id=request_id,
        )
    except slots.Refused as refusal:
        raise Problem("lines_busy", "The project has as many calls as it may have.") from refusal
    except outbound.NotConfigured as error:
        raise NotAvailable("/to", f"Twilio cannot be asked to call: {error}") from error
    except outbound.CarrierFailed as error:
        if 400 <= error.status < 500 and error.status not in (401, 403, 429):
            raise Invalid("/to", str(error), "refused_by_carrier") from error
        raise Problem("carrier_failed", str(error)) from error


def config_for(
    key: ApiKey, *, network_id: str = "", session_id: str = "", provider: str = "web"
) -> SessionConfig:
    """The config of a live session, or the defaults with a network: the one that the caller names."""
    if session_id:
        try:
            session = access_session_for(key, session_id)
        except NotFound as error:
            raise Invalid("/session_id", str(error), "does_not_exist") from error
        if network_id and network_id != session.network_id:
            raise Invalid("/network_id", "Differs from the session's; give one of them.", "differs")
        return sessions.config_of(session)
    if not network_id:
        raise Invalid("/network_id", "Give `network_id` or `session_id`.", "required")
    network = networks_for(key).filter(pk=network_id).first()
    if network is None:
        raise Invalid("/network_id", f"There is no network {network_id}.", "does_not_exist")
    if network.status != Network.Status.ACTIVE:
        raise Conflict(f"network_{network.status}")
    return parse({}, provider=provider, network_id=network.pk)


def create_number(*, project: Project, **values: Any) -> PhoneNumber:
    """Register a telephone number. Raises `Conflict` when it is somebody's already."""
    return _saved(PhoneNumber(project=project, **values))


def update_number(*, number: PhoneNumber, changes: Mapping[str, Any]) -> PhoneNumber:
    """Change a number; calls in progress go on as they began."""
    for name, value in changes.items():
        setattr(number, name, value)
    return _saved(number)


def _saved(number: PhoneNumber) -> PhoneNumber:
    try:
        with transaction.atomic():
            number.save()
    except IntegrityError as error:
        if isinstance(error.__cause__, UniqueViolation):
            raise Conflict("number_taken") from error
        raise
    return number


def _object(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        detail = "Must be an object."
        raise Problem("validation_failed", detail, errors=[FieldError("", "not_an_object", detail)])
    return body


def _settled(key: ApiKey, findings: Findings, config: SessionConfig) -> SessionConfig:
    """Settle which network is meant; then raise what was found, if anything was."""
    llm = config.connectors[LLM]
    wanted = config.network_id
    network = None
    if wanted:
        network = networks_for(key).filter(pk=wanted).first()
        if network is None:
            findings.add("/network_id", f"There is no network {wanted}.", "does_not_exist")
    elif NETWORK in llm.names or key.network_ids:
        network = networks_for(key).filter(status=Network.Status.ACTIVE).order_by("id").first()
        if network is None:
            findings.add("/network_id", "Name the network that is to answer: there is none yet.", "required")
    settled = replace(config, network_id=network.pk) if network is not None else config
    _check_agent(findings, settled)
    check_dialog(findings, key, settled)
    _refuse(findings)
    return settled


def _check_agent(findings: Findings, config: SessionConfig) -> None:
    llm = config.connectors[LLM]
    agent_id = llm.config.get("agent_id")
    if not config.network_id or llm.primary != NETWORK or not isinstance(agent_id, str):
        return
    if not Agent.objects.filter(pk=agent_id, network_id=config.network_id).exists():
        findings.add(
            "/connectors/llm/config/agent_id", f"The network has no agent {agent_id[:40]}.", "does_not_exist"
        )


def _refuse(findings: Findings, below: str = "") -> None:
    if not findings.found:
        return
    errors = [FieldError(below + at, code, message) for at, message, code in findings.found]
    first = errors[0]
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    raise Problem("validation_failed", f"{first.pointer or 'The body'}: {first.detail}{more}", errors=errors)
