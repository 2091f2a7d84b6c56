"""Writes to the shared memory: remember, update, forget. Every change keeps what was before."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from networks.models import Network
from web.problems import Conflict, Invalid

from .models import MemoryItem, MemoryRevision

KEPT = ("type", "content", "confidence", "metadata")  # what a revision preserves


@transaction.atomic
def remember(
    *,
    network: Network,
    content: str,
    type: str = "fact",
    confidence: float = 1.0,
    metadata: Mapping[str, Any] | None = None,
    ttl: int | None = None,
    supersedes: str = "",
    source: str = MemoryItem.Source.CLIENT,
    source_key_id: str = "",
    source_run_id: str = "",
    trusted: bool = True,
) -> MemoryItem:
    """Add an item. `ttl` is in seconds; the item named by `supersedes` is not recalled any more."""
    now = timezone.now()
    old = _superseded_by_new(network, supersedes, now) if supersedes else None
    return MemoryItem.objects.create(
        project_id=network.project_id,
        network=network,
        type=type,
        content=content,
        confidence=confidence,
        metadata=dict(metadata or {}),
        source=source,
        source_key_id=source_key_id,
        source_run_id=source_run_id,
        trusted=trusted,
        expires_at=now + timedelta(seconds=ttl) if ttl else None,
        supersedes=old,
        version=old.version + 1 if old else 1,
        created_at=now,
        updated_at=now,
    )


@transaction.atomic
def update(
    *, item: MemoryItem, changes: Mapping[str, Any], changed_by: str = ""
) -> tuple[MemoryItem, list[str]]:
    """Change an item, keeping its old state as a revision. Returns it and the names of what has changed.

    `changes` holds type, content, confidence, metadata, and ttl (null: it does not expire any more).
    """
    item = MemoryItem.objects.select_for_update().get(pk=item.pk)
    now = timezone.now()
    wanted = dict(changes)
    if "ttl" in wanted:
        ttl = wanted.pop("ttl")
        wanted["expires_at"] = now + timedelta(seconds=ttl) if ttl else None
    changed = [name for name, value in wanted.items() if getattr(item, name) != value]
    if not changed:
        return item, []
    MemoryRevision.objects.create(
        item=item, version=item.version, changed_by=changed_by, **{name: getattr(item, name) for name in KEPT}
    )
    for name in changed:
        setattr(item, name, wanted[name])
    item.version += 1
    item.updated_at = now
    item.save(update_fields=[*changed, "version", "updated_at"])
    return item, sorted("ttl" if name == "expires_at" else name for name in changed)


def forget(*, item: MemoryItem) -> None:
    """Delete an item and its revisions."""
    item.delete()


def _superseded_by_new(network: Network, old_id: str, now: Any) -> MemoryItem:
    old = MemoryItem.objects.select_for_update().filter(network=network, pk=old_id).first()
    if old is None:
        raise Invalid("/supersedes", "There is no such item in this network.", "does_not_exist")
    if old.superseded_at is not None:
        raise Conflict("already_superseded")
    old.superseded_at = now
    old.save(update_fields=["superseded_at"])
    return old
