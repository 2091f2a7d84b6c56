"""Writes of projects, keys and networks."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.utils import timezone

from web.problems import Conflict

from . import keys
from .models import ApiKey, Member, Network, Project, Scope


def create_project(*, name: str, description: str = "", metadata: Mapping[str, Any] | None = None) -> Project:
    """Create a tenant."""
    return Project.objects.create(name=name, description=description, metadata=dict(metadata or {}))


def create_api_key(
    *,
    project: Project | None,
    name: str,
    scopes: Sequence[str],
    network_ids: Sequence[str] = (),
    expires_at: datetime | None = None,
    secret: str | None = None,
) -> tuple[ApiKey, str]:
    """Create a key and return it with its secret, which is not kept and cannot be shown again.

    A given `secret` is imported; importing the same one into the same project again returns the key there is.
    """
    if secret is None:
        secret = keys.mint()
    elif not keys.is_acceptable(secret):
        raise ValueError(f"An imported key has {keys.MIN_IMPORTED} or more visible characters.")
    key, made = ApiKey.objects.get_or_create(
        digest=keys.digest(secret),
        defaults={
            "project": project,
            "name": name,
            "prefix": keys.shown_part(secret),
            "scopes": list(scopes),
            "network_ids": list(network_ids),
            "expires_at": expires_at,
        },
    )
    if not made and key.project_id != (project.pk if project else None):
        raise Conflict("conflict", "Another project holds this key.")
    return key, secret


def update_api_key(*, key: ApiKey, changes: Mapping[str, Any]) -> ApiKey:
    """Rename a key, or change its scopes, networks or expiry. A revoked key stays as it is."""
    if key.revoked_at is not None:
        raise Conflict("key_revoked")
    for name, value in changes.items():
        setattr(key, name, value)
    key.save(update_fields=list(changes))
    return key


@transaction.atomic
def rotate_api_key(
    *, key: ApiKey, overlap: timedelta, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Replace a key by a new one with the same rights; the old one works on for `overlap`."""
    old = ApiKey.objects.select_for_update().get(pk=key.pk)
    if old.revoked_at is not None:
        raise Conflict("key_revoked")
    new, secret = create_api_key(
        project=old.project,
        name=old.name,
        scopes=old.scopes,
        network_ids=old.network_ids,
        expires_at=expires_at,
    )
    until = timezone.now() + overlap
    old.expires_at = min(old.expires_at, until) if old.expires_at else until
    old.save(update_fields=["expires_at"])
    return new, secret


def revoke_api_key(*, key: ApiKey) -> None:
    """End a key at once. Revoking it again changes nothing."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())


def update_network(*, network: Network, changes: Mapping[str, Any]) -> Network:
    """Change a network's fields. Runs that have started go on with the limits of their snapshot."""
    for name, value in changes.items():
        setattr(network, name, value)
    network.save(update_fields=[*changes, "updated_at"])
    return network


@transaction.atomic
def create_project_with_key(
    *, name: str, description: str = "", metadata: Mapping[str, Any] | None = None
) -> tuple[Project, ApiKey, str]:
    """Create a tenant with its first key, which may do everything in it; the secret is shown once."""
    project = create_project(name=name, description=description, metadata=metadata)
    key, secret = create_api_key(project=project, name="First key", scopes=list(Scope.values))
    return project, key, secret


def update_project(*, project: Project, changes: Mapping[str, Any]) -> Project:
    """Change a project's name, description or metadata."""
    for name, value in changes.items():
        setattr(project, name, value)
    project.save(update_fields=[*changes, "updated_at"])
    return project


def delete_project(*, project: Project) -> None:
    """Remove a project that has no networks any more, with all else that it owns."""
    if project.networks.exists():
        raise Conflict("project_in_use", "Delete the project's networks first.")
    project.delete()


def add_member(*, project: Project, email: str, role: str = Member.Role.VIEWER) -> Member:
    """Make a person a member; whoever logs in with that e-mail address is that person."""
    email = email.lower()
    try:
        with transaction.atomic():
            return Member.objects.create(project=project, email=email, role=role, user=_user_of(email))
    except IntegrityError as error:
        raise _taken(error, email) from error.__cause__


def update_member(*, member: Member, changes: Mapping[str, Any]) -> Member:
    """Change a member's address or role."""
    for name, value in changes.items():
        setattr(member, name, value)
    member.email = member.email.lower()
    member.user = _user_of(member.email)
    try:
        with transaction.atomic():
            member.save()
    except IntegrityError as error:
        raise _taken(error, member.email) from error.__cause__
    return member


def remove_member(*, member: Member) -> None:
    """End a membership. What the person decided stays."""
    member.delete()


def _user_of(email: str) -> Any:
    return get_user_model().objects.filter(email__iexact=email).first()


def _taken(error: IntegrityError, email: str) -> Exception:
    if "member_project_email" in str(error):
        return Conflict("conflict", f"{email} is a member already.")
    return error
