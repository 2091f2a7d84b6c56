"""Trying a tool out. The call may take a minute, so it is a coroutine that answers."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import Tool
from agents.tool_selectors import access_tool_for
from networks.authentication import require_key
from networks.models import ApiKey, Scope
from tasks.tool_trials import Trial, try_tool
from web import ratelimit
from web.idempotency import idempotent_coroutine, once
from web.openapi import document
from web.serializers import Body, JsonObject
from web.views import MeshView, in_database


class TryToolBody(Body):
    arguments = JsonObject(required=False, help_text="What the tool is called with.")


class TryErrorAnswer(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()
    retryable = serializers.BooleanField(help_text="Whether the same call may succeed later.")


class TryToolAnswer(serializers.Serializer[Any]):
    ok = serializers.BooleanField()
    output = serializers.JSONField(allow_null=True)
    error = TryErrorAnswer(allow_null=True)
    seconds = serializers.FloatField()
    tool_call_id = serializers.CharField(help_text="Its line in the ledger.")


class TryToolView(MeshView):
    tags = ["Tools"]

    @document(answer=TryToolAnswer, body=TryToolBody, summary="Call a tool once, outside of any run")
    @idempotent_coroutine
    def post(self, request: Request, tool_id: str) -> Response:
        raise NotImplementedError  # the coroutine that tasks/api/urls.py puts in front answers


def is_post(request: HttpRequest) -> bool:
    return request.method == "POST"


async def answer_trial(request: HttpRequest, *, tool_id: str) -> HttpResponseBase:
    """Call the tool and say what came of it. Raises a problem."""
    key, tool, arguments = await in_database(_read)(request, tool_id)

    async def work() -> HttpResponse:
        return JsonResponse(_shape(await try_tool(tool, arguments)))

    return await once(request, key.pk, work)


def _read(request: HttpRequest, tool_id: str) -> tuple[ApiKey, Tool, dict[str, Any]]:
    """Who asks, for which tool, and with what."""
    key = require_key(request, Scope.WRITE)
    ratelimit.spend(request)
    tool = access_tool_for(key, tool_id)
    checked = TryToolBody(data=request.guarded_json)  # type: ignore[attr-defined]
    checked.is_valid(raise_exception=True)
    return key, tool, dict(checked.validated_data.get("arguments", {}))


def _shape(trial: Trial) -> dict[str, Any]:
    call = trial.call
    error = {"code": call.error_code, "detail": call.error_detail, "retryable": trial.retryable}
    return {
        "ok": not call.error_code,
        "output": call.output,
        "error": error if call.error_code else None,
        "seconds": round(trial.seconds, 3),
        "tool_call_id": call.pk,
    }
