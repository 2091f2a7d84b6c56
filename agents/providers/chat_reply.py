"""Reading replies of Chat Completions: a whole completion or its chunks become ours."""

from collections.abc import Iterator
from typing import Any

from openai.types.chat import ChatCompletion

from . import reading
from .types import Chunk, Done, FinishReason, TextDelta, ToolCallDelta, Usage

NAME = "openai_compatible"
_FINISH = {
    "stop": FinishReason.STOP,
    "length": FinishReason.MAX_TOKENS,
    "tool_calls": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.REFUSAL,
}


class Reader:
    """Turns the server's reply, whole or in events, into chunks."""

    def __init__(self, model: str) -> None:
        self._request_id = ""
        self._asked = self._model = model
        self._called: set[int] = set()
        self._refused = False
        self._reason: str | None = None
        self._usage = Usage()

    def whole(self, completion: ChatCompletion) -> Iterator[Chunk]:
        """Read a whole completion."""
        reading.instance(completion, ChatCompletion)
        self._request_id = completion._request_id or ""
        self._note(completion)
        choice = reading.items(completion.choices)[0]
        yield from self._message(choice.message)
        self._reason = choice.finish_reason
        if self._reason is None:
            raise TypeError("the completion has no finish reason")
        yield self.done()

    def opened(self, events: Any) -> None:
        """Look at the head of a stream."""
        reading.event_stream(events.response.headers, NAME, self._asked)
        self._request_id = events.response.headers.get("x-request-id", "")

    def event(self, event: Any) -> Iterator[Chunk]:
        """Read one event of a stream. The last one may carry the usage and no choice."""
        self._note(event)
        for choice in reading.items(event.choices)[:1]:
            if choice.delta is not None:
                yield from self._message(choice.delta)
            self._reason = choice.finish_reason or self._reason

    def done(self) -> Done:
        """Return the last chunk. Raises `cut_stream` when no finish reason came."""
        if self._reason is None:
            raise reading.cut(NAME, self._asked)
        finish = _FINISH.get(reading.text(self._reason), FinishReason.STOP)
        if self._refused:
            finish = FinishReason.REFUSAL
        elif self._called and finish is FinishReason.STOP:  # some servers say "stop" for calls as well
            finish = FinishReason.TOOL_CALLS
        return Done(finish, self._usage, NAME, self._model, request_id=self._request_id)

    def _message(self, message: Any) -> Iterator[Chunk]:
        """Read a message or a delta: the same fields, whole or in pieces."""
        if text := reading.text(message.content):
            yield TextDelta(text)
        if refusal := reading.text(getattr(message, "refusal", None)):
            self._refused = True
            yield TextDelta(refusal)
        for position, call in enumerate(message.tool_calls or ()):
            index = getattr(call, "index", None)
            index = position if index is None else reading.count(index)
            self._called.add(index)
            name, arguments = reading.text(call.function.name), reading.text(call.function.arguments)
            yield ToolCallDelta(index, id=reading.text(call.id), name=name, arguments=arguments)

    def _note(self, event: Any) -> None:
        self._model = reading.text(event.model) or self._model
        usage = event.usage
        if usage is not None:
            self._usage = Usage(
                input=reading.count(usage.prompt_tokens),
                output=reading.count(usage.completion_tokens),
                cached=reading.count(getattr(usage.prompt_tokens_details, "cached_tokens", 0)),
                reasoning=reading.count(getattr(usage.completion_tokens_details, "reasoning_tokens", 0)),
            )
