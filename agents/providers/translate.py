"""What every vendor's translation needs: instructions apart from turns, ids that fit, schemas that fit."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from agents.prompting import data_block

from .types import Capabilities, Message, ModelRequest, Opaque, OutputSchema


def instructions(request: ModelRequest, *, schema_in_prompt: bool = False) -> str:
    """Return the system prompt: all system messages, and the schema in words where the API takes none."""
    parts = [message.content for message in request.messages if message.role == "system" and message.content]
    if schema_in_prompt and request.output_schema is not None:
        parts.append(schema_in_words(request.output_schema))
    return "\n\n".join(parts)


def sampling(request: ModelRequest, capabilities: Capabilities) -> dict[str, float]:
    """Return temperature and top_p as far as they were asked for and the model takes them."""
    if not capabilities.sampling:
        return {}
    asked = {"temperature": request.temperature, "top_p": request.top_p}
    return {name: value for name, value in asked.items() if value is not None}


def schema_in_words(output: OutputSchema) -> str:
    """Ask for JSON in the prompt, the way of last resort."""
    block = data_block("output_schema", {"name": output.name, "schema": output.schema})
    return f"Reply with one JSON object that satisfies this JSON Schema and with nothing else.\n{block}"


def turns(request: ModelRequest) -> list[Message]:
    """Return the messages that are not instructions, in order."""
    return [message for message in request.messages if message.role != "system"]


def wire_id(call_id: str) -> str:
    """Return a tool-call id every vendor takes: letters, digits, `_` and `-`, at most 64 of them.

    History crosses vendors on fallback, and each makes ids the others refuse. Equal ids stay equal.
    """
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", call_id):
        return call_id
    return "call_" + hashlib.sha256(call_id.encode()).hexdigest()[:32]


def wire_name(name: str) -> str:
    """Return a schema's name in the letters vendors take."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "output"


def opaque_for(message: Message, provider: str, model: str) -> Opaque | None:
    """Return the message's opaque blocks if this very model made them: others refuse or misread them."""
    opaque = message.opaque
    return opaque if opaque and (opaque.provider, opaque.model) == (provider, model) else None


def is_strict(schema: Mapping[str, Any]) -> bool:
    """Tell whether OpenAI's strict mode takes the schema: closed objects, every property required."""
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(
            properties
        ):
            return False
    return all(is_strict(part) for part in subschemas(schema))


def is_closed(schema: Mapping[str, Any]) -> bool:
    """Tell whether no object in the schema is free-form, and every part says its type.

    Anthropic's JSON mode closes every object, so a free-form one could only ever be `{}`.
    """
    known = {"type", "anyOf", "oneOf", "allOf", "$ref", "enum", "const"} & set(schema)
    open_object = schema.get("type") == "object" and not schema.get("properties")
    return (
        bool(known)
        and not isinstance(schema.get("type"), list)
        and not open_object
        and all(is_closed(part) for part in subschemas(schema))
    )


def subschemas(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the schemas one level below."""
    found: list[Any] = []
    for key in ("properties", "$defs"):
        found += schema.get(key, {}).values()
    for key in ("anyOf", "oneOf", "allOf"):
        found += schema.get(key, ())
    found.append(schema.get("items"))
    return [part for part in found if isinstance(part, Mapping)]


class StopCutter:
    """Ends a streamed text at the first stop sequence, for APIs that know no `stop` (OpenAI Responses)."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = tuple(sequence for sequence in stop if sequence)
        self._held = ""
        self._stopped = False

    def feed(self, text: str) -> str:
        """Take the next piece and return what may be shown: the start of a stop sequence is held back."""
        if self._stopped or not self._stop:
            return "" if self._stopped else text
        self._held += text
        cuts = [at for sequence in self._stop if (at := self._held.find(sequence)) >= 0]
        if cuts:
            self._stopped = True
            return self._held[: min(cuts)]
        keep = max(_overlap(self._held, sequence) for sequence in self._stop)
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown

    def rest(self) -> str:
        """Return what was held back, at the end of the text."""
        return "" if self._stopped or not self._stop else self._held


def _overlap(text: str, sequence: str) -> int:
    """Return how many characters at the end of `text` begin `sequence`."""
    longest = min(len(text), len(sequence) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(sequence[:size])), 0)
