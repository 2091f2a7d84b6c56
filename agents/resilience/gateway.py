"""The one long-lived object of the model side: a gateway per process and event loop.

It keeps the providers' clients (an async client belongs to one loop, and dropping one loses replies), the
breakers, the limits and the link to Redis. Chains are cheap and made per call:

    Chain → Guard (breaker) → RateLimit → Retry → Recorder → Deadline → provider
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from agents.providers.base import Provider
from agents.providers.registry import Factory, load
from agents.providers.types import Capabilities

from .board import Board
from .breaker import COOL_DOWN, FAIL_MAX, Guard
from .deadline import Clock, Deadline, Deadlines
from .fallback import Candidate, Chain, Try
from .ports import (
    CallJournal,
    CallObserver,
    Catalogue,
    Credential,
    Credentials,
    Limits,
    ModelInfo,
    NullObserver,
)
from .ratelimit import RateLimit, RateLimits
from .recorder import Recorder
from .retry import Retry
from .shared import Link

log = logging.getLogger(__name__)

REHEARSAL: Final = "rehearsal"
COMPATIBLE: Final = "openai_compatible"
# Of the budget left, while other candidates come after: they can still finish then.
SHARE_OF_ONE_TRY: Final = 0.7


class ModelGateway:
    """Makes chains. `start()` before use and `aclose()` at the end, both on the loop that uses it.

    `limits` may override the catalogue's limits per key. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        credentials: Credentials,
        *,
        redis_url: str = "",
        observer: CallObserver | None = None,
        provider_loader: Callable[[str], Factory] = load,
        deadlines: Deadlines | None = None,
        limits: Callable[[ModelInfo, Credential], Limits] | None = None,
        fail_max: int = FAIL_MAX,
        cool_down: float = COOL_DOWN,
        prefix: str = "mesh:resilience:",
        clock: Clock = time.monotonic,
    ) -> None:
        self._catalogue = catalogue
        self._credentials = credentials
        self._observer = observer or NullObserver()
        self._load = provider_loader
        self._deadlines = deadlines or Deadlines()
        self._limits_of = limits or (lambda model, credential: model.limits)
        self._clock = clock
        self._providers: dict[tuple[str, str, str], Provider] = {}
        self._link = Link(redis_url, prefix)
        self._board = Board(self._link, clock, self._observer, fail_max=fail_max, cool_down=cool_down)
        self._limits = RateLimits(self._link, clock)

    async def start(self) -> None:
        """Learn what the other workers know and keep in touch; import the SDKs that calls will need."""
        kinds = {
            model.provider for name in self._catalogue.default_chain() if (model := self._resolve("", name))
        }
        for kind in kinds:
            if self._credentials.get("", kind) is not None:
                await asyncio.to_thread(self._load, kind)  # a second each: not on the loop at the first call
        await self._link.start()

    async def aclose(self) -> None:
        """Stop the background tasks and close all clients. Calls in flight are lost: end them first."""
        await self._link.aclose()
        providers, self._providers = list(self._providers.values()), {}
        for provider in providers:
            await provider.aclose()

    async def synchronise(self) -> None:
        """Exchange breakers and limits with the other workers now; the background task does it by itself."""
        await self._link.synchronise()

    def chain(
        self,
        project_id: str,
        models: Sequence[str],
        journal: CallJournal,
        *,
        total_timeout: float,
        listening: bool = False,
        fall_back_on_refusal: bool = False,
    ) -> Provider:
        """Return a provider that is a chain over `models` (ids or aliases, in order) for one turn.

        `total_timeout` is in seconds and covers all candidates. `listening` says that somebody sees the
        chunks as they come. Its errors are those of `Chain`.
        """
        candidates = [
            self._candidate(model, name, credential, journal, listening)
            for model, name, credential in self._askable(project_id, models)
        ]
        return Chain(
            candidates,
            journal,
            total_timeout=total_timeout,
            clock=self._clock,
            listening=listening,
            fall_back_on_refusal=fall_back_on_refusal,
            observer=self._observer,
        )

    def model_of(self, project_id: str, kind: str) -> str:
        """The first model of the default chain that a kind of provider serves; empty when there is none."""
        credential = self._credentials.get(project_id, kind)
        if kind == COMPATIBLE and credential is not None and credential.model:
            return credential.model
        for name in self._catalogue.default_chain():
            model = self._catalogue.resolve(name)
            if model is not None and model.provider == kind:
                return model.id
        return REHEARSAL if kind == REHEARSAL else ""

    def status(self) -> dict[str, dict[str, Any]]:
        """Tell for health checks how the installation's own keys fare, per provider of the default chain and
        the compatible one: `configured`, `breaker` (closed, open, half-open), `retry_after` in seconds.
        """
        kinds = [
            model.provider for name in self._catalogue.default_chain() if (model := self._resolve("", name))
        ]
        report: dict[str, dict[str, Any]] = {}
        for kind in dict.fromkeys([*kinds, COMPATIBLE]):
            credential = self._credentials.get("", kind)
            report[kind] = {"configured": credential is not None, "breaker": "closed", "retry_after": None}
            if credential is not None:
                breaker = self._board.get(_identity(kind, credential), kind)
                report[kind]["breaker"] = breaker.state
                report[kind]["retry_after"] = breaker.retry_after() or None
        return report

    def _askable(self, project_id: str, names: Sequence[str]) -> list[tuple[ModelInfo, str, Credential]]:
        """Return the models that can be asked: those named; failing them another provider that has a key; and
        only when no provider has one, the rehearsal."""
        if found := self._with_keys(project_id, names):
            return found
        if found := self._with_keys(project_id, self._catalogue.default_chain()):
            return found[:1]
        local = self._credentials.get(project_id, COMPATIBLE)
        if local is not None and local.model:
            return self._with_keys(project_id, [local.model])
        rehearsal = self._catalogue.resolve(REHEARSAL) or ModelInfo(
            REHEARSAL, REHEARSAL, "standard", Capabilities()
        )
        return [(rehearsal, names[0] if names else REHEARSAL, Credential("", "", ""))]

    def _with_keys(self, project_id: str, names: Sequence[str]) -> list[tuple[ModelInfo, str, Credential]]:
        found: dict[tuple[str, str], tuple[ModelInfo, str, Credential]] = {}
        for name in names:
            model = self._resolve(project_id, name)
            if model is None:
                log.warning("the catalogue has no model %r", name)
                continue
            if model.provider == REHEARSAL:  # asked for by name: it needs no key
                credential: Credential | None = Credential("", "", "")
            else:
                credential = self._credentials.get(project_id, model.provider)
            if credential is not None:
                found.setdefault((model.provider, model.id), (model, name, credential))
        return list(found.values())

    def _resolve(self, project_id: str, name: str) -> ModelInfo | None:
        """Look a name up; a name nobody knows belongs to the compatible provider, where there is one."""
        model = self._catalogue.resolve(name)
        if model is None and self._credentials.get(project_id, COMPATIBLE) is not None:
            model = ModelInfo(name, COMPATIBLE, "standard", Capabilities())
        return model

    def _candidate(
        self, model: ModelInfo, name: str, credential: Credential, journal: CallJournal, listening: bool
    ) -> Candidate:
        identity = _identity(model.provider, credential)
        limits = self._limits_of(model, credential)

        def stack(one: Try) -> Provider:
            permit = self._board.permit(model.provider, identity, model.id)
            share = 1.0 if one.last else SHARE_OF_ONE_TRY
            provider: Provider = Deadline(
                self._provider(model.provider, credential), self._deadlines, one.budget, share=share
            )
            provider = Recorder(
                provider,
                model,
                name,
                journal,
                observer=self._observer,
                verdict=one.verdict,
                on_first_chunk=permit.unwatch,
                clock=self._clock,
            )
            provider = Retry(
                provider,
                one.budget,
                listening=listening,
                retries=one.retries,
                cap=one.cap,
                on_failure=permit.may_retry,
            )
            if limits.requests_per_minute is not None or limits.tokens_per_minute is not None:
                provider = RateLimit(provider, self._limits, f"{identity}|{model.id}", limits)
            return Guard(provider, permit)

        return Candidate(
            model, stack, lambda: self._board.permit(model.provider, identity, model.id).refusal()
        )

    def _provider(self, kind: str, credential: Credential) -> Provider:
        key = (kind, credential.base_url, credential.fingerprint)
        provider = self._providers.get(key)
        if provider is None:
            provider = self._providers[key] = self._load(kind)(credential, self._capabilities)
        return provider

    def _capabilities(self, model: str) -> Capabilities:
        known = self._catalogue.resolve(model)
        return known.capabilities if known is not None else Capabilities()


def _identity(kind: str, credential: Credential) -> str:
    return f"{kind}|{credential.base_url}|{credential.fingerprint}"
