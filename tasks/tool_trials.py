"""Trying a tool out: one call outside of any run, in the ledger like every other."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from agents import tool_services
from agents.crypto import CannotDecrypt
from agents.models import Tool, ToolCall
from agents.tools.base import Caller, ToolFailed
from agents.tools.registry import call_tool
from tasks.engine.output import storable
from web.egress import Egress, EgressPolicy
from web.ids import new_id
from web.views import in_database

from .worker.surroundings import surroundings_with

#: Somebody sits there and waits.
SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it."""

    call: ToolCall
    seconds: float
    retryable: bool = False


class _Known:
    """The secrets of the one tool."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets

    async def of(self, tool_id: str) -> Mapping[str, str]:
        return self._secrets


async def try_tool(tool: Tool, arguments: Mapping[str, Any]) -> Trial:
    """Call a tool as a step would; a failure is told by the call, not raised."""
    call = await in_database(_begin)(tool, arguments)
    caller = Caller(project_id=tool.project_id, idempotency_key=call.idempotency_key)
    began, retryable = time.monotonic(), False
    egress = Egress(EgressPolicy.parse(settings.MESH_EGRESS_ALLOW))
    call.state = ToolCall.State.UNKNOWN  # and that it stays when its caller leaves
    try:
        world = surroundings_with(_Known(tool_services.secrets_of(tool)), egress=egress)
        async with asyncio.timeout(SECONDS):
            call.output = storable(await call_tool(tool_services.spec_of(tool), arguments, caller, world))
        call.state = ToolCall.State.SUCCEEDED
    except ToolFailed as error:
        call.error_code, call.error_detail, retryable = error.code, str(error)[:1000], error.retryable
        if not error.unknown:
            call.state = ToolCall.State.FAILED
    except TimeoutError:
        call.error_code, call.error_detail = "tool_timeout", f"No result within {SECONDS:g} s."
        retryable = True
    except CannotDecrypt as error:
        call.error_code, call.error_detail = "bad_tool_config", f"The secrets cannot be read: {error}"
        call.state = ToolCall.State.FAILED
    finally:
        call.finished_at = timezone.now()
        await egress.aclose()
        await in_database(call.save)()
    return Trial(call, time.monotonic() - began, retryable)


def _begin(tool: Tool, arguments: Mapping[str, Any]) -> ToolCall:
    call_id = new_id("tcall")
    return ToolCall.objects.create(
        id=call_id,
        project_id=tool.project_id,
        tool_id=tool.pk,
        name=tool.name,
        idempotency_key=f"try:{call_id}",
        arguments=arguments,
        started_at=timezone.now(),
    )
