"""The shared memory of a network."""

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from memory import selectors, services
from memory.models import MemoryItem
from networks.authentication import caller
from networks.models import Network
from networks.selectors import access_network_for
from web.idempotency import idempotent
from web.openapi import document
from web.pagination import headers, paginate
from web.views import MeshView, created, empty, read_body

from .serializers import (
    MemoryAnswer,
    MemoryBody,
    MemoryDetailAnswer,
    MemoryQuery,
    MemoryUpdateAnswer,
    NewMemoryBody,
)


class MemoriesView(MeshView):
    tags = ["Memory"]

    @document(answer=MemoryAnswer(many=True), query=MemoryQuery, summary="List or search a network's memory")
    def get(self, request: Request, network_id: str) -> Response:
        params = MemoryQuery.read(request._request.GET)
        network = access_network_for(caller(request), network_id)
        names = {"memory_type": "type", "source": "source", "min_confidence": "min_confidence"}
        filters = {field: params[name] for name, field in names.items() if name in params}
        if params.get("query"):
            return _found(request, network, params, filters)
        if "min_confidence" in filters:
            filters["confidence__gte"] = filters.pop("min_confidence")
        return paginate(
            selectors.live_items(network).filter(**filters),
            request=request._request,
            params=params,
            shape=lambda items: [shape_item(item) for item in items],
        )

    @document(
        answer=MemoryAnswer, status=201, body=NewMemoryBody, conflict=True, summary="Remember something"
    )
    @idempotent
    def post(self, request: Request, network_id: str) -> Response:
        network = access_network_for(caller(request), network_id)
        values = read_body(NewMemoryBody, request)
        item = services.remember(network=network, source_key_id=caller(request).pk, **values)
        return created(shape_item(item), f"/api/mesh/networks/{network_id}/memory/{item.pk}")


class MemoryView(MeshView):
    tags = ["Memory"]

    @document(answer=MemoryDetailAnswer, summary="Get an item with its history")
    def get(self, request: Request, network_id: str, memory_id: str) -> Response:
        return Response(shape_detail(self._item(request, network_id, memory_id)))

    @document(answer=MemoryUpdateAnswer, body=MemoryBody, summary="Change an item; its history is kept")
    def patch(self, request: Request, network_id: str, memory_id: str) -> Response:
        item = self._item(request, network_id, memory_id)
        changes = read_body(MemoryBody, request, partial=True)
        item, updates = services.update(item=item, changes=changes, changed_by=caller(request).pk)
        return Response(
            {
                "memory_id": item.pk,
                "network_id": item.network_id,
                "type": item.type,
                "updated_at": item.updated_at,
                "version": item.version,
                "updates": updates,
            }
        )

    @document(status=204, summary="Forget an item and its history")
    def delete(self, request: Request, network_id: str, memory_id: str) -> HttpResponse:
        services.forget(item=self._item(request, network_id, memory_id))
        return empty()

    def _item(self, request: Request, network_id: str, memory_id: str) -> MemoryItem:
        return selectors.access_item_for(access_network_for(caller(request), network_id), memory_id)


def _found(request: Request, network: Network, params: dict[str, Any], filters: dict[str, Any]) -> Response:
    """What a query finds is ordered by score, which only an offset can page through."""
    limit, offset = params["limit"], params["offset"]
    rows, total = selectors.search(
        network, query=params["query"], filters=filters, limit=limit, offset=offset
    )
    after = offset + limit
    more = {"offset": str(after), "limit": str(limit)} if after < total else None
    answer = [shape_item(item) | {"score": round(score, 6)} for item, score in rows]
    return Response(answer, headers=headers(request._request, total, more))


def shape_item(item: MemoryItem) -> dict[str, Any]:
    """What the API shows of an item."""
    return {
        "id": item.pk,
        "memory_id": item.pk,
        "network_id": item.network_id,
        "type": item.type,
        "content": item.content,
        "confidence": item.confidence,
        "metadata": item.metadata,
        "source": {
            "kind": item.source,
            "agent_id": item.source_agent_id or None,
            "run_id": item.source_run_id or None,
            "step_id": item.source_step_id or None,
            "key_id": item.source_key_id or None,
        },
        "trusted": item.trusted,
        "version": item.version,
        "supersedes": item.supersedes_id,
        "superseded_at": item.superseded_at,
        "expires_at": item.expires_at,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }


def shape_detail(item: MemoryItem) -> dict[str, Any]:
    """An item with its past."""
    heir = item.superseded_by.values_list("pk", flat=True).first()
    history = [
        {
            "version": revision.version,
            "type": revision.type,
            "content": revision.content,
            "confidence": revision.confidence,
            "metadata": revision.metadata,
            "changed_by": revision.changed_by or None,
            "changed_at": revision.changed_at,
        }
        for revision in item.revisions.all()[:100]
    ]
    return shape_item(item) | {"superseded_by": heir, "history": history}
