"""Reading replies of the Responses API: a whole response or its events become our chunks."""

from collections.abc import Iterator
from typing import Any

from openai.types.responses import Response

from . import reading
from .classify import from_status
from .errors import ProviderError
from .translate import StopCutter
from .types import Chunk, Done, FinishReason, Opaque, TextDelta, ToolCallDelta, Usage

NAME = "openai"
_INCOMPLETE = {"max_output_tokens": FinishReason.MAX_TOKENS, "content_filter": FinishReason.REFUSAL}


class Reader:
    """Turns the vendor's reply, whole or in events, into chunks."""

    def __init__(self, model: str, stop: tuple[str, ...]) -> None:
        self._request_id = ""
        self._asked = model
        self._cutter = StopCutter(stop)
        self._calls: dict[int, int] = {}  # the vendor's output index → ours
        self._refused = False
        self._response: Response | None = None

    def whole(self, response: Response) -> Iterator[Chunk]:
        """Read a whole response."""
        reading.instance(response, Response)
        self._request_id = response._request_id or ""
        for index, item in enumerate(reading.items(response.output)):
            if item.type == "message":
                for part in reading.items(item.content):
                    self._refused |= part.type == "refusal"
                    yield from self._text(part.refusal if part.type == "refusal" else part.text)
            elif item.type == "function_call":
                yield self._call(index, item, reading.text(item.arguments))
        self._response = response
        if response.status not in ("completed", "incomplete", "failed"):
            raise TypeError(f"the response's status is {response.status!r}")
        yield from self._rest()
        yield self.done()

    def opened(self, events: Any) -> None:
        """Look at the head of a stream."""
        reading.event_stream(events.response.headers, NAME, self._asked)
        self._request_id = events.response.headers.get("x-request-id", "")

    def event(self, event: Any) -> Iterator[Chunk]:
        """Read one event of a stream. Raises `ProviderError` for an event that tells of a failure."""
        match event.type:
            case "response.output_text.delta":
                yield from self._text(event.delta)
            case "response.refusal.delta":
                self._refused = True
                yield from self._text(event.delta)
            case "response.output_item.added" if event.item.type == "function_call":
                yield self._call(event.output_index, event.item, "")
            case "response.function_call_arguments.delta":
                index = self._calls[event.output_index]
                yield ToolCallDelta(index, arguments=reading.text(event.delta))
            case "response.completed" | "response.incomplete" | "response.failed":
                self._response = reading.instance(event.response, Response)
                yield from self._rest()
            case "error":
                raise self._failure(event)

    def done(self) -> Done:
        """Return the last chunk. Raises `cut_stream`, or what a failed response tells."""
        response = self._response
        if response is None:
            raise reading.cut(NAME, self._asked)
        if response.status == "failed":
            raise self._failure(response.error)
        finish = FinishReason.TOOL_CALLS if self._calls else FinishReason.STOP
        if response.status == "incomplete":
            reason = response.incomplete_details.reason if response.incomplete_details else None
            finish = _INCOMPLETE.get(reason or "", FinishReason.MAX_TOKENS)
        elif self._refused:
            finish = FinishReason.REFUSAL
        return Done(
            finish,
            _usage(response.usage),
            NAME,
            reading.text(response.model) or self._asked,
            request_id=self._request_id,
            opaque=self._opaque(response),
        )

    def _text(self, text: object) -> Iterator[Chunk]:
        if shown := self._cutter.feed(reading.text(text)):
            yield TextDelta(shown)

    def _rest(self) -> Iterator[Chunk]:
        if rest := self._cutter.rest():
            yield TextDelta(rest)

    def _call(self, index: int, item: Any, arguments: str) -> Chunk:
        self._calls[index] = len(self._calls)
        call_id, name = reading.text(item.call_id), reading.text(item.name)
        return ToolCallDelta(self._calls[index], id=call_id, name=name, arguments=arguments)

    def _failure(self, told: Any) -> ProviderError:
        body = {"code": getattr(told, "code", None), "message": getattr(told, "message", None) or "failed"}
        error = from_status(200, {}, body, in_stream=True)
        error.args = (f"{NAME}: {error}",)
        error.provider, error.model, error.request_id = NAME, self._asked, self._request_id
        return error

    def _opaque(self, response: Response) -> Opaque | None:
        # Nothing is stored at the vendor, so reasoning without its content could not be referred to.
        thoughts = [item for item in response.output if item.type == "reasoning"]
        if not thoughts or not all(item.encrypted_content for item in thoughts):
            return None
        items = (item.model_dump(exclude_none=True, warnings=False) for item in response.output)
        return Opaque(NAME, self._asked, tuple(items))


def _usage(usage: Any) -> Usage:
    if usage is None:
        return Usage()
    return Usage(
        input=reading.count(usage.input_tokens),
        output=reading.count(usage.output_tokens),
        cached=reading.count(getattr(usage.input_tokens_details, "cached_tokens", 0)),
        reasoning=reading.count(getattr(usage.output_tokens_details, "reasoning_tokens", 0)),
    )
