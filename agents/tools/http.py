"""A tool that is an HTTP request.

    config: {method, url, headers?, query?, body?, auth?, timeout_seconds?, retries?, result?}
    auth:   {type: bearer, token} | {type: basic, username, password} | {type: header, name, value}

Texts may hold `{argument}` and `{secret:name}`. Without `body`, the arguments are sent as JSON where the method
has a body. `result` is a path (`data.items.0`) into the answer.
"""

import asyncio
import base64
import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from web.egress import EgressDenied, EgressFailed, EgressRequest, EgressResponse

from .base import Caller, Effect, Surroundings, ToolFailed, ToolSpec
from .templating import fill, fill_json, redactor

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
_RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_PLACE_OF_ARGUMENT: Final = re.compile(r"\{(?!secret:)")
_FIRST_PAUSE: Final = 0.5  # seconds, doubled with every retry

CONFIG_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "method": {"enum": ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]},
        "url": {"type": "string", "minLength": 8, "maxLength": 2000},
        "headers": {
            "type": "object",
            "additionalProperties": {"type": "string", "maxLength": 4000},
            "maxProperties": 50,
        },
        "query": {"type": "object", "maxProperties": 50},
        "body": {},
        "auth": {
            "type": "object",
            "properties": {
                "type": {"enum": ["bearer", "basic", "header"]},
                **{
                    name: {"type": "string", "maxLength": 4000}
                    for name in ("token", "username", "password", "name", "value")
                },
            },
            "required": ["type"],
            "additionalProperties": False,
        },
        "timeout_seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": 300},
        "retries": {"type": "integer", "minimum": 0, "maximum": 5},
        "result": {"type": "string", "maxLength": 500},
    },
    "required": ["url"],
    "additionalProperties": False,
}


def address_problems(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with the address itself, before anything is put into it."""
    url = str(config["url"])
    if not url.startswith(("http://", "https://")):
        return ["url: an address begins with http:// or https://"]
    try:
        where = urlsplit(url).netloc
    except ValueError as error:
        return [f"url: {error}"]
    if _PLACE_OF_ARGUMENT.search(where):
        return ["url: arguments may not say where a request goes"]
    if "@" in where:
        return ["url: put credentials into auth"]
    return []


async def call(spec: ToolSpec, arguments: Mapping[str, Any], caller: Caller, world: Surroundings) -> Any:
    """Send the request; returns the answer's JSON, or its text."""
    secrets = await world.secrets.of(spec.id)
    redact = redactor(secrets)
    request = _request(spec, arguments, secrets, caller)
    retries = int(spec.config.get("retries", 0)) if _repeatable(spec) else 0
    for attempt in range(retries + 1):
        try:
            answer = await world.egress.send(request)
            if answer.status in _RETRYABLE and attempt < retries:
                await asyncio.sleep(_FIRST_PAUSE * 2**attempt)
                continue
            return _result(spec, answer, redact)
        except EgressDenied as error:
            raise ToolFailed("address_not_allowed", redact(str(error))) from None
        except EgressFailed as error:
            if attempt < retries:
                await asyncio.sleep(_FIRST_PAUSE * 2**attempt)
                continue
            raise ToolFailed(
                "tool_unreachable", redact(str(error)), retryable=True, unknown=error.sent
            ) from None
    raise AssertionError("the last attempt returns or raises")


def _repeatable(spec: ToolSpec) -> bool:
    return spec.effect is not Effect.UNSAFE or spec.config.get("method", "POST") in SAFE_METHODS


def _request(
    spec: ToolSpec, arguments: Mapping[str, Any], secrets: Mapping[str, str], caller: Caller
) -> EgressRequest:
    config = spec.config
    method = str(config.get("method", "POST"))
    template = str(config["url"])
    url = fill(template, arguments, secrets, url=True)
    if _PLACE_OF_ARGUMENT.search(urlsplit(template).netloc):
        raise ToolFailed("bad_tool_config", "Arguments may not say where a request goes.")
    if query := config.get("query"):
        filled = {name: fill(str(value), arguments, secrets) for name, value in query.items()}
        url += ("&" if "?" in url else "?") + urlencode(filled)
    elif method in SAFE_METHODS and "body" not in config and not _mentions(template, arguments):
        url += (
            ("&" if "?" in url else "?") + urlencode({k: _plain(v) for k, v in arguments.items()})
            if arguments
            else ""
        )
    headers = {
        name: _header(fill(value, arguments, secrets))
        for name, value in (config.get("headers") or {}).items()
    }
    headers |= _authorization(config.get("auth") or {}, secrets)
    body = None
    if method not in SAFE_METHODS:
        content = fill_json(config["body"], arguments, secrets) if "body" in config else dict(arguments)
        body = (content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)).encode()
        headers.setdefault("Content-Type", "application/json")
        headers.setdefault(IDEMPOTENCY_HEADER, caller.idempotency_key)
    headers.setdefault("Accept", "application/json")
    headers.setdefault("User-Agent", "ai-mesh-network")
    return EgressRequest(method, url, headers, body, seconds=float(config.get("timeout_seconds", 30)))


def _mentions(template: str, arguments: Mapping[str, Any]) -> bool:
    return any("{" + name + "}" in template for name in arguments)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _header(value: str) -> str:
    if "\r" in value or "\n" in value or "\0" in value:
        raise ToolFailed("bad_arguments", "A header cannot hold a line break.")
    return value


def _authorization(auth: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    def part(name: str) -> str:
        return _header(fill(auth.get(name, ""), {}, secrets))

    match auth.get("type"):
        case "bearer":
            return {"Authorization": f"Bearer {part('token')}"}
        case "basic":
            pair = f"{part('username')}:{part('password')}"
            return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        case "header":
            return {part("name"): part("value")}
    return {}


def _result(spec: ToolSpec, answer: EgressResponse, redact: Any) -> Any:
    text = answer.body.decode("utf-8", errors="replace")
    if answer.status >= 400:
        raise ToolFailed(
            "tool_refused",
            redact(f"The tool answered {answer.status}: {text[:500]}"),
            retryable=answer.status in _RETRYABLE,
            unknown=answer.status >= 500,
        )
    if not text:
        return None
    try:
        value: Any = json.loads(redact(text))
    except (ValueError, RecursionError):
        return redact(text)
    return _pick(value, str(spec.config.get("result", "")))


def _pick(value: Any, path: str) -> Any:
    for part in filter(None, path.split(".")):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ToolFailed("bad_tool_answer", f"The answer has no {part!r} in {path!r}.") from None
    return value
