"""Reads at the tenant boundary. Everything inside a network is reached through `access_network_for`."""

from collections.abc import Sequence

from django.db.models import Q, QuerySet

from web.problems import NotFound

from .models import ApiKey, Network


def visible_to(key: ApiKey, path: str = "") -> Q:
    """What makes a network visible to a key: its project, and the key's own restriction.

    `path` leads to the network from another model, such as `network__`.
    """
    visible = Q(**{f"{path}project_id": key.project_id})
    return visible & Q(**{f"{path}pk__in": key.network_ids}) if key.network_ids else visible


def networks_for(key: ApiKey) -> "QuerySet[Network]":
    """The networks a key can see: its project's, fewer when it is restricted."""
    return Network.objects.filter(visible_to(key))


def access_network_for(key: ApiKey, network_id: str) -> Network:
    """The network, if the key may see it; else `NotFound`, whoever owns it."""
    network = networks_for(key).filter(pk=network_id).first()
    if network is None:
        raise NotFound("There is no such network.")
    return network


def api_keys_for(key: ApiKey) -> "QuerySet[ApiKey]":
    """The keys of the caller's project. A restricted key sees those that reach no further than itself."""
    found = ApiKey.objects.filter(project_id=key.project_id)
    if key.network_ids:
        found = found.filter(network_ids__contained_by=key.network_ids).exclude(network_ids=[])
    return found


def access_api_key_for(key: ApiKey, key_id: str) -> ApiKey:
    """A key of the caller's project, else `NotFound`."""
    found = api_keys_for(key).filter(pk=key_id).first()
    if found is None:
        raise NotFound("There is no such key.")
    return found


def missing_networks(key: ApiKey, network_ids: Sequence[str]) -> list[str]:
    """Those of `network_ids` that the key cannot see."""
    seen = set(networks_for(key).filter(pk__in=network_ids).values_list("pk", flat=True))
    return [network_id for network_id in network_ids if network_id not in seen]
