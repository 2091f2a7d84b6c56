"""Reads of the shared memory."""

from collections.abc import Mapping
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from networks.models import Network
from web.pagination import EXACT_UP_TO
from web.problems import NotFound

from .models import MemoryItem
from .recall import count_sql, recall_params, search_sql


def live_items(network: Network) -> "QuerySet[MemoryItem]":
    """What a network knows now, newest first: neither superseded nor expired."""
    unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return MemoryItem.objects.filter(unexpired, network=network, superseded_at=None).order_by("-id")


def access_item_for(network: Network, item_id: str) -> MemoryItem:
    """An item of a network the caller may see, superseded and expired ones too; else `NotFound`."""
    item = MemoryItem.objects.filter(network=network, pk=item_id).first()
    if item is None:
        raise NotFound("There is no such memory item.")
    return item


def search(
    network: Network, *, query: str, filters: Mapping[str, Any], limit: int, offset: int
) -> tuple[list[tuple[MemoryItem, float]], int]:
    """Return a page of what a query finds, best first with scores, and how many there are (to 10,000).

    `filters` may hold type, source and min_confidence.
    """
    names = set(filters)
    params = recall_params(network_id=network.pk, query=query, limit=limit) | dict(filters)
    with connection.cursor() as cursor:
        cursor.execute(search_sql(names), params | {"offset": offset})
        scores = dict(cursor.fetchall())
        cursor.execute(count_sql(names), params | {"limit": EXACT_UP_TO})
        [total] = cursor.fetchone()
    items = MemoryItem.objects.in_bulk(list(scores))
    return [(items[pk], score) for pk, score in scores.items() if pk in items], total
