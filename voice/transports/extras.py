"""Packages that only some transports need."""

from importlib import import_module
from types import ModuleType


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
