"""`manage.py voice_config validate|load FILE`: check a session config in a file, or make a session of it."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from networks.models import Network, Project
from voice import entrances, sessions
from voice.config import TRANSPORT, SessionConfig
from voice.config_parsing import NETWORK, read
from voice.config_reading import Finding, Findings
from voice.services import NewSession, start_session
from voice.transports.registry import TRANSPORTS
from web.problems import Problem

_BESIDE = ("ttl_seconds", "provider")


class Command(BaseCommand):
    help = "Check a voice session's config in a JSON file, or create a session with it."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("action", choices=["validate", "load"])
        parser.add_argument("file", type=Path, help="A JSON file, such as config/agent-config.json.")
        parser.add_argument("--network", default="", help="Its network, when the file names none.")
        parser.add_argument("--project", default="", help="Its project, when it has no network.")

    def handle(self, *args: Any, **options: Any) -> None:
        body = _body(options["file"])
        findings = Findings()
        ttl = findings.integer(
            body.get("ttl_seconds"),
            "/ttl_seconds",
            default=sessions.DEFAULT_TTL,
            least=1,
            most=sessions.MAX_TTL,
        )
        provider = findings.choice(body.get("provider"), "/provider", default="", choices=tuple(TRANSPORTS))
        config = read(findings, body, provider=provider, network_id=options["network"], beside=_BESIDE)
        if findings.found:
            raise CommandError(_told(findings.found))
        if options["action"] == "validate":
            names = " → ".join((TRANSPORT, *config.path(TRANSPORT, TRANSPORT), TRANSPORT))
            self.stdout.write(f"{options['file']} is right: {config.name}, {names}.")
            return
        self._load(config, ttl, options["project"])

    def _load(self, config: SessionConfig, ttl: int, project_id: str) -> None:
        config, project = _owner(config, project_id)
        try:
            entrances.check_configured(config.connectors[TRANSPORT].primary)
            session = start_session(project=project, wanted=NewSession(config, ttl))
            entrance = entrances.entrance_of(session)
        except Problem as problem:
            raise CommandError(str(problem)) from problem
        shown = {
            "session_id": session.pk,
            "expires_at": session.expires_at.isoformat(),
            "transport": entrance,
        }
        self.stdout.write(json.dumps(shown, indent=2))


def _body(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise CommandError(f"{path} is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise CommandError(f"{path} does not hold an object.")
    return body


def _owner(config: SessionConfig, project_id: str) -> tuple[SessionConfig, Project]:
    """Whose session it is: the network's project, else the one named, else the first one."""
    projects = Project.objects.filter(pk=project_id) if project_id else Project.objects.order_by("id")
    networks = Network.objects.select_related("project").order_by("id")
    if config.network_id:
        network = networks.filter(pk=config.network_id).first()
        if network is None:
            raise CommandError(f"There is no network {config.network_id}.")
        return config, network.project
    project = projects.first()
    if project is None:
        raise CommandError("There is no such project." if project_id else "There is no project yet.")
    if NETWORK not in config.connectors["llm"].names:
        return config, project
    network = networks.filter(project=project, status=Network.Status.ACTIVE).first()
    if network is None:
        raise CommandError(f"The project {project} has no network that could answer.")
    return replace(config, network_id=network.pk), project


def _told(found: list[Finding]) -> str:
    return "\n".join(f"{pointer or '(the whole)'}: {message}" for pointer, message, _ in found)
