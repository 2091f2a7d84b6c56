"""Limits of requests and tokens per minute, per key and model, shared by all workers.

The bucket stands in Redis; each process leases from it in batches of about a second's worth, so that most
calls find what they need at home. Without Redis a process lives on its share of the limit.
What a vendor's 429 says is not kept here: it opens the model's breaker for its Retry-After.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from agents.providers.base import Provider
from agents.providers.errors import Failure, ProviderError
from agents.providers.types import Chunk, Done, ModelRequest

from .deadline import Clock
from .ports import Limits
from .recorder import estimated_tokens
from .shared import Link

# Take up to `wanted` if at least `least` is there; a negative `wanted` gives back.
_LEASE: Final = """
local capacity, rate = tonumber(ARGV[1]), tonumber(ARGV[2])
local wanted, least = tonumber(ARGV[3]), tonumber(ARGV[4])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local known = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(known[1]) or capacity
tokens = math.min(capacity, tokens + (now - (tonumber(known[2]) or now)) * rate)
local granted = 0
if tokens >= least then granted = math.min(wanted, tokens) end
redis.call('HSET', KEYS[1], 'tokens', tostring(math.min(capacity, tokens - granted)), 'at', now)
redis.call('PEXPIRE', KEYS[1], 120000)
return {tostring(granted), tostring(tokens)}
"""


class Bucket:
    """What this process holds of one limit. `per_minute` is both the rate and the most that can pile up."""

    def __init__(self, key: str, per_minute: int, clock: Clock) -> None:
        self.key = key
        self.per_minute = per_minute
        self.batch = max(1.0, per_minute / 60)
        self.held = 0.0
        self._clock = clock
        self._refuse_until = 0.0  # for this much or more: a refusal is remembered, not asked for again
        self._refused = 0.0
        self._refilled_at: float | None = None  # None: not living on the local share

    def take(self, amount: float) -> bool:
        """Take from what is held, if it suffices."""
        if self.held < amount:
            return False
        self.held -= amount
        return True

    async def fetch(self, amount: float, link: Link) -> float:
        """Get more; return the seconds to wait before there will be enough, 0 when there is."""
        now = self._clock()
        if now < self._refuse_until and amount >= self._refused:
            return self._refuse_until - now
        missing = amount - self.held
        answer = await self.lease(link, wanted=missing + self.batch, least=missing)
        rate = self.per_minute / 60
        if answer is None:
            rate /= link.workers
            self._refill(rate, link.workers)
            there = self.held
        else:
            there = amount if self.held >= amount else answer
        wait = max(0.0, (amount - there) / rate)
        if wait > 0:
            self._refuse_until, self._refused = now + wait, amount
        return wait

    async def lease(self, link: Link, *, wanted: float, least: float) -> float | None:
        """Exchange with Redis; return what the shared bucket had before, None when Redis is away."""
        rate = self.per_minute / 60_000
        answer = await link.run(_LEASE, [f"bucket:{self.key}"], [self.per_minute, rate, wanted, least])
        if answer is None:
            return None
        self.held += float(answer[0])
        self._refilled_at = None
        return float(answer[1]) + self.held - float(answer[0])

    def _refill(self, rate: float, workers: int) -> None:
        now, most = self._clock(), self.per_minute / workers
        if self._refilled_at is None:
            self.held = max(self.held, most)
        else:
            self.held = min(most, self.held + (now - self._refilled_at) * rate)
        self._refilled_at = now


@dataclass(frozen=True, slots=True)
class Taken:
    """What a call took, to be corrected by what it used."""

    requests: Bucket | None
    tokens: Bucket | None
    amount: float


class RateLimits:
    """All buckets of a process. A participant of the link."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        link.participants.append(self)

    async def take(self, identity: str, limits: Limits, tokens: float) -> Taken:
        """Take a request and its tokens.

        Raises `ProviderError` `rate_limited`, with `nothing_sent` and `retry_after`.
        """
        requests_bucket = self._bucket(f"{identity}|rpm", limits.requests_per_minute)
        tokens_bucket = self._bucket(f"{identity}|tpm", limits.tokens_per_minute)
        amount = 0.0
        if requests_bucket is not None:
            await self._take(requests_bucket, 1.0)
        if tokens_bucket is not None:
            # A request larger than all there can ever be passes when the bucket is full.
            amount = min(tokens, tokens_bucket.per_minute / (1 if self._link.present else self._link.workers))
            try:
                await self._take(tokens_bucket, amount)
            except ProviderError:
                if requests_bucket is not None:
                    requests_bucket.held += 1.0
                raise
        return Taken(requests_bucket, tokens_bucket, amount)

    async def _take(self, bucket: Bucket, amount: float) -> None:
        if not bucket.take(amount):
            wait = await bucket.fetch(amount, self._link)
            if wait > 0 or not bucket.take(amount):
                raise ProviderError(
                    Failure.RATE_LIMITED,
                    f"Our own limit of {bucket.per_minute} a minute is used up.",
                    retry_after=max(wait, 0.05),
                    nothing_sent=True,
                )
        if bucket.held < bucket.batch / 2:
            self._link.wake()  # the next batch comes in the background

    def _bucket(self, key: str, per_minute: int | None) -> Bucket | None:
        if per_minute is None:
            return None
        bucket = self._buckets.get(key)
        if bucket is None or bucket.per_minute != per_minute:
            bucket = self._buckets[key] = Bucket(key, per_minute, self._clock)
        return bucket

    async def synchronise(self, link: Link) -> None:
        for bucket in list(self._buckets.values()):
            if bucket.held > 2 * bucket.batch:
                await bucket.lease(link, wanted=bucket.batch - bucket.held, least=-1e18)
            elif bucket.held < bucket.batch / 2:
                await bucket.lease(link, wanted=bucket.batch, least=bucket.batch / 2)


class RateLimit:
    """Refuses a call our own limits do not allow: the chain moves on, or the step gives its slot back."""

    def __init__(self, inner: Provider, limits: RateLimits, identity: str, allowed: Limits) -> None:
        self._inner = inner
        self._limits = limits
        self._identity = identity
        self._allowed = allowed

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        taken = await self._limits.take(
            self._identity, self._allowed, estimated_tokens(request) + request.max_tokens
        )
        stream = self._inner.stream(request)
        try:
            async for chunk in stream:
                if isinstance(chunk, Done) and taken.tokens is not None:
                    taken.tokens.held += taken.amount - (chunk.usage.input + chunk.usage.output)
                yield chunk
        finally:
            await stream.aclose()

    async def aclose(self) -> None:
        await self._inner.aclose()
