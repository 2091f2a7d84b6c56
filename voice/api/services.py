"""`/v1/respond` and `/v1/synthesize`: what answers and what speaks in a call, as plain HTTP.

They wait for models and vendors for seconds, so they are coroutines and hold neither thread nor connection.
"""

import base64
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from agents.providers.errors import ProviderError
from networks.authentication import require_key
from networks.models import ApiKey, Scope
from voice import standalone
from voice.config import SessionConfig
from voice.config_parsing import parse
from voice.pipeline.ports import Utterance
from voice.respond import Answer, respond
from voice.services import config_for
from voice.synthesize import Spoken, synthesize
from web import ratelimit
from web.idempotency import idempotent_coroutine, once
from web.openapi import document
from web.problems import Problem
from web.serializers import Body
from web.views import MeshView, in_database

from .call_serializers import RespondAnswer, RespondBody, SynthesizeAnswer, SynthesizeBody


class RespondView(MeshView):
    tags = ["Voice services"]
    required_scope = Scope.VOICE

    @document(
        answer=RespondAnswer,
        body=RespondBody,
        conflict=True,
        also={410, 502},
        summary="Answer what somebody said, as the agent would on the phone",
    )
    @idempotent_coroutine
    def post(self, request: Request) -> Response:
        raise NotImplementedError  # the coroutine that voice/api/urls.py puts in front answers


class SynthesizeView(MeshView):
    tags = ["Voice services"]
    required_scope = Scope.VOICE

    @document(
        answer=SynthesizeAnswer,
        body=SynthesizeBody,
        also={410, 502},
        summary="Speak a text by the services of a session, or by the default ones",
        extra={(200, "audio/wav"): bytes},
    )
    def post(self, request: Request) -> Response:
        raise NotImplementedError  # as above


def is_post(request: HttpRequest) -> bool:
    """Whether it is for the coroutine; the view says 405 to others."""
    return request.method == "POST"


async def answer_utterance(request: HttpRequest) -> HttpResponseBase:
    """Have the agent answer. Raises a problem: `no_answer` when no model could."""
    key, values, config = await in_database(_read)(request, RespondBody)
    history = [Utterance(line["role"], line["text"]) for line in values.get("history", ())]

    async def work() -> HttpResponse:
        try:
            answer = await respond(
                await standalone.obtain(),
                project_id=str(key.project_id),
                config=config,
                utterance=values["utterance"],
                history=history,
            )
        except ProviderError as error:
            raise Problem("no_answer", str(error)) from error
        return JsonResponse(_shape_answer(answer))

    return await once(request, key.pk, work)


async def speak_text(request: HttpRequest) -> HttpResponseBase:
    """Have a text spoken: JSON with the audio in base64, or the file itself."""
    key, values, config = await in_database(_read)(request, SynthesizeBody)
    try:
        spoken = await synthesize(
            await standalone.obtain(),
            project_id=str(key.project_id),
            config=config,
            text=values["text"],
            voice=values.get("voice", ""),
        )
    except ProviderError as error:
        raise Problem("no_answer", str(error)) from error
    if values.get("encoding") == "wav":
        return HttpResponse(
            spoken.audio,
            content_type="audio/wav",
            headers={"X-Duration-Ms": f"{spoken.duration_ms:g}", "X-Connector": spoken.connector},
        )
    return JsonResponse(_shape_spoken(spoken))


def _read(request: HttpRequest, serializer: type[Body]) -> tuple[ApiKey, dict[str, Any], SessionConfig]:
    """Who asks, for what, and by whose config."""
    key = require_key(request, Scope.VOICE)
    ratelimit.spend(request)
    checked = serializer(data=request.guarded_json)  # type: ignore[attr-defined]
    checked.is_valid(raise_exception=True)
    values = dict(checked.validated_data)
    network_id, session_id = values.get("network_id", ""), values.get("session_id", "")
    if serializer is SynthesizeBody and not session_id:
        return key, values, parse({})  # which network speaks makes no difference
    return key, values, config_for(key, network_id=network_id, session_id=session_id)


def _shape_answer(answer: Answer) -> dict[str, Any]:
    return {
        "reply": answer.reply,
        "citations": list(answer.citations),
        "actions": [
            {"name": action["name"], "arguments": {k: v for k, v in action.items() if k != "name"}}
            for action in answer.actions
        ],
        "tools": answer.tools,
        "model": answer.model,
        "provider": answer.provider,
        "usage": {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens},
        "cost": answer.cost,
        "latency": {"first_token_ms": answer.first_token_ms, "total_ms": answer.total_ms},
    }


def _shape_spoken(spoken: Spoken) -> dict[str, Any]:
    return {
        "audio": base64.b64encode(spoken.audio).decode(),
        "content_type": "audio/wav",
        "duration_ms": spoken.duration_ms,
        "connector": spoken.connector,
        "cost": sum(use.cost for use in spoken.use),
        "latency": {"first_audio_ms": spoken.first_audio_ms, "total_ms": spoken.total_ms},
    }
