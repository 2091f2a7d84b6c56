"""What a first start makes: tables, a project with a key and a network, an admin login. Idempotent."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

import agents.services
import networks.services
import voice.services
from meshsite.startup import write_secret
from networks import keys
from networks.models import ApiKey, Network, Project, Scope
from voice.models import PhoneNumber
from workflows.examples import load_examples
from workflows.models import Workflow

PROJECT = "Demo"
NUMBER = "+15005550006"  # Twilio's own for tests: no real line has it
# What callers of the demo are expected to say: without a key, the recogniser knows nothing else.
PHRASES = (
    "hello",
    "hello world",
    "what is your name",
    "what can you do",
    "what can you do for me",
    "what are your opening hours",
    "tell me about my order",
    "please call me tomorrow",
    "call forwarding",
    "call waiting",
    "do not disturb",
    "today",
    "tomorrow",
    "yesterday",
    "yes please",
    "no thank you",
    "i want to speak to a person",
    "stop",
    "goodbye",
)
ADMIN = "admin"
_ONE_AT_A_TIME = 7_236_837  # an advisory lock: several machines may start at once


class BootstrapError(Exception):
    """Bootstrapping stopped; the message says why."""


@dataclass(frozen=True)
class Made:
    """What there is now, in the words a person needs."""

    api_key: str
    network_id: str
    admin_user: str
    admin_password: str


def bootstrap(*, report: Callable[[str], object]) -> Made:
    """Bring the database up to date and make what is missing."""
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    with _alone():
        _migrate(report)
        project = Project.objects.filter(name=PROJECT).order_by("id").first()
        if project is None:
            report(f"Making the project {PROJECT} with its key and its network.")
            project = networks.services.create_project(name=PROJECT)
        network = Network.objects.filter(project=project).order_by("id").first()
        if network is None:
            network, _ = agents.services.create_network_with_agents(project=project, name=PROJECT)
            _demo_number(project, network)
        if not Workflow.objects.filter(project=project).exists():
            load_examples(project)
        return Made(_api_key(project), network.pk, ADMIN, _admin_password())


def _demo_number(project: Project, network: Network) -> None:
    """A number that simulated callers dial (`python -m tests.fakes.caller`)."""
    if PhoneNumber.objects.filter(number=NUMBER).exists():
        return
    stt = {"primary": "deepgram", "fallback": ["openai", "local"], "config": {"phrases": list(PHRASES)}}
    voice.services.create_number(
        project=project,
        network=network,
        number=NUMBER,
        label="Demo line",
        config={
            "system_prompt": "You answer the telephone of the demo network. Answer in one or two short sentences.",
            "connectors": {"stt": stt},
            "turn": {"greeting": "Hello, this is the demo network. How can I help you?"},
        },
    )


def _migrate(report: Callable[[str], object]) -> None:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        report(f"Applying {len(plan)} migrations.")
        call_command("migrate", interactive=False, verbosity=0)


def _api_key(project: Project) -> str:
    """MESH_API_KEY, else a key that was made once and is kept to be shown again."""
    path = settings.DATA_DIR / "api_key"
    wanted = settings.MESH_API_KEY or (path.read_text().strip() if path.exists() else keys.mint())
    if not keys.is_acceptable(wanted):
        raise BootstrapError(f"MESH_API_KEY needs {keys.MIN_IMPORTED} or more visible characters.")
    key, secret = _import(project, wanted)
    if key.revoked_at is not None and not settings.MESH_API_KEY:
        key, secret = _import(project, keys.mint())
    if not settings.MESH_API_KEY:
        write_secret(path, secret, replace=True)
    return secret


def _import(project: Project, secret: str) -> tuple[ApiKey, str]:
    return networks.services.create_api_key(
        project=project, name="First key", scopes=list(Scope.values), secret=secret
    )


def _admin_password() -> str:
    """The password of the admin login as it was made; it may have been changed since."""
    users = get_user_model().objects
    path = settings.DATA_DIR / "admin_password"
    if users.filter(username=ADMIN).exists():
        return path.read_text().strip() if path.exists() else "(not made here)"
    password = write_secret(path, secrets.token_urlsafe(12))
    users.create_superuser(username=ADMIN, password=password)
    return password


@contextmanager
def _alone() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_ONE_AT_A_TIME])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_ONE_AT_A_TIME])
