"""What runs were started with, read once a process: a snapshot never changes."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from agents.tools.base import Effect, ToolSpec
from tasks.engine.ports import AgentView, SnapshotView
from workflows.parsing import parse_graph

from . import sql
from .work import Query, Work

KEPT = 256


class Snapshots:
    """The snapshots of this process, by their hash. `load` reads those that are not there."""

    def __init__(self, kept: int = KEPT) -> None:
        self._views: OrderedDict[str, SnapshotView] = OrderedDict()
        self._kept = kept

    def known(self, hash_: str) -> SnapshotView | None:
        """Return a snapshot that was read before."""
        return self._views.get(hash_)

    def load(self, hashes: Iterable[str]) -> Work[Mapping[str, SnapshotView]]:
        """Return the snapshots of these hashes; those that are known cost nothing."""
        found = {}
        for hash_ in set(hashes):
            view = self._views.get(hash_)
            if view is None:
                [rows] = yield (Query(sql.SNAPSHOT, {"hash": hash_}),)
                view = self._views[hash_] = read_snapshot(rows[0]["body"])
            found[hash_] = view
            self._views.move_to_end(hash_)
        while len(self._views) > self._kept:
            self._views.popitem(last=False)
        return found


def read_snapshot(body: Mapping[str, Any]) -> SnapshotView:
    """Read a snapshot's JSON as `tasks.snapshot` and `tasks.workflow_snapshot` write it."""
    agents = {
        agent["id"]: AgentView(
            id=agent["id"],
            name=agent["name"],
            type=agent["type"],
            description=agent["description"],
            system_prompt=agent["system_prompt"],
            parameters=agent["parameters"],
            capabilities=tuple(agent["capabilities"]),
            models=tuple(agent["models"]),
            tools=tuple(agent.get("tools", ())),
        )
        for agent in body["agents"]
    }
    return SnapshotView(
        network=body["network"],
        agents=agents,
        coordinator_id=body.get("coordinator_id", ""),
        tools={
            tool["id"]: ToolSpec(**{**tool, "effect": Effect(tool["effect"])})
            for tool in body.get("tools", ())
        },
        graph=parse_graph(body["graph"])[0] if "graph" in body else None,
        chains={name: tuple(models) for name, models in body.get("chains", {}).items()},
        workflow=body.get("workflow", {}),
    )
