"""Idempotency-Key: the answer to a keyed POST is stored in the transaction that did its work.

A key is `(caller, key)`. While its first request runs, an advisory lock tells the others; once it has
committed, they get its answer. A request that fails stores nothing, as nothing was done.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import connection, transaction
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from .models import IdempotencyRecord
from .problems import FieldError, Problem

HEADER = "Idempotency-Key"
RETENTION = timedelta(hours=24)
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
        if not _VALID.fullmatch(key):
            detail = "1 to 255 visible ASCII characters."
            raise Problem(
                "validation_failed",
                f"{HEADER}: {detail}",
                errors=[FieldError("/header/" + HEADER, "invalid", detail)],
            )
        with transaction.atomic():
            owner = str(request.auth.pk)
            _lock(owner, key)
            record = _find(owner, key)
            if record is not None:
                return _replay(record, _hash(request))
            response = handler(view, request, *args, **kwargs)
            _store(owner, key, request, response)
        return response

    post.is_idempotent = True  # type: ignore[attr-defined]
    return post


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


def _store(owner: str, key: str, request: Request, response: HttpResponseBase) -> None:
    body = JSONRenderer().render(response.data) if isinstance(response, Response) else b""
    IdempotencyRecord.objects.create(
        owner=owner,
        key=key,
        method=request.method or "",
        path=request.path[:500],
        request_hash=_hash(request),
        status=response.status_code,
        headers={name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
        # Encrypted, because one of these answers shows a new API key, which is nowhere else at rest.
        body=_fernet().encrypt(body).decode() if body else "",
    )


def _hash(request: Request) -> str:
    address = f"{request.method} {request._request.get_full_path()}\n"
    return hashlib.sha256(address.encode() + request._request.body).hexdigest()


def _fernet() -> Fernet:
    key = hashlib.sha256(b"idempotency:" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
