"""The interface of a model provider, which every wrapper shares: a chain looks like a single provider."""

import json
from collections.abc import AsyncGenerator
from typing import Protocol

from .errors import Failure, ProviderError
from .types import Chunk, Done, ModelRequest, Reply, TextDelta, ToolCall, ToolCallDelta


class Provider(Protocol):
    def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Yield the reply's chunks; the last is `Done`. Raises `ProviderError` and nothing else."""
        ...

    async def aclose(self) -> None:
        """Give back sockets. The provider is not used afterwards."""
        ...


async def complete(provider: Provider, request: ModelRequest) -> Reply:
    """Fold a stream into one reply.

    Raises `ProviderError` as the provider does, and `cut_stream` or `schema_mismatch` when the chunks
    make no reply.
    """
    text: list[str] = []
    calls: dict[int, list[str]] = {}
    done: Done | None = None
    stream = provider.stream(request)
    try:
        async for chunk in stream:
            match chunk:
                case TextDelta():
                    text.append(chunk.text)
                case ToolCallDelta():
                    call = calls.setdefault(chunk.index, ["", "", ""])
                    call[0] = call[0] or chunk.id
                    call[1] = call[1] or chunk.name
                    call[2] += chunk.arguments
                case Done():
                    done = chunk
    finally:
        await stream.aclose()
    if done is None:
        raise ProviderError(Failure.CUT_STREAM, "The stream ended before the reply did.", model=request.model)
    return Reply(
        text="".join(text),
        finish_reason=done.finish_reason,
        usage=done.usage,
        provider=done.provider,
        model=done.model,
        request_id=done.request_id,
        tool_calls=tuple(_tool_call(calls[index], done) for index in sorted(calls)),
        opaque=done.opaque,
        truncated=done.finish_reason == "max_tokens",
    )


def _tool_call(pieces: list[str], done: Done) -> ToolCall:
    call_id, name, arguments = pieces
    try:
        parsed = json.loads(arguments or "{}")
    except ValueError as error:
        raise ProviderError(
            Failure.SCHEMA_MISMATCH,
            f"The arguments of tool call {name!r} are not JSON.",
            provider=done.provider,
            model=done.model,
        ) from error
    if not isinstance(parsed, dict):
        raise ProviderError(
            Failure.SCHEMA_MISMATCH,
            f"The arguments of tool call {name!r} are not a JSON object.",
            provider=done.provider,
            model=done.model,
        )
    return ToolCall(call_id, name, parsed)


def reply_chunks(reply: Reply, *, piece: int = 0) -> list[Chunk]:
    """Part a reply into the chunks that fold into it, the inverse of `complete`.

    `piece` is the most characters of text or arguments a chunk carries; 0 puts each into one.
    """
    chunks: list[Chunk] = [TextDelta(text) for text in _pieces(reply.text, piece)]
    for index, call in enumerate(reply.tool_calls):
        chunks.append(ToolCallDelta(index, id=call.id, name=call.name))
        arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
        chunks += [ToolCallDelta(index, arguments=part) for part in _pieces(arguments, piece)]
    chunks.append(
        Done(reply.finish_reason, reply.usage, reply.provider, reply.model, reply.request_id, reply.opaque)
    )
    return chunks


def _pieces(text: str, size: int) -> list[str]:
    if not size:
        return [text] if text else []
    return [text[start : start + size] for start in range(0, len(text), size)]
