"""System checks: what is wrong with the environment, said at start instead of at three in the morning.

    mesh.E001 DATABASE_URL        mesh.E006 lease and sweep        mesh.W001 models near retirement
    mesh.E002 REDIS_URL           mesh.E007 workers and steps      mesh.W002 unknown model in a chain
    mesh.E003 secret key          mesh.E008 provider base URL      mesh.W003 no Redis
    mesh.E004 MESH_API_KEY        mesh.E009 voice mode             mesh.W004 /metrics is open (deploy)
    mesh.E005 encryption key      mesh.E010 METRICS_TOKEN          mesh.W005 debug in public (deploy)
    mesh.E011 voice processes     mesh.E012 PUBLIC_VOICE_URL       mesh.W006 Twilio without https
    mesh.E013 TWILIO_BASE_URL     mesh.E014 stages without NATS    mesh.W007 extras that are missing
    mesh.E015 unknown stages      mesh.E016 NATS_URL               mesh.W008 numbers without an auth token
    mesh.E011 media storage       mesh.E017 NATS_PREFIX            mesh.E018 MESH_VOICE_INNER_URL

The checks of the catalogue read the database, so they run with `check --database default` and `migrate`.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import Error as DatabaseError
from django.utils import timezone

from voice.bus.subjects import KINDS
from voice.storage import media_folder

RETIREMENT_NOTICE = timedelta(days=60)
MINIMUM_KEY = 24
_POSTGRES = ("postgres", "postgresql", "psql", "pgsql")
_REDIS = ("redis", "rediss", "unix", "valkey", "valkeys", "redis+socket")
_LOCAL = ("localhost", "127.0.0.1", "::1", "")


def register_all() -> None:
    """Register every check; called once, when the apps are ready."""
    register(check_environment, Tags.compatibility)
    register(check_exposure, Tags.security, deploy=True)
    register(check_catalogue, Tags.database)
    register(check_numbers, Tags.database)


def check_environment(**_: Any) -> list[CheckMessage]:
    """Check the settings alone: no network, no database."""
    return [*_addresses(), *_secrets(), *_engine(), *_providers(), *_voice(), *_extras()]


def _addresses() -> Iterator[CheckMessage]:
    if settings.DATABASE_URL and urlsplit(settings.DATABASE_URL).scheme not in _POSTGRES:
        yield Error(
            "DATABASE_URL does not name a PostgreSQL server.",
            hint="postgres://user:password@host:5432/name; without it an embedded server is started.",
            id="mesh.E001",
        )
    for name in ("REDIS_URL", "CELERY_BROKER_URL"):
        value = getattr(settings, name)
        if value and urlsplit(value).scheme not in _REDIS:
            yield Error(
                f"{name} does not name a Redis or Valkey server.",
                hint="redis://host:6379/0, rediss://… or unix:///path/to.sock",
                id="mesh.E002",
            )
    if not settings.REDIS_URL:
        yield Warning(
            "There is no REDIS_URL: workers find work by sweeping, and breakers and limits are each worker's own.",
            hint="Set REDIS_URL, or start by `make run`, which brings a server along.",
            id="mesh.W003",
        )


def _secrets() -> Iterator[CheckMessage]:
    public = urlsplit(settings.PUBLIC_BASE_URL).hostname not in _LOCAL
    if public and not settings.DEBUG and (len(settings.SECRET_KEY) < 32 or "insecure" in settings.SECRET_KEY):
        yield Error(
            "DJANGO_SECRET_KEY is missing or weak, and PUBLIC_BASE_URL is not this machine.",
            hint="Sessions could be forged. Set 50 random characters, for example `openssl rand -base64 48`.",
            id="mesh.E003",
        )
    if settings.MESH_API_KEY and len(settings.MESH_API_KEY) < MINIMUM_KEY:
        yield Error(
            f"MESH_API_KEY has fewer than {MINIMUM_KEY} characters.",
            hint="Take a longer random one, or leave it empty and make keys in the admin.",
            id="mesh.E004",
        )
    for number, key in enumerate(filter(None, settings.MESH_ENCRYPTION_KEY.split(",")), 1):
        try:
            Fernet(key.strip())
        except ValueError:
            yield Error(
                f"Key {number} of MESH_ENCRYPTION_KEY is no Fernet key.",
                hint="32 bytes in URL-safe base64: python -c 'from cryptography.fernet import Fernet; "
                "print(Fernet.generate_key().decode())'. Several are separated by commas, the newest first.",
                id="mesh.E005",
            )
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < 16:
        yield Error("METRICS_TOKEN has fewer than 16 characters.", hint="Take a longer one.", id="mesh.E010")


def _engine() -> Iterator[CheckMessage]:
    lease, sweep = settings.MESH_LEASE_SECONDS, settings.MESH_SWEEP_SECONDS
    if not 0 < sweep < lease:
        yield Error(
            f"MESH_SWEEP_SECONDS ({sweep:g}) must be above 0 and below MESH_LEASE_SECONDS ({lease:g}).",
            hint="A lost worker's steps come back after lease + sweep; 30 and 5 are the defaults.",
            id="mesh.E006",
        )
    for name in ("MESH_WORKERS", "MESH_WORKER_STEPS"):
        if getattr(settings, name) < 1:
            yield Error(f"{name} must be at least 1.", hint="Otherwise nothing is ever run.", id="mesh.E007")
    if settings.MESH_VOICE not in ("inline", "separate"):
        yield Error(
            "MESH_VOICE is neither inline nor separate.", hint="inline is the default.", id="mesh.E009"
        )
    if media_folder(settings.MEDIA_STORAGE_URL) is None:
        yield Error(
            "MEDIA_STORAGE_URL names no folder: recordings cannot be kept there.",
            hint="A path or file:///path, on a disk that all voice and web processes share. Buckets are not built in.",
            id="mesh.E011",
        )


def _providers() -> Iterator[CheckMessage]:
    for name, provider in settings.PROVIDERS.items():
        if not (url := provider["base_url"]):
            continue
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            yield Error(
                f"The base URL of {name} is no http(s) address.",
                hint="For example https://api.example.com or http://localhost:8000/v1.",
                id="mesh.E008",
            )


def _voice() -> Iterator[CheckMessage]:
    least = {"MESH_VOICE_SLOTS": 1, "MESH_VOICE_PROCESSES": 0, "MESH_VOICE_PORT": 1}
    least |= {"MESH_VOICE_DRAIN_SECONDS": 0, "MESH_VOICE_CALLS_PER_PROJECT": 0}
    for name, value in least.items():
        if getattr(settings, name) < value:
            yield Error(f"{name} must be at least {value}.", hint="See .env.example.", id="mesh.E011")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,60}", settings.MESH_VOICE_NAME):
        yield Error(
            "MESH_VOICE_NAME is no part of a path.",
            hint="Letters, digits, dots and hyphens; each voice process has a name of its own.",
            id="mesh.E011",
        )
    if settings.PUBLIC_VOICE_URL and urlsplit(settings.PUBLIC_VOICE_URL).scheme not in ("ws", "wss"):
        yield Error(
            "PUBLIC_VOICE_URL is no wss:// address.",
            hint="wss://voice.example.com; it may hold {worker} and {port}.",
            id="mesh.E012",
        )
    inner = settings.MESH_VOICE_INNER_URL
    if inner and (urlsplit(inner).scheme not in ("http", "https") or "{worker}" not in inner):
        yield Error(
            "MESH_VOICE_INNER_URL is no http(s) address with {worker} in it.",
            hint="http://{worker}:8090 where processes find each other by name; else leave it empty.",
            id="mesh.E018",
        )
    if settings.TWILIO["base_url"] and urlsplit(settings.TWILIO["base_url"]).scheme not in ("http", "https"):
        yield Error(
            "TWILIO_BASE_URL is no http(s) address.", hint="Leave it empty for Twilio itself.", id="mesh.E013"
        )
    if settings.MESH_VOICE_STAGES and not settings.NATS_URL:
        yield Error(
            "MESH_VOICE_STAGES names stages, and there is no NATS_URL to reach them by.",
            hint="Set NATS_URL, or run all stages in the voice process.",
            id="mesh.E014",
        )
    if unknown := set(settings.MESH_VOICE_STAGES) - set(KINDS):
        yield Error(
            f"MESH_VOICE_STAGES names what is no stage: {', '.join(sorted(unknown))}.",
            hint=f"Stages that can live outside are {', '.join(KINDS)}.",
            id="mesh.E015",
        )
    if settings.NATS_URL and not re.fullmatch(r"(nats|tls|ws|wss)://[^\s/]+/?", settings.NATS_URL):
        yield Error(
            "NATS_URL is no address of a NATS server.",
            hint="It looks like nats://user:password@host:4222.",
            id="mesh.E016",
        )
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", settings.NATS_PREFIX):
        yield Error(
            "NATS_PREFIX is no part of a subject.",
            hint="Letters, digits, - and _; at most 32.",
            id="mesh.E017",
        )
    if (
        settings.TWILIO["account_sid"]
        and not settings.TWILIO["base_url"]
        and not settings.PUBLIC_BASE_URL.startswith("https://")
    ):
        yield Warning(
            "Twilio is configured, and PUBLIC_BASE_URL is not https: it streams to wss:// only.",
            hint="Set PUBLIC_BASE_URL to the address of your proxy or tunnel.",
            id="mesh.W006",
        )


def _extras() -> Iterator[CheckMessage]:
    wanted = {
        "livekit": ("LIVEKIT_URL", settings.LIVEKIT["url"]),
        "daily": ("DAILY_API_KEY", settings.DAILY["api_key"]),
        "nats": ("NATS_URL", settings.NATS_URL),
    }
    for package, (name, value) in wanted.items():
        if value and find_spec(package) is None:
            yield Warning(
                f"{name} is set, and the package it needs is not installed.",
                hint="pip install -r requirements-extras.txt",
                id="mesh.W007",
            )


def check_numbers(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Warn of telephone numbers that a carrier cannot call: its webhooks could not be told from forged ones."""
    if not databases or urlsplit(settings.PUBLIC_BASE_URL).hostname in _LOCAL or _own_auth_token():
        return []
    from voice.models import PhoneNumber

    try:
        # Numbers that begin so belong to nobody; the demo's is one.
        if not PhoneNumber.objects.filter(active=True).exclude(number__startswith="+1500555").exists():
            return []
    except DatabaseError:
        return []  # not migrated yet, or not reachable: that is told elsewhere
    return [
        Warning(
            "There are telephone numbers, and no TWILIO_AUTH_TOKEN: every webhook of theirs is refused.",
            hint="Set the account's auth token, which signs Twilio's requests.",
            id="mesh.W008",
        )
    ]


def _own_auth_token() -> bool:
    """Whether there is an auth token that was not made here for simulated callers."""
    made = settings.DATA_DIR / "twilio_auth_token"
    token = settings.TWILIO["auth_token"]
    return bool(token) and not (made.exists() and made.read_text().strip() == token)


def check_exposure(**_: Any) -> list[CheckMessage]:
    """Check what only matters where strangers can reach us."""
    found: list[CheckMessage] = []
    if not settings.METRICS_TOKEN:
        found.append(
            Warning(
                "/metrics is open to everybody.",
                hint="Set METRICS_TOKEN, or hide it in the proxy.",
                id="mesh.W004",
            )
        )
    if settings.DEBUG:
        found.append(
            Warning(
                "DJANGO_DEBUG is on: error pages show settings.", hint="Unset DJANGO_DEBUG.", id="mesh.W005"
            )
        )
    return found


def check_catalogue(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Warn of models that are about to go, and of chains that name a model nobody knows."""
    if not databases:
        return []
    try:
        return [*_retirements(), *_chains()]
    except DatabaseError:
        return []  # not migrated yet, or not reachable: that is told elsewhere


def _retirements() -> Iterator[CheckMessage]:
    from agents.models import CatalogueModel

    today = timezone.localdate()
    for model in CatalogueModel.objects.filter(retires_on__lte=today + RETIREMENT_NOTICE).order_by(
        "retires_on"
    ):
        verb = "was shut down" if model.retires_on and model.retires_on <= today else "will be shut down"
        yield Warning(
            f"Model {model.pk} of {model.provider} {verb} on {model.retires_on}.",
            hint="Move chains and agents to another model, and make its name an alias of that one.",
            obj=model,
            id="mesh.W001",
        )


def _chains() -> Iterator[CheckMessage]:
    from agents.models import CatalogueModel
    from networks.models import Network, Project

    known: set[str] = set()
    for pk, aliases in CatalogueModel.objects.values_list("pk", "aliases"):
        known |= {pk, *aliases}
    if not known or settings.PROVIDERS["openai_compatible"]["base_url"]:
        return  # a compatible server may serve a model of any name
    for kind in (Project, Network):
        for row in kind._default_manager.exclude(chain=[]).only("id", "name", "chain")[:1000]:
            for name in row.chain:
                if name not in known:
                    yield Warning(
                        f"The chain of {kind.__name__.lower()} “{row.name}” names the unknown model {name!r}.",
                        hint="It is skipped. Correct the chain, or add the model to the catalogue.",
                        obj=row,
                        id="mesh.W002",
                    )
