"""Telephone numbers: whose network answers them, and how."""

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from networks.authentication import caller
from networks.models import ApiKey, Network, Scope
from networks.selectors import networks_for
from voice import selectors, services
from voice.models import PhoneNumber
from web.idempotency import idempotent
from web.openapi import document
from web.pagination import paginate
from web.problems import Invalid
from web.views import MeshView, created, empty, read_body

from . import shapes
from .serializers import NumberAnswer, NumberBody, NumberQuery


class NumbersView(MeshView):
    tags = ["Telephone numbers"]
    required_scope = Scope.VOICE

    @document(answer=NumberAnswer(many=True), query=NumberQuery, summary="List telephone numbers")
    def get(self, request: Request) -> Response:
        params = NumberQuery.read(request._request.GET)
        filters = {"network_id": params["network_id"]} if "network_id" in params else {}
        return paginate(
            selectors.numbers_for(caller(request)).filter(**filters),
            request=request._request,
            params=params,
            shape=lambda rows: [shapes.shape_number(row) for row in rows],
        )

    @document(
        answer=NumberAnswer,
        status=201,
        body=NumberBody,
        conflict=True,
        summary="Register a number that callers dial, with the network and config that answer it",
    )
    @idempotent
    def post(self, request: Request) -> Response:
        key = caller(request)
        values = _checked(key, read_body(NumberBody, request), None)
        assert key.project is not None  # HasScope refuses keys without one
        number = services.create_number(project=key.project, **values)
        return created(shapes.shape_number(number), f"/api/voice/numbers/{number.pk}")


class NumberView(MeshView):
    tags = ["Telephone numbers"]
    required_scope = Scope.VOICE

    @document(answer=NumberAnswer, summary="Get a telephone number")
    def get(self, request: Request, number_id: str) -> Response:
        return Response(shapes.shape_number(selectors.access_number_for(caller(request), number_id)))

    @document(answer=NumberAnswer, body=NumberBody, conflict=True, summary="Change a telephone number")
    def patch(self, request: Request, number_id: str) -> Response:
        key = caller(request)
        number = selectors.access_number_for(key, number_id)
        changes = _checked(key, read_body(NumberBody, request, partial=True), number)
        return Response(shapes.shape_number(services.update_number(number=number, changes=changes)))

    @document(status=204, summary="Let go of a telephone number")
    def delete(self, request: Request, number_id: str) -> HttpResponse:
        selectors.access_number_for(caller(request), number_id).delete()
        return empty()


def _checked(key: ApiKey, values: dict[str, Any], number: PhoneNumber | None) -> dict[str, Any]:
    """The network must be one that the key sees; the config must be right for the network it will have."""
    network = number.network if number else None
    if "network_id" in values:
        network = _network(key, values.pop("network_id"))
        values["network"] = network
    if number is None and network is None and key.network_ids:
        raise Invalid("/network_id", "Your key is restricted: name a network it can see.", "required")
    if "config" in values or "network" in values:
        config = values.get("config", number.config if number else {})
        services.check_number_config(key, network, config)
    return values


def _network(key: ApiKey, network_id: str | None) -> Network | None:
    if network_id is None:
        if key.network_ids:
            raise Invalid("/network_id", "Your key is restricted: name a network it can see.", "required")
        return None
    network = networks_for(key).filter(pk=network_id).first()
    if network is None:
        raise Invalid("/network_id", f"There is no network {network_id}.", "does_not_exist")
    return network
