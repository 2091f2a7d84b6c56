"""API keys: created and shown once, rotated with an overlap, revoked. All of it needs the admin scope."""

from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from networks import selectors, services
from networks.authentication import caller
from networks.models import ApiKey, Scope
from web.idempotency import idempotent
from web.openapi import document
from web.pagination import paginate
from web.problems import Invalid
from web.views import MeshView, created, empty, read_body

from .serializers import KeyAnswer, KeyBody, KeyQuery, NewKeyAnswer, RotateBody


class KeysView(MeshView):
    tags = ["API keys"]
    required_scope = Scope.ADMIN

    @document(answer=KeyAnswer(many=True), query=KeyQuery, summary="List keys, without their secrets")
    def get(self, request: Request) -> Response:
        params = KeyQuery.read(request._request.GET)
        return paginate(
            selectors.api_keys_for(caller(request)),
            request=request._request,
            params=params,
            shape=lambda keys: [shape_key(key) for key in keys],
        )

    @document(answer=NewKeyAnswer, status=201, body=KeyBody, summary="Create a key")
    @idempotent
    def post(self, request: Request) -> Response:
        values = read_body(KeyBody, request)
        _check_networks(caller(request), values)
        key, secret = services.create_api_key(project=caller(request).project, **values)
        return created(shape_key(key) | {"key": secret}, f"/api/keys/{key.pk}")


class KeyView(MeshView):
    tags = ["API keys"]
    required_scope = Scope.ADMIN

    @document(answer=KeyAnswer, summary="Get a key, without its secret")
    def get(self, request: Request, key_id: str) -> Response:
        return Response(shape_key(selectors.access_api_key_for(caller(request), key_id)))

    @document(answer=KeyAnswer, body=KeyBody, conflict=True, summary="Change a key's name, rights or expiry")
    def patch(self, request: Request, key_id: str) -> Response:
        key = selectors.access_api_key_for(caller(request), key_id)
        changes = read_body(KeyBody, request, partial=True)
        if "network_ids" in changes:
            _check_networks(caller(request), changes)
        return Response(shape_key(services.update_api_key(key=key, changes=changes)))

    @document(status=204, summary="Revoke a key at once")
    def delete(self, request: Request, key_id: str) -> HttpResponse:
        services.revoke_api_key(key=selectors.access_api_key_for(caller(request), key_id))
        return empty()


class RotateKeyView(MeshView):
    tags = ["API keys"]
    required_scope = Scope.ADMIN

    @document(answer=NewKeyAnswer, status=201, body=RotateBody, conflict=True, summary="Replace a key")
    @idempotent
    def post(self, request: Request, key_id: str) -> Response:
        old = selectors.access_api_key_for(caller(request), key_id)
        values = read_body(RotateBody, request)
        overlap = timedelta(seconds=values["overlap_seconds"])
        key, secret = services.rotate_api_key(key=old, overlap=overlap, expires_at=values.get("expires_at"))
        return created(shape_key(key) | {"key": secret}, f"/api/keys/{key.pk}")


def shape_key(key: ApiKey) -> dict[str, Any]:
    """What the API shows of a key."""
    return {name: getattr(key, name) for name in KeyAnswer._declared_fields}


def _check_networks(caller: ApiKey, values: dict[str, Any]) -> None:
    """A key reaches networks its maker can see; a restricted maker cannot make an unrestricted key."""
    network_ids = values.get("network_ids") or []
    if not network_ids and caller.network_ids:
        raise Invalid("/network_ids", "Your key is restricted: name networks it can see.")
    missing = selectors.missing_networks(caller, network_ids)
    if missing:
        raise Invalid("/network_ids", f"There is no network {missing[0]}.", "does_not_exist")
