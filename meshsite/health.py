"""Is it up, can it serve, and how is it doing: /livez, /readyz and /api/mesh/health.

Every look at something else is bounded: it runs on a small pool of threads of its own, and one that does
not answer in time counts as away.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.db import Error, close_old_connections, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models.functions import Now
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from agents.credentials import installation_credential
from networks.authentication import authenticate
from networks.models import ApiKey, Network
from tasks.lifecycle import TERMINAL
from tasks.models import Run, Worker
from voice.models import PhoneCall, VoiceWorker
from web.openapi import document
from web.views import MeshView

T = TypeVar("T")

_LIMIT = 2.0
_REDIS_LIMIT = 0.5
_OPEN_BREAKERS = "mesh:resilience:open"  # as agents.resilience.board keeps them
_threads = ThreadPoolExecutor(4, "health")


@require_safe
def livez(request: HttpRequest) -> JsonResponse:
    """The process answers. Nothing else is asked: a restart mends no database."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """It can serve: the database answers and is migrated. Without Redis it serves, degraded."""
    checks = {"database": _bounded(_migrated, "disconnected"), "redis": _redis(settings.REDIS_URL)}
    ready = checks["database"] == "connected"
    return JsonResponse(
        {"status": "ready" if ready else "not_ready", "checks": checks}, status=200 if ready else 503
    )


class WorkersAnswer(serializers.Serializer[Any]):
    alive = serializers.IntegerField()
    draining = serializers.IntegerField()


class ProviderAnswer(serializers.Serializer[Any]):
    configured = serializers.BooleanField()
    breaker = serializers.ChoiceField(choices=["closed", "open", "unknown"])


class LlmClientAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["available", "degraded", "unavailable", "rehearsal"])
    providers = serializers.DictField(child=ProviderAnswer())


class VoiceAnswer(serializers.Serializer[Any]):
    mode = serializers.ChoiceField(choices=["inline", "separate"])
    processes = serializers.IntegerField(
        help_text="That take calls. Inline there is none before the first call."
    )
    draining = serializers.IntegerField()
    slots = serializers.IntegerField()
    active_calls = serializers.IntegerField()
    loop_lag_ms = serializers.FloatField(help_text="Of the process that runs latest.")


class HealthAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["healthy", "degraded", "unhealthy"])
    database = serializers.CharField()
    redis_connection = serializers.CharField()
    broker = serializers.CharField()
    version = serializers.CharField()
    timestamp = serializers.DateTimeField()
    workers = WorkersAnswer(required=False, help_text="This and what follows only with a key.")
    llm_client = LlmClientAnswer(required=False)
    voice = VoiceAnswer(required=False)
    active_networks_count = serializers.IntegerField(required=False, help_text="Of the key's project.")
    active_tasks_count = serializers.IntegerField(required=False, help_text="Of the key's project.")


class HealthView(MeshView):
    tags = ["Health"]
    authentication_classes = []
    permission_classes = [AllowAny]

    @document(
        answer=HealthAnswer,
        extra={503: HealthAnswer},
        public=True,
        summary="How the service is doing; details only with a key",
    )
    def get(self, request: Request) -> Response:
        key = _bounded(lambda: _caller(request._request), None)
        report: dict[str, Any] = {
            "database": _bounded(_database, "disconnected"),
            "redis_connection": _redis(settings.REDIS_URL),
            "broker": _redis(settings.CELERY_BROKER_URL),
            "version": settings.VERSION,
            "timestamp": timezone.now(),
        }
        workers = _bounded(_workers, None)
        if key is not None:
            report |= {"workers": workers or {"alive": 0, "draining": 0}, "llm_client": _llm_client()}
            report |= _bounded(lambda: _counts(key), dict[str, int]())
            report |= _bounded(_voice, dict[str, Any]())
        report = {"status": _verdict(report, workers)} | report
        return Response(report, status=503 if report["status"] == "unhealthy" else 200)


def _verdict(report: dict[str, Any], workers: dict[str, int] | None) -> str:
    if report["database"] != "connected":
        return "unhealthy"
    missing = "disconnected" in (report["redis_connection"], report["broker"])
    idle = not workers or not workers["alive"]
    return "degraded" if missing or idle else "healthy"


def _bounded(check: Callable[[], T], otherwise: T) -> T:
    """The check's answer, or `otherwise` when the database is away or does not answer in time."""

    def run() -> T:
        try:
            return check()
        finally:
            close_old_connections()

    try:
        return _threads.submit(run).result(timeout=_LIMIT)
    except (Error, NotInTime):
        return otherwise


def _caller(request: HttpRequest) -> ApiKey | None:
    return authenticate(request)


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "connected"


_migrated_at: list[float] = []


def _migrated() -> str:
    """Looked up until it is true once: a release never serves before its own migrations."""
    if not _migrated_at:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return "not_migrated"
        _migrated_at.append(time.monotonic())
    return _database()


def _redis(url: str) -> str:
    if not url:
        return "not_configured"
    if not urlsplit(url).scheme.startswith(("redis", "unix", "valkey")):
        return "unknown"  # another kind of broker; its own monitoring knows
    try:
        _client(url).ping()
    except (redis.RedisError, OSError):
        return "disconnected"
    return "connected"


@cache
def _client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(
        url.replace("redis+socket://", "unix://", 1),
        socket_timeout=_REDIS_LIMIT,
        socket_connect_timeout=_REDIS_LIMIT,
        retry=None,
    )


def _workers() -> dict[str, int]:
    alive = Worker.objects.filter(lease_until__gt=Now()).values_list("draining", flat=True)
    states = list(alive)
    return {"alive": len(states), "draining": sum(states)}


def _voice() -> dict[str, Any]:
    alive = list(VoiceWorker.objects.filter(lease_until__gt=Now()))
    serving = [worker for worker in alive if not worker.draining]
    return {
        "voice": {
            "mode": settings.MESH_VOICE,
            "processes": len(serving),
            "draining": len(alive) - len(serving),
            "slots": sum(worker.slots for worker in serving),
            "active_calls": PhoneCall.objects.filter(state=PhoneCall.State.ACTIVE).count(),
            "loop_lag_ms": max((worker.loop_lag_ms for worker in alive), default=0.0),
        }
    }


def _llm_client() -> dict[str, Any]:
    opened = _open_breakers()
    providers = {}
    for kind in settings.PROVIDERS:
        credential = installation_credential(kind)
        breaker = "unknown" if opened is None else "closed"
        if credential is not None and opened is not None:
            mine = [name for name in opened if name.startswith(f"{kind}|") and credential.fingerprint in name]
            breaker = "open" if mine else "closed"
        providers[kind] = {"configured": credential is not None, "breaker": breaker}
    configured = [provider for provider in providers.values() if provider["configured"]]
    shut = [provider for provider in configured if provider["breaker"] == "open"]
    if not configured:
        status = "rehearsal"
    elif len(shut) == len(configured):
        status = "unavailable"
    else:
        status = "degraded" if shut else "available"
    return {"status": status, "providers": providers}


def _open_breakers() -> list[str] | None:
    """The identities whose breaker is open in the fleet; None when nobody can tell."""
    if not settings.REDIS_URL:
        return None
    try:
        names: Any = _client(settings.REDIS_URL).hkeys(_OPEN_BREAKERS)
    except (redis.RedisError, OSError):
        return None
    return [name.decode() for name in names]


def _counts(key: ApiKey) -> dict[str, int]:
    networks = Network.objects.filter(status=Network.Status.ACTIVE)
    runs = Run.objects.exclude(state__in=TERMINAL)
    if key.project_id is not None:
        networks = networks.filter(project_id=key.project_id)
        runs = runs.filter(project_id=key.project_id)
    if key.network_ids:
        networks = networks.filter(pk__in=key.network_ids)
        runs = runs.filter(network_id__in=key.network_ids)
    return {"active_networks_count": networks.count(), "active_tasks_count": runs.count()}
