"""Who is calling: API keys by `Authorization: Bearer …` or `X-API-Key`, and what their scopes allow."""

from datetime import timedelta
from typing import Any, cast

from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from web.problems import Problem
from web.statements import Statement

from . import keys
from .models import ApiKey, Project, Scope

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="mesh"'}
_USED_EVERY = timedelta(minutes=1)
_KEY = Statement(
    """
SELECT {k}, {p} FROM networks_apikey k LEFT JOIN networks_project p ON p.id = k.project_id
WHERE k.digest = %(digest)s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > %(now)s)
""",
    k=ApiKey,
    p=Project,
)


def authenticate(request: HttpRequest) -> ApiKey | None:
    """Return the key of a request, or None when it carries none. Raises `unauthenticated` for a bad one.

    One query. The result stays on the request, so a coroutine that asked before a view costs it nothing.
    """
    if not hasattr(request, "api_key"):
        secret = _secret_of(request)
        key = _look_up(secret) if secret is not None else None
        request.api_key = key  # type: ignore[attr-defined]
        if key is not None:
            request.rate_owner = key.pk  # type: ignore[attr-defined]
            request.rate_quota = key.project.requests_per_minute if key.project else None  # type: ignore[attr-defined]
    return request.api_key  # type: ignore[attr-defined]


def require_key(request: HttpRequest, scope: str) -> ApiKey:
    """Return the key of a request that must have one of a project, with `scope`."""
    key = authenticate(request)
    if key is None:
        raise Problem("unauthenticated", headers=_CHALLENGE)
    return _checked(key, scope)


def key_of(secret: str, scope: str) -> ApiKey:
    """Return the key of a project with `scope` that a secret is, where it does not come in a request's headers."""
    return _checked(_look_up(secret), scope)


def _checked(key: ApiKey, scope: str) -> ApiKey:
    if not has_scope(key, scope):
        raise Problem("missing_scope", f"The key lacks the scope `{scope}`.")
    if key.project_id is None:
        raise Problem("no_project")
    return key


def has_scope(key: ApiKey, scope: str) -> bool:
    """Whether a key carries a scope; admin implies the others."""
    return scope in key.scopes or Scope.ADMIN in key.scopes


def caller(request: Request) -> ApiKey:
    """The key behind an API view's request."""
    return cast(ApiKey, request.auth)


class ApiKeyAuthentication(BaseAuthentication):
    """The key as `request.auth`; there is no user behind it."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey] | None:
        key = authenticate(request._request)
        return None if key is None else (None, key)

    def authenticate_header(self, request: Request) -> str:
        return _CHALLENGE["WWW-Authenticate"]


class HasScope(BasePermission):
    """Safe methods need `read`, the others `write`; a view may name another by `required_scope`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        default = Scope.READ if request.method in SAFE_METHODS else Scope.WRITE
        require_key(request._request, getattr(view, "required_scope", None) or default)
        return True


def _secret_of(request: HttpRequest) -> str | None:
    header = request.headers.get("Authorization", "")
    scheme, _, secret = header.partition(" ")
    if scheme.lower() == "bearer":
        return secret.strip()
    return request.headers.get("X-API-Key")


def _look_up(secret: str) -> ApiKey:
    now = timezone.now()
    key = None
    if keys.is_acceptable(secret):
        for key, project in _KEY.models({"digest": keys.digest(secret), "now": now}):
            key.project = project
    if key is None:
        raise Problem("unauthenticated", "The key is unknown, revoked or expired.", headers=_CHALLENGE)
    if key.last_used_at is None or key.last_used_at < now - _USED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return key
