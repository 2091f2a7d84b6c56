"""One provider, the simulated vendor it talks to, and the ways tests ask it."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agents.providers.base import Provider, complete
from agents.providers.errors import ProviderError
from agents.providers.registry import load
from agents.providers.types import Capabilities, Message, ModelRequest, Reply
from agents.resilience.ports import Credential
from tests.fakes.vendor import Vendor
from tests.fakes.vendor_server import Vendors
from tests.fakes.vendor_wire import Call

# kind → (simulated vendor, model)
KINDS = {
    "anthropic": ("anthropic", "claude-sonnet-5-5"),
    "openai": ("openai", "gpt-6-sol"),
    "google": ("google", "gemini-3.8-flash"),
    "openai_compatible": ("local", "llama-4"),
}
# What the newest models take: the strictest case.
STRICT = Capabilities(sampling=False, forced_tool_choice=False, thinking_blocks=True, max_output=8192)


@dataclass
class Case:
    """One provider and the vendor it talks to. `open` builds further providers, closed with the test."""

    kind: str
    vendor: Vendor
    vendors: Vendors
    model: str
    stream: bool
    capabilities: Capabilities = STRICT
    url: str = ""
    opened: list[Provider] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.provider = self.open(self.url or self.vendor.url)

    def open(self, url: str, key: str = "key-of-the-test") -> Provider:
        provider = load(self.kind)(Credential(key, url, "print"), lambda model: self.capabilities)
        self.opened.append(provider)
        return provider

    def request(self, *messages: Message, **fields: Any) -> ModelRequest:
        said = messages or (Message("user", "Good morning"),)
        return replace(ModelRequest(self.model, said, stream=self.stream), **fields)

    async def ask(self, *messages: Message, **fields: Any) -> Reply:
        return await complete(self.provider, self.request(*messages, **fields))

    async def fail(self, provider: Provider | None = None) -> ProviderError:
        """Ask, and return the error that must come."""
        with pytest.raises(ProviderError) as caught:
            await complete(provider or self.provider, self.request())
        assert caught.value.__cause__ is None or not isinstance(caught.value.__cause__, ProviderError)
        return caught.value

    @property
    def last(self) -> Call:
        return self.vendor.calls[-1]
