"""`/v1/respond` and `/v1/synthesize`: a network's agent and a session's voice without a call."""

import asyncio
import base64
import io
import wave
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from agents.providers.errors import Failure, ProviderError
from networks.models import Network
from voice import standalone
from voice.respond import Answer
from web.models import IdempotencyRecord
from web.views import in_database

from .conftest import Caller
from .streams import served

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def parts() -> AsyncIterator[None]:
    yield
    await standalone.forget()


async def post(caller: Caller, path: str, body: Any, **headers: str) -> Any:
    async with served() as client:
        return await client.post(
            path, body, content_type="application/json", headers=caller.headers(**headers)
        )


async def test_it_answers_as_the_network_s_agent(owner: Caller, network: Network) -> None:
    body = {
        "utterance": "What can you do for me?",
        "history": [{"role": "agent", "text": "Hello, this is Acme."}],
        "network_id": network.pk,
    }
    response = await post(owner, "/v1/respond", body)
    assert response.status_code == 200, response.content
    answer = response.json()
    assert answer["reply"]
    assert answer["provider"] == "rehearsal"
    assert answer["citations"] == []
    assert 0 < answer["latency"]["first_token_ms"] <= answer["latency"]["total_ms"]
    assert "RateLimit" in response.headers


async def test_it_answers_once_for_an_idempotency_key(owner: Caller, network: Network) -> None:
    body = {"utterance": "Hello.", "network_id": network.pk}
    first = await post(owner, "/v1/respond", body, Idempotency_Key="once")
    again = await post(owner, "/v1/respond", body, Idempotency_Key="once")
    assert (first.status_code, again.json()) == (200, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await post(owner, "/v1/respond", {**body, "utterance": "Bye."}, Idempotency_Key="once")
    assert other.json()["code"] == "idempotency_key_reused"


async def test_it_says_that_the_first_request_still_runs(
    owner: Caller, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(*args: Any, **kwargs: Any) -> Answer:
        begun.set()
        await go_on.wait()
        return Answer(reply="Hello.")

    monkeypatch.setattr("voice.api.services.respond", slow)
    body = {"utterance": "Hello.", "network_id": network.pk}
    first = asyncio.create_task(post(owner, "/v1/respond", body, Idempotency_Key="once"))
    await begun.wait()
    second = await post(owner, "/v1/respond", body, Idempotency_Key="once")
    assert (second.status_code, second.json()["code"]) == (409, "idempotency_in_progress")
    go_on.set()
    assert (await first).json()["reply"] == "Hello."


async def test_it_takes_over_from_a_process_that_died(owner: Caller, network: Network) -> None:
    def leave(minutes: int) -> None:
        IdempotencyRecord.objects.all().delete()
        record = IdempotencyRecord.objects.create(
            owner=owner.key.pk, key="once", method="POST", path="/v1/respond", request_hash="-"
        )
        IdempotencyRecord.objects.filter(pk=record.pk).update(
            created_at=timezone.now() - timedelta(minutes=minutes)
        )

    body = {"utterance": "Hello.", "network_id": network.pk}
    await in_database(leave)(1)
    assert (await post(owner, "/v1/respond", body, Idempotency_Key="once")).status_code == 409
    await in_database(leave)(3)
    assert (await post(owner, "/v1/respond", body, Idempotency_Key="once")).status_code == 200


async def test_it_forgets_the_key_of_a_request_that_failed(
    owner: Caller, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("defect")

    body = {"utterance": "Hello.", "network_id": network.pk}
    with monkeypatch.context() as patch:
        patch.setattr("voice.api.services.respond", fail)
        with pytest.raises(RuntimeError):
            await post(owner, "/v1/respond", body, Idempotency_Key="once")
    assert (await post(owner, "/v1/respond", body, Idempotency_Key="once")).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        ("/v1/respond", {}, ["/utterance"]),
        ("/v1/respond", {"utterance": "Hello."}, ["/network_id"]),
        ("/v1/respond", {"utterance": "Hello.", "network_id": "nobody"}, ["/network_id"]),
        ("/v1/respond", {"utterance": "Hello.", "history": [{"role": "x"}]}, ["/history/0/role", "/history/0/text"]),
        ("/v1/synthesize", {"text": ""}, ["/text"]),
        ("/v1/synthesize", {"text": "Hello.", "pitch": 1}, ["/pitch"]),
    ],
)  # fmt: skip
async def test_it_names_what_is_wrong(
    owner: Caller, network: Network, path: str, body: Any, wrong: list[str]
) -> None:
    response = await post(owner, path, body)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == wrong


async def test_it_says_that_nobody_can_answer(
    owner: Caller, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*args: Any, **kwargs: Any) -> Any:
        raise ProviderError(Failure.CONNECTION, "All are away.", provider="elevenlabs")

    monkeypatch.setattr("voice.api.services.respond", fail)
    monkeypatch.setattr("voice.api.services.synthesize", fail)
    for path, body in (
        ("/v1/respond", {"utterance": "Hello.", "network_id": network.pk}),
        ("/v1/synthesize", {"text": "Hello."}),
    ):
        response = await post(owner, path, body)
        assert (response.status_code, response.json()["code"]) == (502, "no_answer")
        assert response.json()["detail"] == "All are away."


async def test_it_speaks_with_a_session_s_voice(owner: Caller, network: Network) -> None:
    made = await post(owner, "/api/voice/sessions/with-config", {"connectors": {"tts": {"primary": "local"}}})
    session = made.json()["id"]
    response = await post(owner, "/v1/synthesize", {"text": "Hello.", "session_id": session})
    assert response.json()["connector"] == "local"
    unknown = await post(owner, "/v1/synthesize", {"text": "Hello.", "session_id": "session_x"})
    assert [error["pointer"] for error in unknown.json()["errors"]] == ["/session_id"]


async def test_it_speaks_a_text(owner: Caller) -> None:
    response = await post(owner, "/v1/synthesize", {"text": "Good morning. How are you?"})
    assert response.status_code == 200, response.content
    answer = response.json()
    assert answer["connector"] == "local"
    with wave.open(io.BytesIO(base64.b64decode(answer["audio"]))) as audio:
        seconds = audio.getnframes() / audio.getframerate()
    assert seconds * 1000 == pytest.approx(answer["duration_ms"], abs=1)
    assert seconds > 0.5


async def test_it_sends_the_file_itself(owner: Caller) -> None:
    response = await post(owner, "/v1/synthesize", {"text": "Good morning.", "encoding": "wav"})
    assert response.headers["Content-Type"] == "audio/wav"
    assert response.content[:4] == b"RIFF"
    assert float(response.headers["X-Duration-Ms"]) > 100


async def test_it_is_for_keys_with_the_scope(member: Caller) -> None:
    response = await post(member, "/v1/synthesize", {"text": "Hello."})
    assert (response.status_code, response.json()["code"]) == (403, "missing_scope")
    plain = await in_database(Client().post)("/v1/synthesize", {}, content_type="application/json")
    assert plain.status_code == 401
    assert (await in_database(member.get)("/v1/synthesize")).status_code == 403
