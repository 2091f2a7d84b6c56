"""The chain: candidates tried in order until one answers, with the interface of a single provider."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from agents.providers.base import Provider
from agents.providers.errors import ChainUnavailable, Failure, ProviderError
from agents.providers.types import Chunk, Done, FinishReason, ModelRequest

from .deadline import Budget, Clock
from .policy import LEAST_SHARE, LONGEST_LIMIT, TABLE, raised_cap
from .ports import CallJournal, CallObserver, ModelInfo, NullObserver, PastTry
from .recorder import Verdict
from .retry import is_silent

LEAST_WAIT: Final = 1.0  # seconds before an exhausted chain is worth asking again
UNKNOWN_WAIT: Final = 10.0  # for a candidate that did not say


@dataclass(frozen=True, slots=True)
class Try:
    """What one candidate gets for one request; `Candidate.stack` wraps its provider by it."""

    budget: Budget
    last: bool  # nobody comes after it: it may use all the time there is
    retries: int
    cap: int  # a truncated reply is asked again with this
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that can be asked. `refusal` tells at no cost that its breaker is open."""

    model: ModelInfo
    stack: Callable[[Try], Provider]
    refusal: Callable[[], ProviderError | None] = lambda: None


class Chain:
    """Tries candidates in order, by the table of failures.

    `listening`: somebody sees the chunks as they come; once some text or a tool call has been passed on, a
    failure is raised with `output_already_sent` and nothing is started again. Otherwise chunks are held back
    until the reply is whole. A chain belongs to one turn: it resumes after `journal.past_tries()`.

    Raises `ChainUnavailable` when waiting may help, else the `ProviderError` that decided.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        journal: CallJournal,
        *,
        total_timeout: float,
        clock: Clock,
        listening: bool = False,
        fall_back_on_refusal: bool = False,
        observer: CallObserver | None = None,
    ) -> None:
        self._candidates = tuple(candidates)
        self._journal = journal
        self._total = total_timeout
        self._clock = clock
        self._listening = listening
        self._fall_back_on_refusal = fall_back_on_refusal
        self._observer = observer or NullObserver()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        budget = Budget(self._total, self._clock)
        past = self._journal.past_tries()
        failures: list[ProviderError] = []
        window = 0  # what was too small already
        hop_from: tuple[str, ProviderError] | None = None
        for index, candidate in enumerate(self._candidates):
            model = candidate.model
            tries = [item for item in past if (item.provider, item.model) == (model.provider, model.id)]
            if old := _spent(tries, model):
                failures.append(old)
                hop_from = hop_from or (model.id, old)
                continue
            if model.capabilities.context_window <= window:
                continue
            if error := candidate.refusal():
                failures.append(error)
                hop_from = hop_from or (model.id, error)
                continue
            if hop_from is not None:
                self._note_hop(*hop_from, model)
                hop_from = None
            asked = translated(request, model)
            cap = raised_cap(asked.max_tokens, model.capabilities.max_output)
            if any(item.failure is Failure.TRUNCATED for item in tries):
                asked = replace(asked, max_tokens=cap)
            last = index == len(self._candidates) - 1
            retries = 0 if any(_used_retry(item) for item in tries) else 1
            verdict = self._verdict(model, cap, budget)
            provider = candidate.stack(Try(budget, last, retries, cap, verdict))
            shown = False
            stream = provider.stream(asked)
            try:
                async for chunk in stream:
                    shown = shown or (self._listening and not is_silent(chunk))
                    yield chunk
                return
            except ProviderError as error:
                if shown:
                    error.output_already_sent = True
                    raise
                if not self._goes_on(error, tries, budget):
                    raise
                if error.category is Failure.CONTEXT_TOO_LONG:
                    window = model.capabilities.context_window
                failures.append(error)
                hop_from = (model.id, error)
            finally:
                await stream.aclose()
        raise _outcome(failures, budget)

    def _goes_on(self, error: ProviderError, tries: Sequence[PastTry], budget: Budget) -> bool:
        """Tell whether the next candidate is asked after this failure."""
        match error.category:
            case Failure.DEADLINE:
                return budget.share_left() >= LEAST_SHARE
            case Failure.SCHEMA_MISMATCH:
                # The first is the engine's to repair: it asks again, quoting the error.
                return any(item.failure is Failure.SCHEMA_MISMATCH for item in tries)
            case Failure.REFUSED:
                return self._fall_back_on_refusal
        return TABLE[error.category].fall_back and budget.left() > 0

    def _verdict(self, model: ModelInfo, cap: int, budget: Budget) -> Verdict:
        def verdict(request: ModelRequest, done: Done) -> Failure | None:
            if self._listening:
                return None  # it has been seen: it stands
            if done.finish_reason is FinishReason.MAX_TOKENS:
                room = request.max_tokens < cap and budget.share_left() >= LEAST_SHARE
                return Failure.TRUNCATED if room else None
            if done.finish_reason is FinishReason.REFUSAL and self._fall_back_on_refusal:
                return Failure.REFUSED
            return None

        return verdict

    def _note_hop(self, from_model: str, error: ProviderError, to: ModelInfo) -> None:
        self._journal.note(
            "model.fallback",
            {"from": from_model, "to": to.id, "failure": str(error.category), "message": str(error)},
        )
        self._observer.fallback(from_model=from_model, to_model=to.id, failure=error.category)

    async def aclose(self) -> None:
        """Nothing: providers belong to the gateway, which outlives its chains."""


def translated(request: ModelRequest, model: ModelInfo) -> ModelRequest:
    """Address a request to a model: its id, its largest cap, and no blocks that only others understand."""
    foreign = any(_is_foreign(message.opaque, model) for message in request.messages)
    messages = request.messages
    if foreign:
        messages = tuple(
            replace(message, opaque=None) if _is_foreign(message.opaque, model) else message
            for message in messages
        )
    cap = min(request.max_tokens, model.capabilities.max_output)
    return replace(request, model=model.id, messages=messages, max_tokens=cap)


def _is_foreign(opaque: object, model: ModelInfo) -> bool:
    owner = (getattr(opaque, "provider", None), getattr(opaque, "model", None))
    return opaque is not None and owner != (model.provider, model.id)


def _used_retry(item: PastTry) -> bool:
    return item.failure is not None and TABLE[item.failure].retry


def _spent(tries: Sequence[PastTry], model: ModelInfo) -> ProviderError | None:
    """Return the failure for which an earlier, killed attempt left this candidate; None if it is to be asked.

    A try of unknown outcome says nothing: the candidate may be asked again.
    """
    failures = [item.failure for item in tries if item.failure is not None]
    if not failures or not TABLE[failures[-1]].fall_back:
        return None
    category = failures[-1]
    # A limit is retried only if it was short, which the journal does not tell: here it is not.
    repeats = TABLE[category].retry and category is not Failure.RATE_LIMITED
    needed = 2 if repeats or category is Failure.SCHEMA_MISMATCH else 1
    if sum(TABLE[failure].fall_back for failure in failures) < needed:
        return None
    return ProviderError(
        category, "It failed before this attempt began.", provider=model.provider, model=model.id
    )


def _outcome(failures: Sequence[ProviderError], budget: Budget) -> ProviderError:
    """Return the one error of a chain in which nobody answered."""
    if not failures:
        return ProviderError(Failure.INTERNAL, "The chain has no candidate.")
    down = [error for error in failures if TABLE[error.category].waits]
    if not down or (budget.left() <= 0 and failures[-1].category is Failure.DEADLINE):
        return failures[-1]
    limited = all(error.category is Failure.RATE_LIMITED for error in down)
    wait = min(UNKNOWN_WAIT if error.retry_after is None else error.retry_after for error in down)
    last = down[-1]
    error = ChainUnavailable(
        Failure.RATE_LIMITED if limited else last.category,
        f"No model of the chain can answer now. {last}",
        provider=last.provider,
        model=last.model,
        status=last.status,
        retry_after=min(max(wait, LEAST_WAIT), LONGEST_LIMIT),
    )
    error.__cause__ = last
    return error
