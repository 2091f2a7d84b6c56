"""Writes every request into the journal before it is sent and settles it when it ends, however it ends."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence

from agents.providers.base import Provider, complete
from agents.providers.errors import Failure, ProviderError
from agents.providers.types import Chunk, Done, ModelRequest, Price, TextDelta, ToolCallDelta, Usage

from .deadline import Clock
from .ports import CallEnd, CallJournal, CallObserver, CallStart, ModelInfo, NullObserver

log = logging.getLogger(__name__)

Verdict = Callable[[ModelRequest, Done], Failure | None]  # a whole reply that the chain will not take

_settling: set[asyncio.Task[None]] = set()  # the loop itself keeps only weak references


def estimated_tokens(request: ModelRequest) -> int:
    """A rough count of the input: four characters a token, tools included."""
    size = sum(len(message.content) for message in request.messages)
    size += sum(len(str(call.arguments)) for message in request.messages for call in message.tool_calls)
    size += sum(len(tool.description) + len(str(tool.parameters)) for tool in request.tools)
    if request.output_schema is not None:
        size += len(str(request.output_schema.schema))
    return size // 4 + 1


def estimated_cost(request: ModelRequest, price: Price) -> float:
    """The most a request is expected to cost, in US dollars: its input, and a reply up to the cap."""
    return (estimated_tokens(request) * price.input + request.max_tokens * price.output) / 1e6


def cost(usage: Usage, price: Price) -> float:
    """What the vendor's counts cost, in US dollars. Without a price for cached input it is plain input."""
    fresh = usage.input - usage.cached
    return (
        fresh * price.input + usage.cached * (price.cached or price.input) + usage.output * price.output
    ) / 1e6


def accept_all(request: ModelRequest, done: Done) -> Failure | None:
    """The default verdict."""
    return None


class Recorder:
    """One row per try. Innermost but for the deadline, so that every try of a retry has its own row.

    Any exception that is no `ProviderError` becomes `internal`, loudly. The journal's own exceptions pass
    untouched: a lost lease is nobody's provider failure. A stream without `Done` is `cut_stream`.
    A reply that `verdict` turns down is settled as that failure, with its usage, and raised.
    """

    def __init__(
        self,
        inner: Provider,
        model: ModelInfo,
        requested_model: str,
        journal: CallJournal,
        *,
        observer: CallObserver | None = None,
        verdict: Verdict = accept_all,
        on_first_chunk: Callable[[], None] = lambda: None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._inner = inner
        self._model = model
        self._requested_model = requested_model
        self._journal = journal
        self._observer = observer or NullObserver()
        self._verdict = verdict
        self._on_first_chunk = on_first_chunk
        self._clock = clock

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        price = self._model.capabilities.price
        estimate = estimated_cost(request, price)
        start = CallStart(self._model.provider, self._model.id, self._requested_model, request, estimate)
        call_id = await self._journal.begin(start)
        started = self._clock()
        first_token_ms: float | None = None
        chunks: list[Chunk] = []

        def ended(error: ProviderError | None, done: Done | None = None) -> CallEnd:
            usage = done.usage if done is not None else Usage()
            if done is None and error is None and (seen := _tokens_of(chunks)):
                usage = Usage(estimated_tokens(request), seen)  # cancelled while it was being said
            known = done is not None or usage.output > 0
            paid = cost(usage, price) if known else 0.0 if _is_free(error) else estimate
            return CallEnd(
                call_id=call_id,
                state="cancelled" if error is None else "failed",
                latency_ms=(self._clock() - started) * 1000,
                failure=Failure.CANCELLED if error is None else error.category,
                message="" if error is None else str(error),
                status=None if error is None else error.status,
                usage=usage,
                cost=paid,
                first_token_ms=first_token_ms,
                request_id=done.request_id if done else error.request_id if error else "",
            )

        stream = self._inner.stream(request)
        done: Done | None = None
        end: CallEnd | None = None
        try:
            async for chunk in stream:
                if not chunks:
                    first_token_ms = (self._clock() - started) * 1000
                    self._on_first_chunk()
                chunks.append(chunk)
                if isinstance(chunk, Done):
                    done = (
                        chunk  # held back until it is settled; reading on lets the connection be used again
                    )
                elif done is None:
                    yield chunk
            reply = await complete(_Played(chunks), request)  # raises cut_stream, schema_mismatch
            if done is not None and (refused := self._verdict(request, done)):
                raise ProviderError(refused, f"The reply was not taken: {done.finish_reason}.")
            end = CallEnd(
                call_id=call_id,
                state="succeeded",
                latency_ms=(self._clock() - started) * 1000,
                reply=reply,
                usage=reply.usage,
                cost=cost(reply.usage, price),
                first_token_ms=first_token_ms,
                request_id=reply.request_id,
            )
        except ProviderError as error:
            error.provider = error.provider or self._model.provider
            error.model = self._model.id
            end = ended(error, done)
            raise
        except Exception as error:
            log.exception("provider %s raised what is no ProviderError", self._model.provider)
            wrapped = ProviderError(
                Failure.INTERNAL,
                f"{type(error).__name__} in provider {self._model.provider}: {error}",
                provider=self._model.provider,
                model=self._model.id,
            )
            end = ended(wrapped)
            raise wrapped from error
        finally:
            # Also reached by CancelledError and GeneratorExit: then nothing has set the end.
            await stream.aclose()
            await self._settle(start, end or ended(None))
        if done is not None:
            yield done

    async def _settle(self, start: CallStart, end: CallEnd) -> None:
        """Settle whatever happens to this task meanwhile: a cancelled call must not leave its row open."""
        self._observer.call_finished(start, end)
        task = asyncio.ensure_future(self._journal.settle(end))
        _settling.add(task)
        task.add_done_callback(_settling.discard)
        await asyncio.shield(task)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _tokens_of(chunks: Sequence[Chunk]) -> int:
    """A rough count of what a reply had by now: four characters a token. 0 when it had nothing to show."""
    size = sum(len(chunk.text) for chunk in chunks if isinstance(chunk, TextDelta))
    size += sum(len(chunk.arguments) for chunk in chunks if isinstance(chunk, ToolCallDelta))
    return -(-size // 4)


def _is_free(error: ProviderError | None) -> bool:
    """Tell whether the vendor cannot have charged: nothing was sent, or it said no with a status."""
    return error is not None and (error.nothing_sent or (error.status or 0) >= 400)


class _Played:
    """Plays back chunks, so that a stream is folded by the one function that does it."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._chunks = chunks

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        for chunk in self._chunks:
            yield chunk

    async def aclose(self) -> None: ...
