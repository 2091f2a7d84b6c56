"""A tool that is a function of this installation: registered by name, with its schemas, never by a path alone.

    config: {function}

Code that is installed beside the service registers its functions when it is imported; MESH_FUNCTION_MODULES
names what to import. A function may be a coroutine; any other runs in a thread.
"""

import asyncio
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from .base import Caller, Effect, Surroundings, ToolFailed, ToolSpec

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Function:
    """A registered function. It is called with the tool's arguments as keywords."""

    name: str
    description: str
    call: Callable[..., Any]
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]
    effect: Effect


FUNCTIONS: Final[dict[str, Function]] = {}

CONFIG_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"function": {"type": "string", "minLength": 1, "maxLength": 200}},
    "required": ["function"],
    "additionalProperties": False,
}


def tool_function(
    name: str,
    *,
    input_schema: Mapping[str, Any],
    output_schema: Mapping[str, Any] | None = None,
    effect: Effect = Effect.UNSAFE,
    description: str = "",
) -> Callable[[_F], _F]:
    """Register a function as a tool may name it. Raises `ValueError` for a name that is taken."""

    def register(function: _F) -> _F:
        if name in FUNCTIONS and FUNCTIONS[name].call is not function:
            raise ValueError(f"two functions are registered as {name!r}")
        text = description or inspect.getdoc(function) or name
        FUNCTIONS[name] = Function(name, text, function, input_schema, output_schema or {}, effect)
        return function

    return register


def import_functions(modules: Iterable[str]) -> None:
    """Import the modules that register functions. Raises `ImportError`."""
    for module in modules:
        importlib.import_module(module)


async def call(spec: ToolSpec, arguments: Mapping[str, Any], caller: Caller, world: Surroundings) -> Any:
    """Call the function; an exception of it is a failure whose outcome is unknown."""
    function = FUNCTIONS.get(str(spec.config.get("function", "")))
    if function is None:
        raise ToolFailed(
            "bad_tool_config", f"No function {spec.config.get('function')!r} is registered here."
        )
    try:
        if inspect.iscoroutinefunction(function.call):
            return await function.call(**arguments)
        return await asyncio.to_thread(function.call, **arguments)
    except ToolFailed:
        raise
    except Exception as error:
        raise ToolFailed("tool_error", f"{type(error).__name__}: {error}"[:500], unknown=True) from error
