"""Who may act on projects themselves: staff with a session, or an installation key."""

from typing import Any

from django.http import HttpRequest
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from web.problems import Problem

from .authentication import authenticate, has_scope
from .models import ApiKey, Scope


class StaffSession(SessionAuthentication):
    """A session of the admin, with its CSRF token. People who are no staff count as nobody."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        found = super().authenticate(request)
        return (found[0], None) if found and found[0].is_staff else None


class MayManageProjects(BasePermission):
    """Staff, an installation key with the admin scope, or, to read and change its own project, a project's."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if is_staff(request):
            return True
        key = authenticate(request._request)
        if key is None:
            raise Problem("unauthenticated", headers={"WWW-Authenticate": 'Bearer realm="mesh"'})
        needed = Scope.READ if request.method == "GET" else Scope.ADMIN
        if not has_scope(key, needed):
            raise Problem("missing_scope", f"The key lacks the scope `{needed}`.")
        if key.project_id is not None and request.method in ("POST", "DELETE"):
            raise Problem("forbidden", "Projects are made and removed by staff, or by an installation key.")
        return True


def is_staff(request: Request) -> bool:
    return bool(getattr(request.user, "is_staff", False))


def key_of(request: HttpRequest) -> ApiKey | None:
    """The key of a request that staff may send as well."""
    return authenticate(request)
