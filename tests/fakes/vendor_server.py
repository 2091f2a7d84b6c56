"""All simulated vendors on one port, for tests in process and as a process of its own.

/anthropic   Messages API                      /openai   Responses and Chat Completions
/google      Gemini API                        /local    Chat Completions of some other server
GET /healthz · GET /calls[?vendor=] · DELETE /calls · POST /script · POST /reset
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson

from .anthropic import AnthropicWire
from .google import GoogleWire
from .openai_chat import ChatWire
from .openai_responses import ResponsesWire
from .vendor import Vendor
from .vendor_http import Exchange, HttpServer, unused_url
from .vendor_script import Fault, Reply, Step
from .vendor_wire import JSON, Wire


class Vendors:
    """The four vendors. `refused` is a URL where nobody listens."""

    def __init__(self, base: str = "", latency: float = 0.0) -> None:
        chat: dict[str, Wire] = {"/chat/completions": ChatWire()}
        self.anthropic = Vendor("anthropic", f"{base}/anthropic", {"/v1/messages": AnthropicWire()}, latency)
        self.openai = Vendor("openai", f"{base}/openai/v1", {"/responses": ResponsesWire(), **chat}, latency)
        self.google = Vendor("google", f"{base}/google", {"enerateContent": GoogleWire()}, latency)
        self.local = Vendor("local", f"{base}/local/v1", chat, latency)
        self.refused = unused_url()

    @property
    def all(self) -> dict[str, Vendor]:
        return {vendor.name: vendor for vendor in (self.anthropic, self.openai, self.google, self.local)}

    async def handle(self, exchange: Exchange) -> None:
        """Send a request to the vendor its path begins with, or to the controls."""
        head, _, rest = exchange.path.lstrip("/").partition("/")
        if vendor := self.all.get(head):
            await vendor.serve(exchange, f"/{rest}")
            return
        try:
            answer = self._control(exchange)
        except (KeyError, TypeError, ValueError) as error:
            exchange.send(400, JSON, orjson.dumps({"error": repr(error)}))
            return
        exchange.send(200 if answer is not None else 404, JSON, orjson.dumps(answer))

    def _control(self, exchange: Exchange) -> Any:
        match exchange.method, exchange.path:
            case "GET", "/healthz":
                return {"status": "ok"}
            case "GET", "/calls":
                chosen = self._chosen(exchange.query.get("vendor", "*"))
                return {vendor.name: [call.to_json() for call in vendor.calls] for vendor in chosen}
            case "DELETE", "/calls":
                for vendor in self.all.values():
                    vendor.calls.clear()
                return {}
            case "POST", "/reset":
                for vendor in self.all.values():
                    vendor.reset()
                return {}
            case "POST", "/script":
                self._script(orjson.loads(exchange.body))
                return {}
        return None

    def _script(self, order: Mapping[str, Any]) -> None:
        """Take `{"vendor": name or "*", "steps"?: [step], "always"?: step or null, "latency_ms"?: number}`.

        A step is `{"reply": {…}}` or `{"fault": {…}}` with the fields of `vendor_script`.
        """
        for vendor in self._chosen(order["vendor"]):
            vendor.script(*(_step(step) for step in order.get("steps", ())))
            if "always" in order:
                vendor.always = _step(order["always"]) if order["always"] else None
            if "latency_ms" in order:
                vendor.latency = order["latency_ms"] / 1000

    def _chosen(self, name: str) -> list[Vendor]:
        return list(self.all.values()) if name == "*" else [self.all[name]]


@asynccontextmanager
async def vendor_servers(port: int = 0, latency: float = 0.0) -> AsyncIterator[Vendors]:
    """Run all vendors on one local port; `latency` is seconds to the first byte of good answers."""
    vendors = Vendors(latency=latency)
    async with HttpServer(vendors.handle, port) as server:
        for vendor in vendors.all.values():
            vendor.url = server.url + vendor.url
        yield vendors


def _step(data: Mapping[str, Any]) -> Step:
    if "reply" in data:
        return Reply.from_json(data["reply"])
    return Fault(**data["fault"])
