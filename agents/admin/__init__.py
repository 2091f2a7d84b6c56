"""Staff pages of agents, tools, the model catalogue, provider credentials, and the ledgers of calls."""

from .agents import AgentAdmin
from .calls import ModelCallAdmin, ToolCallAdmin
from .catalogue import CatalogueModelAdmin, ProviderCredentialAdmin
from .tools import ToolAdmin

__all__ = [
    "AgentAdmin",
    "CatalogueModelAdmin",
    "ModelCallAdmin",
    "ProviderCredentialAdmin",
    "ToolAdmin",
    "ToolCallAdmin",
]
