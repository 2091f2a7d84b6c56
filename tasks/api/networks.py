"""Networks. They show tasks and memories as well, which is why they are served from here."""

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from agents.services import create_network_with_agents, update_network
from networks.authentication import caller
from networks.selectors import access_network_for, networks_for
from tasks import services
from web.idempotency import idempotent
from web.openapi import document
from web.pagination import paginate
from web.problems import Problem
from web.views import MeshView, created, empty, read_body

from . import shapes
from .serializers import NetworkAnswer, NetworkBody, NetworkChangesBody, NetworkDetailAnswer, NetworkQuery


class NetworksView(MeshView):
    tags = ["Networks"]

    @document(answer=NetworkAnswer(many=True), query=NetworkQuery, summary="List networks")
    def get(self, request: Request) -> Response:
        return paginate(
            networks_for(caller(request)).order_by("-id"),
            request=request._request,
            params=NetworkQuery.read(request._request.GET),
            shape=shapes.shape_networks,
        )

    @document(answer=NetworkDetailAnswer, status=201, body=NetworkBody, summary="Create a network")
    @idempotent
    def post(self, request: Request) -> Response:
        key = caller(request)
        if key.network_ids:
            raise Problem("forbidden", "The key is restricted to networks that exist already.")
        assert key.project is not None  # HasScope refuses keys without one
        network, agents = create_network_with_agents(project=key.project, **read_body(NetworkBody, request))
        return created(shapes.shape_new_network(network, agents), f"/api/mesh/networks/{network.pk}")


class NetworkView(MeshView):
    tags = ["Networks"]

    @document(answer=NetworkDetailAnswer, summary="Get a network with its agents, latest tasks and memories")
    def get(self, request: Request, network_id: str) -> Response:
        return Response(shapes.shape_network_detail(access_network_for(caller(request), network_id)))

    @document(answer=NetworkDetailAnswer, body=NetworkChangesBody, summary="Change a network")
    def patch(self, request: Request, network_id: str) -> Response:
        network = access_network_for(caller(request), network_id)
        changes = read_body(NetworkChangesBody, request, partial=True)
        return Response(shapes.shape_network_detail(update_network(network=network, changes=changes)))

    @document(status=204, summary="Delete a network; its running tasks are cancelled first")
    def delete(self, request: Request, network_id: str) -> HttpResponse:
        services.delete_network(network=access_network_for(caller(request), network_id))
        return empty()
