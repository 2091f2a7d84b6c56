"""Circuit breakers: a dead provider costs a few slow calls in the whole fleet, and then next to nothing.

`pybreaker` keeps the state of each breaker (closed, open, half-open, the count of failures in a row). Two of
its habits do not fit: `.call()` holds a lock around the call, and half-open lets everyone through. So no call
goes through it: `Breaker` drives its states, and whoever may probe is decided by one lease for all workers.

    Breaker   the state of one identity in this process
    Permit    one call's dealings with its two breakers: the endpoint's, and the model's at this endpoint
    Guard     the wrapper around a provider

Guard → … → Retry → Recorder: the retry and the recorder tell the permit what they see.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, Literal

import pybreaker

from agents.providers.base import Provider
from agents.providers.errors import Failure, ProviderError
from agents.providers.types import Chunk, ModelRequest

from .deadline import Clock
from .policy import PROOF_OF_LIFE, TABLE, opens_for

FAIL_MAX: Final = 5  # failures in a row, over all workers
COOL_DOWN: Final = 30.0  # seconds from opening to the probe

CLOSED, OPEN, HALF_OPEN = pybreaker.STATE_CLOSED, pybreaker.STATE_OPEN, pybreaker.STATE_HALF_OPEN

# A breaker opened by one of these answers in its name: the caller decides by it as if it had asked.
_SPEAKS_FOR_ITSELF = (Failure.AUTHENTICATION, Failure.BILLING, Failure.MODEL_NOT_FOUND, Failure.RATE_LIMITED)


Change = Literal["failed", "forgot", "opened", "half-opened", "closed"]


class Breaker:
    """The state of one identity. `on_change(breaker, change, weight)` tells what the others may need to know;
    the weight is that of a failure."""

    def __init__(
        self,
        identity: str,
        provider: str,
        clock: Clock,
        on_change: Callable[["Breaker", Change, int], None],
        *,
        fail_max: int = FAIL_MAX,
        cool_down: float = COOL_DOWN,
    ) -> None:
        self.identity = identity
        self.provider = provider
        self.cool_down = cool_down
        self.opens_until = 0.0  # on our clock; after it comes the probe
        self.cause: Failure | None = None
        self._clock = clock
        self._on_change = on_change
        self._storage = pybreaker.CircuitMemoryStorage(CLOSED)
        self._machine = pybreaker.CircuitBreaker(
            fail_max=fail_max, state_storage=self._storage, name=identity
        )
        self._waiting: set[asyncio.Timeout] = set()

    @property
    def state(self) -> str:
        """closed, open or half-open."""
        return str(self._machine.current_state)

    @property
    def failures(self) -> int:
        """Failures in a row seen by this process."""
        return int(self._machine.fail_counter)

    def retry_after(self) -> float:
        """Seconds until a call may go through; 0 when closed or due for a probe."""
        return 0.0 if self.state == CLOSED else max(0.0, self.opens_until - self._clock())

    def refusal(self) -> ProviderError | None:
        """Return the error that refuses a call now; None when closed or due for a probe."""
        left = self.retry_after()
        if left <= 0 and self.state != HALF_OPEN:
            return None
        return self.error("The breaker is open", max(left, 1.0))

    def error(self, why: str, retry_after: float) -> ProviderError:
        """Return an error that says nothing was sent, in the name of what opened the breaker."""
        cause = self.cause if self.cause in _SPEAKS_FOR_ITSELF else Failure.BREAKER_OPEN
        return ProviderError(
            cause or Failure.BREAKER_OPEN,
            f"{why} for {self.provider}, because of {self.cause or 'failures'}.",
            provider=self.provider,
            retry_after=retry_after,
            nothing_sent=True,
        )

    def failed(self, category: Failure, *, counts: int, opens: float) -> None:
        """Count a failure, and open when there were enough or when one is enough."""
        if opens == 0 and (counts == 0 or self.state == OPEN):
            return  # a straggler does not make an open breaker stay open longer
        for _ in range(counts):
            self._storage.increment_counter()
        if opens > 0:
            self.open(category, opens)
        elif self.state == HALF_OPEN or self.failures >= self._machine.fail_max:
            self.open(category, self.cool_down)
        elif self.state == CLOSED:
            self.cause = category
            self._on_change(self, "failed", counts)

    def succeeded(self, *, probe: bool) -> None:
        """Forget the failures so far. Only a probe closes: a straggler's success is news of the past."""
        if probe:
            self.close()
        elif self.state == CLOSED and self.failures:
            self._storage.reset_counter()
            self._on_change(self, "forgot", 0)

    def open(self, cause: Failure, seconds: float, *, tell: bool = True) -> None:
        """Refuse calls for a time. Those waiting for a first byte give up at once if the endpoint is down.

        `tell` is False for news that came from the others.
        """
        until = self._clock() + seconds
        was_open = self.state == OPEN and self.opens_until > self._clock()
        if was_open and until <= self.opens_until:
            return  # the longer of two reasons stands
        self.cause, self.opens_until = cause, until
        self._machine.open()
        if TABLE[cause].counts:
            loop = asyncio.get_running_loop()
            for timeout in self._waiting:
                timeout.reschedule(loop.time())
            self._waiting.clear()
        if tell:
            self._on_change(self, "opened", 0)

    def close(self, *, tell: bool = True) -> None:
        """Let calls through."""
        self.cause, self.opens_until = None, 0.0
        self._machine.close()
        if tell:
            self._on_change(self, "closed", 0)

    def half_open(self) -> None:
        """Refuse all but the caller that asks for the probe. Told to nobody until that one has it."""
        self._machine.half_open()

    def probing(self) -> None:
        """The probe is ours, in all the fleet."""
        self._on_change(self, "half-opened", 0)

    def postpone(self, seconds: float) -> None:
        """Stay open: another worker has the probe, or a probe ended without an answer."""
        self.opens_until = self._clock() + seconds
        self._machine.open()

    def watch(self, timeout: asyncio.Timeout) -> None:
        """Let the opening of this breaker end a wait."""
        self._waiting.add(timeout)

    def unwatch(self, timeout: asyncio.Timeout) -> None:
        """The wait is over, or a byte came: it is no longer given up."""
        self._waiting.discard(timeout)


Lease = Callable[[Breaker], Awaitable[bool]]  # take the probe of a breaker for this process


class Permit:
    """One call at the door of its breakers. Made per call, used once."""

    def __init__(self, endpoint: Breaker, model: Breaker, lease: Lease) -> None:
        self._breakers = (endpoint, model)
        self._lease = lease
        self._probing: list[Breaker] = []
        self._counted: ProviderError | None = None
        self._timeout: asyncio.Timeout | None = None

    @property
    def endpoint(self) -> Breaker:
        """The breaker of provider, address and key."""
        return self._breakers[0]

    def refusal(self) -> ProviderError | None:
        """Tell at no cost whether a call would be refused."""
        return next((error for breaker in self._breakers if (error := breaker.refusal())), None)

    async def enter(self) -> None:
        """Pass, or raise `ProviderError` (breaker_open, or what opened it). Waits only to take a probe."""
        if error := self.refusal():
            raise error
        for breaker in self._breakers:
            if breaker.state == CLOSED:
                continue
            breaker.half_open()  # at once, so that those who come while we ask are refused
            try:
                probe = await self._lease(breaker)
            except BaseException:
                breaker.postpone(1.0)
                raise
            if not probe:
                breaker.postpone(breaker.cool_down)
                self.abandoned()
                raise breaker.error("Another worker is probing", 1.0)
            breaker.probing()
            self._probing.append(breaker)

    def watch(self, timeout: asyncio.Timeout) -> None:
        """End this wait when the endpoint's breaker opens, unless a byte came."""
        self._timeout = timeout
        self.endpoint.watch(timeout)

    def unwatch(self) -> None:
        """A byte came, or the wait is over."""
        if self._timeout is not None:
            self.endpoint.unwatch(self._timeout)
            self._timeout = None

    def may_retry(self, error: ProviderError) -> bool:
        """Count a failure that would be retried; False when that opened the endpoint's breaker."""
        timeout = self._timeout
        self.unwatch()  # our own failure must not end our own wait
        self.failed(error)
        if self.endpoint.state == OPEN:
            return False
        if timeout is not None:
            self.watch(timeout)
        if TABLE[error.category].per_model:
            self._probing.append(self._breakers[1])  # a limit: who waits it out is the probe
        return True

    def failed(self, error: ProviderError) -> None:
        """Count a failure where the table says: the model's breaker for 404 and 429, else the endpoint's."""
        if error is self._counted:
            return
        self._counted = error
        endpoint, model = self._breakers
        rule = TABLE[error.category]
        if error.in_haste or (error.category is Failure.RATE_LIMITED and error.nothing_sent):
            self.abandoned()  # our own time or limit: it says nothing of the vendor
            return
        if error.category in PROOF_OF_LIFE:
            endpoint.succeeded(probe=endpoint in self._probing)
        if rule.per_model:
            model.failed(error.category, counts=rule.counts, opens=opens_for(error))
        else:
            endpoint.failed(error.category, counts=rule.counts, opens=opens_for(error))
        self.abandoned()

    def succeeded(self) -> None:
        """The reply was whole: both are well."""
        for breaker in self._breakers:
            breaker.succeeded(probe=breaker in self._probing)
        self._probing.clear()

    def abandoned(self) -> None:
        """The call ended without telling anything: a probe that was ours is open to the next caller soon."""
        for breaker in self._probing:
            if breaker.state == HALF_OPEN:
                breaker.postpone(1.0)
        self._probing.clear()


class Guard:
    """Refuses calls while a breaker is open, and moves a call on when it opens before a byte came."""

    def __init__(self, inner: Provider, permit: Permit) -> None:
        self._inner = inner
        self._permit = permit

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        permit = self._permit
        await permit.enter()
        stream = self._inner.stream(request)
        try:
            # Only the wait for the first chunk may be ended from outside, and never across a yield.
            timeout = asyncio.timeout(None)
            try:
                async with timeout:
                    permit.watch(timeout)
                    try:
                        first = await anext(stream, None)
                    finally:
                        permit.unwatch()
            except TimeoutError as error:
                if not timeout.expired():
                    raise
                raise permit.endpoint.error("The breaker opened", permit.endpoint.retry_after()) from error
            if first is not None:
                yield first
                async for chunk in stream:
                    yield chunk
        except ProviderError as error:
            permit.failed(error)
            raise
        except BaseException:
            permit.abandoned()
            raise
        else:
            permit.succeeded()
        finally:
            await stream.aclose()

    async def aclose(self) -> None:
        await self._inner.aclose()
