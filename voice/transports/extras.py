"""Packages that only some transports need."""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Final

_MODULES: Final[Mapping[str, Mapping[str, str]]] = {
    "webrtc": {"aiortc": "aiortc"},
    "livekit": {"livekit.rtc": "livekit", "livekit.api": "livekit-api"},
    "daily": {"daily": "daily-python"},
}


class MissingPackage(Exception):
    """A transport's package is not installed; the message says how to get it."""


def load(module: str, *, package: str, transport: str) -> ModuleType:
    """Import a module of `package`. Raises `MissingPackage`."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingPackage(
            f"The transport `{transport}` needs the package {package}, which cannot be imported ({error}). "
            f"Install it: pip install -r requirements-extras.txt"
        ) from error


def load_all(transport: str) -> None:
    """Import what a transport needs, which takes up to a second: for a thread, so that calls go on meanwhile.

    Raises `MissingPackage`.
    """
    for module, package in _MODULES.get(transport, {}).items():
        load(module, package=package, transport=transport)
