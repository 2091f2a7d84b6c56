"""Errors as RFC 9457 problem documents: the exceptions that mean one, and the handlers that write them."""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest, ObjectDoesNotExist, PermissionDenied, RequestDataTooBig
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from psycopg.errors import ForeignKeyViolation
from rest_framework import exceptions as drf

from .problem_codes import BY_STATUS, CODES
from .requests import current_request_id
from .strictjson import escape

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field. `pointer` points into the body, or reads `/query/name`."""

    pointer: str
    code: str
    detail: str


class Problem(Exception):
    """An error with an answer of its own: a code of `problem_codes`, and what to tell the caller."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or CODES[code].help)
        self.code = code
        self.status = CODES[code].status
        self.detail = detail or CODES[code].help
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


class NotFound(Problem):
    """There is no such thing, or it is another tenant's: the caller cannot tell."""

    def __init__(self, detail: str = "There is no such thing.") -> None:
        super().__init__("not_found", detail)


class Invalid(Problem):
    """A field is well formed but not acceptable."""

    def __init__(self, pointer: str, detail: str, code: str = "invalid") -> None:
        super().__init__("validation_failed", detail, errors=[FieldError(pointer, code, detail)])


class NotAvailable(Problem):
    """A field or mode that is not built yet."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__("not_available", detail, errors=[FieldError(pointer, "not_available", detail)])


class Conflict(Problem):
    """The present state does not allow it; `code` says which state."""


def problem_response(problem: Problem, request: HttpRequest) -> JsonResponse:
    """Write one problem as `application/problem+json`."""
    kind = CODES[problem.code]
    document = {
        "type": f"{settings.PUBLIC_BASE_URL}/docs/problems#{problem.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "instance": request.path,
        "code": problem.code,
        "request_id": current_request_id(),
        "errors": [asdict(error) for error in problem.errors],
    }
    return JsonResponse(
        document, status=kind.status, headers=problem.headers, content_type="application/problem+json"
    )


def as_problem(error: Exception) -> Problem | None:
    """Translate an exception that has a place in the API; None for a defect of ours."""
    match error:
        case Problem():
            return error
        case drf.ValidationError():
            errors = list(flatten(error.detail))
            return Problem("validation_failed", _summary(errors), errors=errors)
        case drf.ParseError():
            return Problem("malformed_json", str(error.detail))
        case drf.NotAuthenticated() | drf.AuthenticationFailed():
            return Problem("unauthenticated", headers={"WWW-Authenticate": 'Bearer realm="mesh"'})
        case drf.APIException():
            return Problem(BY_STATUS.get(error.status_code, "internal_error"), str(error.detail))
        case Http404():
            return NotFound()
        case ObjectDoesNotExist():
            # It was there when the caller's right to it was checked: somebody else deleted it meanwhile.
            logger.info("gone while it was used: %s", error)
            return NotFound()
        case IntegrityError() if isinstance(error.__cause__, ForeignKeyViolation):
            logger.info("its owner went while it was made: %s", error)
            return NotFound()
        case PermissionDenied():
            return Problem("forbidden")
        case RequestDataTooBig():
            return Problem("body_too_large")
        case BadRequest():
            return Problem("bad_request")
        case OperationalError() | InterfaceError():
            # The database is away, or every pooled connection stayed busy for the whole acquire limit.
            logger.warning("database unavailable: %s", error)
            return Problem("unavailable", headers={"Retry-After": "2"})
    return None


def flatten(detail: Any, pointer: str = "") -> Iterator[FieldError]:
    """Turn Django REST framework's nested error detail into pointers."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            step = "" if name == "non_field_errors" else f"/{escape(name)}"
            yield from flatten(inner, pointer + step)
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, Mapping | list)
            yield from flatten(inner, f"{pointer}/{index}" if nested else pointer)
    else:
        yield FieldError(pointer, getattr(detail, "code", "invalid"), str(detail))


def exception_handler(error: Exception, context: Mapping[str, Any]) -> JsonResponse | None:
    """Django REST framework's hook: every error of an API view is a problem document."""
    problem = as_problem(error)
    if problem is None:
        return None  # Django logs it and answers by handler500
    request = context["request"]._request
    response = problem_response(problem, request)
    if isinstance(error, drf.MethodNotAllowed):
        response.headers["Allow"] = ", ".join(context["view"].allowed_methods)
    return response


def _summary(errors: Sequence[FieldError]) -> str:
    first = errors[0]
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{first.pointer or 'The body'}: {first.detail}{more}"


# --- Django's own error pages (meshsite/urls.py names them) -----------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler400"""
    if _wants_page(request):
        return defaults.bad_request(request, exception)
    return problem_response(as_problem(exception) or Problem("bad_request"), request)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler403"""
    if _wants_page(request):
        return defaults.permission_denied(request, exception)
    return problem_response(Problem("forbidden"), request)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """handler404"""
    if _wants_page(request):
        return defaults.page_not_found(request, exception)
    return problem_response(NotFound("There is no such address."), request)


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500, called while the exception is being handled: the database's absence is a 503."""
    error = sys.exc_info()[1]
    problem = as_problem(error) if isinstance(error, Exception) else None
    if problem is None and _wants_page(request):
        return defaults.server_error(request)
    return problem_response(problem or Problem("internal_error"), request)


def _wants_page(request: HttpRequest) -> bool:
    return not request.path.startswith("/api/") and "text/html" in request.headers.get("Accept", "")
