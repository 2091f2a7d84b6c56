"""Reading Gemini's replies: every response, whole or one event of a stream, has the same shape."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from google.genai import types as gemini

from . import reading
from .errors import Failure, ProviderError
from .types import Chunk, Done, FinishReason, Opaque, TextDelta, ToolCallDelta, Usage

NAME = "google"
_FINISH = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.MAX_TOKENS,
    "CONTINUATION": FinishReason.MAX_TOKENS,
}
# Reasons that are neither an end nor a refusal. Every other one is a filter's (SAFETY, SPII, …).
_BROKEN = {
    "OTHER": Failure.MALFORMED,
    "MALFORMED_RESPONSE": Failure.MALFORMED,
    "MALFORMED_FUNCTION_CALL": Failure.SCHEMA_MISMATCH,
    "UNEXPECTED_TOOL_CALL": Failure.SCHEMA_MISMATCH,
    "TOO_MANY_TOOL_CALLS": Failure.SCHEMA_MISMATCH,
    "MISSING_THOUGHT_SIGNATURE": Failure.INVALID_REQUEST,
}


class Reader:
    """Turns the vendor's reply, in one response or many, into chunks."""

    def __init__(self, model: str) -> None:
        self._asked = self._model = model
        self._request_id = ""
        self._parts: list[dict[str, Any]] = []
        self._signed = False
        self._calls = 0
        self._reason = ""
        self._usage = Usage()
        self._answered = False

    def whole(self, answer: Any) -> Iterator[Chunk]:
        """Read a whole reply."""
        yield from self.event(answer)
        if not self._reason:
            raise self._broken(Failure.MALFORMED, "the reply has no finish reason")
        yield self.done()

    def opened(self, events: Any) -> None:
        """Nothing to see: the SDK shows no head, and a reply's id is in its body."""

    def event(self, response: gemini.GenerateContentResponse) -> Iterator[Chunk]:
        """Read one response."""
        reading.instance(response, gemini.GenerateContentResponse)
        self._model = response.model_version or self._model
        self._request_id = response.response_id or self._request_id
        if response.usage_metadata is not None:
            self._usage = _usage(response.usage_metadata)
        feedback = response.prompt_feedback
        if feedback is not None and feedback.block_reason:
            self._reason = feedback.block_reason.value  # the prompt was refused; there is no candidate
        for candidate in (response.candidates or ())[:1]:
            self._answered = True
            for part in (candidate.content.parts if candidate.content else None) or ():
                yield from self._part(part)
            if candidate.finish_reason:
                self._reason = candidate.finish_reason.value

    def done(self) -> Done:
        """Return the last chunk. Raises `cut_stream`, `malformed`, and what a broken end stands for."""
        if not self._reason and not self._answered:
            raise self._broken(Failure.MALFORMED, "the reply has no candidate")
        if not self._reason:
            raise reading.cut(NAME, self._asked)
        if broken := _BROKEN.get(self._reason):
            raise self._broken(broken, f"the reply ended with {self._reason}")
        finish = _FINISH.get(self._reason, FinishReason.REFUSAL)
        if self._calls and finish is FinishReason.STOP:
            finish = FinishReason.TOOL_CALLS
        opaque = Opaque(NAME, self._asked, tuple(self._parts)) if self._signed else None
        return Done(finish, self._usage, NAME, self._model, request_id=self._request_id, opaque=opaque)

    def _broken(self, category: Failure, message: str) -> ProviderError:
        return ProviderError(
            category, f"{NAME}: {message}.", provider=NAME, model=self._asked, request_id=self._request_id
        )

    def _part(self, part: gemini.Part) -> Iterator[Chunk]:
        self._signed |= part.thought_signature is not None
        if part.function_call is not None:
            call = part.function_call
            call.id = call.id or f"call_{uuid4().hex}"  # older models give none, and results need one
            yield ToolCallDelta(self._calls, call.id, call.name or "", reading.json_text(call.args or {}))
            self._calls += 1
        elif part.text and not part.thought:
            yield TextDelta(part.text)
        self._parts.append(part.model_dump(exclude_none=True, by_alias=True, mode="json"))


def _usage(usage: gemini.GenerateContentResponseUsageMetadata) -> Usage:
    thoughts = usage.thoughts_token_count or 0
    return Usage(
        input=(usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
        output=(usage.candidates_token_count or 0) + thoughts,  # the vendor counts them apart
        cached=usage.cached_content_token_count or 0,
        reasoning=thoughts,
    )
