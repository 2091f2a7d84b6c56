"""Kinds of providers and where they live. A module, and the SDK it needs, is imported on first use."""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import cast

from agents.resilience.ports import Credential

from .base import Provider
from .types import Capabilities

PROVIDERS = {
    "anthropic": "agents.providers.anthropic.AnthropicProvider",
    "openai": "agents.providers.openai.OpenAIProvider",
    "google": "agents.providers.google.GoogleProvider",
    "openai_compatible": "agents.providers.openai_compatible.OpenAICompatibleProvider",
    "rehearsal": "agents.providers.rehearsal.RehearsalProvider",
}

Factory = Callable[[Credential, Callable[[str], Capabilities]], Provider]


def load_known(kinds: Iterable[str]) -> None:
    """Import those of these kinds that there are, and the rehearsal. Takes up to a second each, once a process."""
    for kind in {*kinds, "rehearsal"} & PROVIDERS.keys():
        load(kind)


def load(kind: str) -> Factory:
    """Return the provider class of a kind. Raises `KeyError` for an unknown one."""
    module, _, name = PROVIDERS[kind].rpartition(".")
    return cast(Factory, getattr(import_module(module), name))
