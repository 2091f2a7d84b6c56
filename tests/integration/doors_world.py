"""Who asks for voice sessions, and the process that takes their calls."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient

from networks.models import Scope
from networks.services import create_api_key, create_project
from tests.integration.lines_world import Exchange, in_thread
from voice.models import VoiceWorker

CONFIG = {"system_prompt": "Be kind.", "connectors": {"llm": {"primary": "rehearsal"}}}


@dataclass
class Client:
    """A client of the API, on the event loop that takes the calls."""

    secret: str

    async def post(self, path: str, body: Any) -> Any:
        return await AsyncClient(raise_request_exception=False).post(
            path, body, content_type="application/json", headers={"Authorization": f"Bearer {self.secret}"}
        )

    async def session(self, provider: str) -> dict[str, Any]:
        answer = await self.post("/api/voice/sessions/with-config", CONFIG | {"provider": provider})
        assert answer.status_code == 201, answer.content
        created: dict[str, Any] = answer.json()
        return created


@pytest.fixture
def client(transactional_db: None) -> Client:
    project = create_project(name="Acme")
    _, secret = create_api_key(project=project, name="voice", scopes=[Scope.READ, Scope.WRITE, Scope.VOICE])
    return Client(secret)


@pytest.fixture
async def exchange(client: Client) -> AsyncIterator[Exchange]:
    async with Exchange(capacity=1).serving() as serving:
        address = f"ws://127.0.0.1:{serving.port}"
        await in_thread(VoiceWorker.objects.update, address=address)
        yield serving
    await sync_to_async(connections.close_all)()  # in the thread where the test client's views ran
