"""Reading Claude's replies: a whole message or its events become our chunks."""

from collections.abc import Iterator
from typing import Any

from anthropic.types import Message as ClaudeMessage

from . import reading
from .errors import Failure, ProviderError
from .types import Chunk, Done, FinishReason, Opaque, TextDelta, ToolCallDelta, Usage

NAME = "anthropic"
_FINISH = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.MAX_TOKENS,
    "pause_turn": FinishReason.MAX_TOKENS,  # paused by the server: like a cap, it can be continued
    "refusal": FinishReason.REFUSAL,
}
_THINKING = ("thinking", "redacted_thinking")


class Reader:
    """Turns the vendor's reply, whole or in events, into chunks. With `output_tool` a call is the text."""

    def __init__(self, model: str, *, output_tool: bool) -> None:
        self._request_id = ""
        self._asked = self._model = model
        self._output_tool = output_tool
        self._blocks: list[dict[str, Any]] = []
        self._arguments: dict[int, list[str]] = {}
        self._calls: dict[int, int] = {}  # the vendor's block index → ours
        self._usage: dict[str, int] = {}
        self._stop_reason: str | None = None
        self._ended = False

    def whole(self, message: ClaudeMessage) -> Iterator[Chunk]:
        """Read a whole message."""
        reading.instance(message, ClaudeMessage)
        self._request_id = message._request_id or ""
        self._start(message)
        for index, block in enumerate(reading.items(message.content)):
            yield from self._block(index, block)
            if block.type == "tool_use":
                self._arguments[index].append(arguments := reading.json_text(block.input))
                yield self._argument(index, arguments)
        self._stop_reason = message.stop_reason
        self._ended = True
        if self._stop_reason is None:
            raise TypeError("the message has no stop reason")
        yield self.done()

    def opened(self, events: Any) -> None:
        """Look at the head of a stream."""
        reading.event_stream(events.response.headers, NAME, self._asked)
        self._request_id = events.response.headers.get("request-id", "")

    def event(self, event: Any) -> Iterator[Chunk]:
        """Read one event of a stream."""
        match event.type:
            case "message_start":
                self._start(event.message)
            case "content_block_start":
                yield from self._block(event.index, event.content_block)
            case "content_block_delta":
                yield from self._delta(event.index, event.delta)
            case "message_delta":
                self._stop_reason = event.delta.stop_reason or self._stop_reason
                self._count(event.usage)
            case "message_stop":
                self._ended = True

    def done(self) -> Done:
        """Return the last chunk. Raises `cut_stream` and `context_too_long`."""
        if not self._ended or self._stop_reason is None:
            raise reading.cut(NAME, self._asked)
        if self._stop_reason == "model_context_window_exceeded":
            raise ProviderError(
                Failure.CONTEXT_TOO_LONG, f"{NAME}: the reply outgrew the context window.",
                provider=NAME, model=self._asked, request_id=self._request_id,
            )  # fmt: skip
        finish = _FINISH.get(reading.text(self._stop_reason), FinishReason.STOP)
        if self._output_tool and finish is FinishReason.TOOL_CALLS:
            finish = FinishReason.STOP
        return Done(
            finish, self._total(), NAME, self._model, request_id=self._request_id, opaque=self._opaque()
        )

    def _start(self, message: ClaudeMessage) -> None:
        self._model = reading.text(message.model) or self._asked
        self._count(message.usage)

    def _block(self, index: int, block: Any) -> Iterator[Chunk]:
        self._blocks.append(block.model_dump(exclude_none=True, warnings=False))
        if block.type == "text" and block.text:
            yield TextDelta(reading.text(block.text))
        elif block.type == "tool_use":
            self._arguments[index] = []
            self._calls[index] = len(self._calls)
            if not self._output_tool:
                yield ToolCallDelta(
                    self._calls[index], id=reading.text(block.id), name=reading.text(block.name)
                )

    def _delta(self, index: int, delta: Any) -> Iterator[Chunk]:
        block = self._blocks[index]
        match delta.type:
            case "text_delta":
                block["text"] = block.get("text", "") + reading.text(delta.text)
                yield TextDelta(delta.text)
            case "input_json_delta":
                self._arguments[index].append(reading.text(delta.partial_json))
                yield self._argument(index, delta.partial_json)
            case "thinking_delta":
                block["thinking"] = block.get("thinking", "") + reading.text(delta.thinking)
            case "signature_delta":
                block["signature"] = reading.text(delta.signature)

    def _argument(self, index: int, piece: str) -> Chunk:
        if self._output_tool:
            return TextDelta(piece)
        return ToolCallDelta(self._calls[index], arguments=piece)

    def _count(self, usage: Any) -> None:
        """Keep the counts told last: `message_delta` repeats some of `message_start`'s, cumulatively."""
        if usage is None:
            return
        for name in (
            "input_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "output_tokens",
        ):
            if (value := getattr(usage, name, None)) is not None:
                self._usage[name] = reading.count(value)
        if details := getattr(usage, "output_tokens_details", None):
            self._usage["thinking"] = reading.count(details.thinking_tokens)

    def _total(self) -> Usage:
        cached = self._usage.get("cache_read_input_tokens", 0)
        written = self._usage.get("cache_creation_input_tokens", 0)
        return Usage(
            input=self._usage.get("input_tokens", 0) + cached + written,  # the vendor counts them apart
            output=self._usage.get("output_tokens", 0),
            cached=cached,
            reasoning=self._usage.get("thinking", 0),
        )

    def _opaque(self) -> Opaque | None:
        if not any(block["type"] in _THINKING for block in self._blocks):
            return None
        for index, pieces in self._arguments.items():
            self._blocks[index]["input"] = reading.parsed("".join(pieces))
        return Opaque(NAME, self._asked, tuple(self._blocks))
