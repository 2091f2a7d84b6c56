"""Writes of agents, and of a network together with its agents."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from simple_history.utils import bulk_create_with_history

from networks import services as networks
from networks.models import Network, Project
from web.ids import new_id
from web.problems import Conflict, Invalid

from .catalogue import seed_data
from .credentials import credentials
from .defaults import COORDINATOR, DEFAULT_AGENTS, DEFAULT_COORDINATOR, DefaultAgent
from .models import Agent, CatalogueModel
from .selectors import get_catalogue, has_coordinator
from .tool_selectors import check_tools

Values = Mapping[str, Any]

_TWO_COORDINATORS = "A network has one coordinator."


@transaction.atomic
def create_network_with_agents(
    *, project: Project, agents: Sequence[Values] = (), **fields: Any
) -> tuple[Network, list[Agent]]:
    """Create a network and its agents: the five defaults when none are given, a coordinator when none is one.

    `fields` are those of `Network`; each of `agents` holds fields of `Agent`.
    """
    _check_models(project, fields.get("chain", ()), "/chain")
    for index, values in enumerate(agents):
        _check_models(
            project, [values["model"]] if values.get("model") else [], f"/agents/{index}/model", one=True
        )
        check_tools(project.pk, values.get("tools", ()), f"/agents/{index}/tools")
    coordinators = [index for index, values in enumerate(agents) if values["type"] == COORDINATOR]
    if len(coordinators) > 1:
        raise Invalid(f"/agents/{coordinators[1]}/type", _TWO_COORDINATORS, "two_coordinators")
    network = Network.objects.create(project=project, **fields)
    if agents:
        members = [Agent(project=project, network=network, **values) for values in agents]
        if not coordinators:
            members.insert(0, _from_default(network, DEFAULT_COORDINATOR))
    else:
        members = [_from_default(network, default) for default in DEFAULT_AGENTS]
    # Ids of one millisecond sort at random: dealt out in order, they keep the agents in the order given.
    for agent, agent_id in zip(members, sorted(new_id("agent") for _ in members), strict=True):
        agent.pk = agent_id
    return network, bulk_create_with_history(members, Agent)


def update_network(*, network: Network, changes: Values) -> Network:
    """Change a network, with the models of its chain checked."""
    _check_models(network.project, changes.get("chain", ()), "/chain")
    return networks.update_network(network=network, changes=changes)


def create_agent(*, network: Network, values: Values) -> Agent:
    """Add an agent to a network."""
    _check_models(network.project, [values["model"]] if values.get("model") else [], "/model", one=True)
    check_tools(network.project_id, values.get("tools", ()))
    try:
        with transaction.atomic():
            return Agent.objects.create(project_id=network.project_id, network=network, **values)
    except IntegrityError as error:
        raise _integrity_problem(error) from error.__cause__


def create_project_agent(*, project: Project, values: Values) -> Agent:
    """Add an agent to a project; `values` may name the network that it joins."""
    _check_models(project, [values["model"]] if values.get("model") else [], "/model", one=True)
    check_tools(project.pk, values.get("tools", ()))
    try:
        with transaction.atomic():
            return Agent.objects.create(project=project, **values)
    except IntegrityError as error:
        raise _integrity_problem(error) from error.__cause__


def check_provider(provider: str, model: str) -> None:
    """Raise `Invalid` when a model is known and is another provider's."""
    found = get_catalogue().resolve(model) if model else None
    if found is not None and found.provider != provider:
        raise Invalid("/provider", f"{model} is a model of {found.provider}.", "wrong_provider")


def check_may_leave(agent: Agent, changes: Values) -> None:
    """Raise `Conflict` for changes that would take a coordinator from its network."""
    leaves = "network" in changes and (
        changes["network"] is None or changes["network"].pk != agent.network_id
    )
    if (
        agent.type == COORDINATOR
        and agent.network_id
        and (leaves or changes.get("type", COORDINATOR) != COORDINATOR)
    ):
        raise Conflict("coordinator_busy", "A network's coordinator is changed at the network's own address.")


def update_agent(*, agent: Agent, changes: Values) -> Agent:
    """Change an agent. Runs that have started go on with the agent of their snapshot."""
    _check_models(agent.project, [changes["model"]] if changes.get("model") else [], "/model", one=True)
    check_tools(agent.project_id, changes.get("tools", ()))
    for name, value in changes.items():
        setattr(agent, name, value)
    try:
        with transaction.atomic():
            agent.save(update_fields=[*changes, "updated_at"])
    except IntegrityError as error:
        raise _integrity_problem(error) from error.__cause__
    return agent


def delete_agent(*, agent: Agent) -> None:
    """Remove an agent. What it did stays in the runs and in the ledger."""
    agent.delete()


def ensure_coordinator(*, network: Network) -> None:
    """Give a network whose coordinator was removed the default one, before it is to work."""
    if not has_coordinator(network):
        try:
            with transaction.atomic():
                _from_default(network, DEFAULT_COORDINATOR).save()
        except IntegrityError:
            pass  # somebody was faster


def sync_catalogue() -> int:
    """Bring the model table up to the seed file and return how many rows that changed.

    What staff have added or edited is left alone.
    """
    known = {row.pk: row for row in CatalogueModel.objects.all()}
    changed = 0
    for seed in seed_data()["models"]:
        row = known.get(seed["id"]) or CatalogueModel(pk=seed["id"])
        fields = {
            "provider": seed["provider"],
            "tier": seed.get("tier") or "standard",
            "aliases": list(seed.get("aliases") or ()),
            "capabilities": dict(seed.get("capabilities") or {}),
            "prices": dict(seed.get("prices") or {}),
            "retires_on": seed.get("retires_on"),
        }
        same = not row._state.adding and all(getattr(row, name) == value for name, value in fields.items())
        if not same and not row.history.exclude(history_user=None).exists():
            for name, value in fields.items():
                setattr(row, name, value)
            row.save()
            changed += 1
    return changed


def _from_default(network: Network, default: DefaultAgent) -> Agent:
    return Agent(
        project_id=network.project_id,
        network=network,
        name=default.name,
        type=default.type,
        description=default.description,
        capabilities=list(default.capabilities),
        system_prompt=default.system_prompt,
    )


def _check_models(project: Project, names: Sequence[str], pointer: str, *, one: bool = False) -> None:
    """Refuse names that no provider would answer to. A compatible server may have any model."""
    catalogue = get_catalogue() if names else None
    for index, name in enumerate(names):
        assert catalogue is not None
        if catalogue.resolve(name) is None and credentials.get(project.pk, "openai_compatible") is None:
            place = pointer if one else f"{pointer}/{index}"
            raise Invalid(place, f"There is no model {name!r}.", "unknown_model")


def _integrity_problem(error: IntegrityError) -> Exception:
    if "one_coordinator_a_network" in str(error):
        return Invalid("/type", _TWO_COORDINATORS, "two_coordinators")
    return error
