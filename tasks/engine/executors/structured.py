"""Asking a model for one JSON object: freeze the context, ask, check, have it mended once, fall back."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from agents.providers.errors import Failure, ProviderError
from agents.providers.types import FinishReason, Message, ModelRequest, OutputSchema, Reply
from web.jsonschemas import problems_of

from ..output import extract_object
from ..ports import AgentView, StepFailed, StepPort, StepWork
from ..prompts import repair
from .tools import ToolBox, answer_with_tools

DEFAULT_MAX_TOKENS = 4096
# Above this the vendor is asked to stream, so that a long silence can be told from a long answer.
WHOLE_REPLY_TOKENS = 8192


def freeze(
    work: StepWork,
    port: StepPort,
    agent: AgentView,
    *,
    name: str,
    schema: Mapping[str, Any] | None,
    system: str,
    user: str,
    recalled: Sequence[str],
    given: Any = None,
    tools: Sequence[str] = (),
) -> Mapping[str, Any]:
    """Make the step's context and hand it over to be stored with the first call.

    The schema is kept as text: the database sorts an object's keys, and models write theirs in schema order.
    """
    context: dict[str, Any] = {
        "agent_id": agent.id,
        "models": list(agent.models),
        "parameters": dict(agent.parameters),
        "schema_name": name,
        "schema": json.dumps(schema, ensure_ascii=False),
        "system": system,
        "user": user,
        "recalled": list(recalled),
    }
    if tools:
        context["tools"] = list(tools)
    if given is not None:
        context["given"] = given
    port.freeze(context)
    return context


async def ask_for_object(
    port: StepPort,
    context: Mapping[str, Any],
    check: Callable[[dict[str, Any]], list[str]] = lambda value: [],
    *,
    box: ToolBox | None = None,
) -> tuple[dict[str, Any], Reply]:
    """Return the object that a model answered with, and the reply it came in.

    The model may call the tools of `box` before it answers. A wrong shape is sent back once with the problems
    quoted, then the next model of the chain is asked; an object of the right shape that makes no sense (`check`)
    is sent back once. Raises `StepFailed` ("invalid_output", "refused") and what the port raises.
    """
    box = box or ToolBox()
    models: list[str] = list(context["models"])
    schema: dict[str, Any] = json.loads(context["schema"])
    request = _request(context, OutputSchema(context["schema_name"], schema), box)
    plain = request
    turns = count()
    mending = False
    while True:
        reply, answered = await answer_with_tools(port, turns, request, models, box)
        value, problems = _read(reply, schema)
        sensible = not problems
        if value is not None and sensible:
            problems = check(value)
        if value is not None and not problems:
            return value, reply
        if not mending:
            plain = replace(answered, tool_choice="auto")  # what tools said stays for the next model, too
            request = _with_repair(answered, reply, problems)
        else:
            rest = _after(models, reply.model)
            if sensible or not rest:
                raise StepFailed(
                    "invalid_output", "The model's answer cannot be used: " + "; ".join(problems)[:800]
                )
            models, request = rest, plain
        mending = not mending


async def ask_for_text(port: StepPort, context: Mapping[str, Any], box: ToolBox) -> Reply:
    """Return a model's answer in words. Raises `StepFailed` ("refused") and what the port raises."""
    reply, _ = await answer_with_tools(port, count(), _request(context, None, box), context["models"], box)
    _refuse(reply)
    return reply


def _request(context: Mapping[str, Any], output: OutputSchema | None, box: ToolBox) -> ModelRequest:
    parameters = context["parameters"]
    max_tokens = int(parameters.get("max_tokens") or DEFAULT_MAX_TOKENS)
    return ModelRequest(
        model=context["models"][0] if context["models"] else "",
        messages=(Message("system", context["system"]), Message("user", context["user"])),
        max_tokens=max_tokens,
        temperature=parameters.get("temperature"),
        top_p=parameters.get("top_p"),
        tools=box.definitions,
        output_schema=output,
        stream=max_tokens > WHOLE_REPLY_TOKENS,
    )


def _refuse(reply: Reply) -> None:
    if reply.finish_reason is FinishReason.REFUSAL:
        raise StepFailed(
            "refused", f"{reply.model} refused to answer: {reply.text[:300] or 'no reason given'}"
        )


def _read(reply: Reply, schema: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
    _refuse(reply)
    value = extract_object(reply.text)
    if value is None:
        cut = " (it was cut off at max_tokens)" if reply.truncated else ""
        return None, [f"it is not a JSON object{cut}"]
    return value, problems_of(value, schema)


def _with_repair(request: ModelRequest, reply: Reply, problems: Sequence[str]) -> ModelRequest:
    answer = Message("assistant", reply.text or "(empty)", opaque=reply.opaque)
    return replace(request, messages=(*request.messages, answer, Message("user", repair(problems))))


def _after(models: Sequence[str], answered: str) -> list[str]:
    """Return the models behind the one that answered; none behind one that is not of the chain (rehearsal)."""
    return list(models[models.index(answered) + 1 :]) if answered in models else []


def failed_step(error: ProviderError) -> StepFailed:
    """Say a permanent failure of the chain in the step's terms."""
    code = "internal_error" if error.category is Failure.INTERNAL else f"provider_{error.category}"
    return StepFailed(code, str(error))
