"""Tools of MCP servers: by address through the guard, by command from the list of staff."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator

import pytest
import uvicorn
from mcp.server import MCPServer

from agents.tools.base import Caller, Surroundings, ToolFailed, ToolSpec
from agents.tools.registry import call_tool
from web.egress import Egress, EgressPolicy

CALLER = Caller("project_1", "key-1")
STDIO_SERVER = """
from mcp.server import MCPServer
server = MCPServer("local")

@server.tool()
def shout(text: str) -> str:
    return text.upper()

server.run("stdio")
"""


class Safe:
    async def of(self, tool_id):
        return {"token": "s3cret-token"}


@pytest.fixture
async def server() -> AsyncIterator[str]:
    made = MCPServer("weather")

    @made.tool()
    def forecast(city: str) -> dict[str, str]:
        return {"city": city, "sky": "blue"}

    @made.tool()
    def broken() -> str:
        raise ValueError("no wind")

    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(made.streamable_http_app(), log_level="error", lifespan="on")
    running = uvicorn.Server(config)
    serving = asyncio.create_task(running.serve(sockets=[listening]))
    while not running.started:  # noqa: ASYNC110  (an attribute is how it tells)
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    running.should_exit = True
    await serving


@pytest.fixture
async def world() -> AsyncIterator[Surroundings]:
    egress = Egress(EgressPolicy.parse(["127.0.0.1"]))
    yield Surroundings(egress, Safe())
    await egress.aclose()


def tool(**config) -> ToolSpec:
    return ToolSpec("tool_1", "weather", "mcp", config=config)


async def test_it_calls_a_tool_by_its_servers_address(server, world):
    found = await call_tool(tool(url=server, tool="forecast"), {"city": "Rome"}, CALLER, world)
    assert found == {"city": "Rome", "sky": "blue"}


async def test_it_passes_on_that_the_tool_failed(server, world):
    with pytest.raises(ToolFailed) as caught:
        await call_tool(tool(url=server, tool="broken"), {}, CALLER, world)
    assert caught.value.code == "tool_refused"


async def test_it_reaches_no_server_inside(server):
    egress = Egress(EgressPolicy())
    with pytest.raises(ToolFailed) as caught:
        await call_tool(
            tool(url=server, tool="forecast"), {"city": "Rome"}, CALLER, Surroundings(egress, Safe())
        )
    assert caught.value.code == "address_not_allowed"
    await egress.aclose()


async def test_it_starts_only_what_staff_allow(tmp_path):
    script = tmp_path / "server.py"
    script.write_text(STDIO_SERVER)
    world = Surroundings(
        Egress(EgressPolicy()), Safe(), mcp_commands={"shouter": f"{sys.executable} {script}"}
    )
    found = await call_tool(tool(command="shouter", tool="shout"), {"text": "hi"}, CALLER, world)
    assert found == {"result": "HI"}
    with pytest.raises(ToolFailed) as caught:
        await call_tool(
            tool(command=f"{sys.executable} {script}", tool="shout"), {"text": "hi"}, CALLER, world
        )
    assert caught.value.code == "bad_tool_config"
    await world.egress.aclose()
