"""Reads at the tenant boundary. Everything inside a network is reached through `access_network_for`."""

from collections.abc import Sequence
from typing import cast

from django.db.models import QuerySet

from web.problems import NotFound
from web.statements import Statement

from .models import ApiKey, Network

_NETWORK = Statement(
    """
SELECT {n} FROM networks_network n
WHERE n.id = %(network)s AND n.project_id = %(project)s
  AND (cardinality(%(visible)s::text[]) = 0 OR n.id = ANY(%(visible)s::text[]))
""",
    n=Network,
)


def networks_for(key: ApiKey) -> "QuerySet[Network]":
    """The networks a key can see: its project's, fewer when it is restricted."""
    networks = Network.objects.filter(project_id=key.project_id)
    return networks.filter(pk__in=key.network_ids) if key.network_ids else networks


def access_network_for(key: ApiKey, network_id: str) -> Network:
    """The network, if the key may see it; else `NotFound`, whoever owns it."""
    parameters = {"network": network_id, "project": key.project_id, "visible": key.network_ids}
    for (network,) in _NETWORK.models(parameters):
        network.project = key.project
        return cast(Network, network)
    raise NotFound("There is no such network.")


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
