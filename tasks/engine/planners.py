"""Which planner drives which runs."""

from collections.abc import Mapping
from typing import Final

from .delegation import DelegationPlanner
from .graph_planner import GraphPlanner
from .planner import Planner

PLANNERS: Final[Mapping[str, Planner]] = {"delegation": DelegationPlanner(), "graph": GraphPlanner()}
