"""Idempotency-Key: the answer to a keyed POST is stored in the transaction that did its work.

A key is `(caller, key)`. While its first request runs, an advisory lock tells the others; once it has
committed, they get its answer. A request that fails stores nothing, as nothing was done.
"""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from .models import IdempotencyRecord
from .problems import FieldError, Problem
from .views import in_database

HEADER = "Idempotency-Key"
RETENTION = timedelta(hours=24)
_ABANDONED = timedelta(minutes=2)
_VALID = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = ("Location", "ETag")

Handler = Callable[..., HttpResponseBase]


def idempotent(handler: Handler) -> Handler:
    """Make a POST handler of a `MeshView` honour Idempotency-Key. Without the header it changes nothing."""

    @wraps(handler)
    def post(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        key = request.headers.get(HEADER)
        if key is None:
            return handler(view, request, *args, **kwargs)
        _check(key)
        return answer_once(
            request, str(request.auth.pk), key, lambda: handler(view, request, *args, **kwargs)
        )

    post.is_idempotent = True  # type: ignore[attr-defined]
    return post


def answer_once(
    request: Request, owner: str, key: str, answer: Callable[[], HttpResponseBase], *, path: str = ""
) -> HttpResponseBase:
    """Answer the request that `owner` names by `key`, or give the answer there is. `path` is what is kept of its
    address, should that hold a secret."""
    with transaction.atomic():
        _lock(owner, key)
        record = _find(owner, key)
        if record is not None:
            return _replay(record, _hash(request._request))
        response = answer()
        _store(owner, key, request, response, path or request.path)
    return response


def idempotent_beyond(handler: Handler) -> Handler:
    """`idempotent`, for a handler that asks somebody who may call us back before it has returned: what it writes
    is committed as it goes, for no transaction is held around it. `once` is the same for coroutines."""

    @wraps(handler)
    def post(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        key = request.headers.get(HEADER)
        if key is None:
            return handler(view, request, *args, **kwargs)
        _check(key)
        owner = str(request.auth.pk)
        earlier = _claim(owner, key, request._request)
        if earlier is not None:
            return earlier
        try:
            response = handler(view, request, *args, **kwargs)
        except BaseException:
            _release(owner, key)
            raise
        _keep(owner, key, response, _body_of(response))
        return response

    post.is_idempotent = True  # type: ignore[attr-defined]
    return post


def idempotent_coroutine(handler: Handler) -> Handler:
    """Mark the POST handler of a view whose coroutine works within `once`, for the OpenAPI document."""
    handler.is_idempotent = True  # type: ignore[attr-defined]
    return handler


async def once(
    request: HttpRequest, owner: str, work: Callable[[], Awaitable[HttpResponse]]
) -> HttpResponseBase:
    """Do the work of a keyed POST once, for coroutines that wait too long to hold a transaction meanwhile.

    A record without an answer says that the first request runs; one that is older than `_ABANDONED` says that
    its process died.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return await work()
    _check(key)
    earlier = await in_database(_claim)(owner, key, request)
    if earlier is not None:
        return earlier
    try:
        response = await work()
    except BaseException:
        await in_database(_release)(owner, key)
        raise
    await in_database(_keep)(owner, key, response, response.content)
    return response


def purge() -> int:
    """Delete the records whose day is over; return how many there were."""
    deleted, _ = IdempotencyRecord.objects.filter(created_at__lt=timezone.now() - RETENTION).delete()
    return deleted


def _lock(owner: str, key: str) -> None:
    digest = hashlib.sha256(f"{owner}\n{key}".encode()).digest()
    with connection.cursor() as cursor:
        # A statement of its own: the record must be read with a snapshot taken after the lock is held.
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(digest[:8], signed=True)])
        [locked] = cursor.fetchone()
    if not locked:
        raise Problem("idempotency_in_progress", headers={"Retry-After": "1"})


def _find(owner: str, key: str) -> IdempotencyRecord | None:
    record = IdempotencyRecord.objects.filter(owner=owner, key=key).first()
    if record is not None and record.created_at < timezone.now() - RETENTION:
        record.delete()
        return None
    return record


def _replay(record: IdempotencyRecord, request_hash: str) -> HttpResponse:
    if record.request_hash != request_hash:
        raise Problem("idempotency_key_reused")
    return HttpResponse(
        _fernet().decrypt(record.body.encode()) if record.body else b"",
        status=record.status,
        headers=record.headers | {"Idempotent-Replayed": "true"},
        content_type="application/json",
    )


def _store(owner: str, key: str, request: Request, response: HttpResponseBase, path: str) -> None:
    body = _body_of(response)
    IdempotencyRecord.objects.create(
        owner=owner,
        key=key,
        method=request.method or "",
        path=path[:500],
        request_hash=_hash(request._request),
        status=response.status_code,
        headers={name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
        # Encrypted, because one of these answers shows a new API key, which is nowhere else at rest.
        body=_fernet().encrypt(body).decode() if body else "",
    )


def _body_of(response: HttpResponseBase) -> bytes:
    return JSONRenderer().render(response.data) if isinstance(response, Response) else b""


def _check(key: str) -> None:
    if not _VALID.fullmatch(key):
        detail = "1 to 255 visible ASCII characters."
        raise Problem(
            "validation_failed",
            f"{HEADER}: {detail}",
            errors=[FieldError("/header/" + HEADER, "invalid", detail)],
        )


@transaction.atomic
def _claim(owner: str, key: str, request: HttpRequest) -> HttpResponse | None:
    """The answer there is; None when the caller is the first and has to find one."""
    _lock(owner, key)
    record = _find(owner, key)
    if record is not None and record.status is None and record.created_at < timezone.now() - _ABANDONED:
        record.delete()
        record = None
    if record is None:
        IdempotencyRecord.objects.create(
            owner=owner,
            key=key,
            method=request.method or "",
            path=request.path[:500],
            request_hash=_hash(request),
        )
        return None
    if record.status is None:
        raise Problem("idempotency_in_progress", headers={"Retry-After": "1"})
    return _replay(record, _hash(request))


def _release(owner: str, key: str) -> None:
    IdempotencyRecord.objects.filter(owner=owner, key=key, status=None).delete()


def _keep(owner: str, key: str, response: HttpResponseBase, body: bytes) -> None:
    IdempotencyRecord.objects.filter(owner=owner, key=key, status=None).update(
        status=response.status_code,
        headers={name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
        body=_fernet().encrypt(body).decode() if body else "",
    )


def _hash(request: HttpRequest) -> str:
    address = f"{request.method} {request.get_full_path()}\n"
    return hashlib.sha256(address.encode() + request.body).hexdigest()


def _fernet() -> Fernet:
    key = hashlib.sha256(b"idempotency:" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
