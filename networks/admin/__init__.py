"""Staff pages of the tenant boundary: projects, their members and keys, networks."""

from .keys import ApiKeyAdmin
from .members import MemberAdmin
from .projects import NetworkAdmin, ProjectAdmin

__all__ = ["ApiKeyAdmin", "MemberAdmin", "NetworkAdmin", "ProjectAdmin"]
