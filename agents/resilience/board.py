"""All breakers of a process, and how they agree with those of the other workers over Redis.

    open            hash   identity → "until cause", Redis's clock in milliseconds; normally empty
    fails:IDENTITY  hash   worker → its failures in a row; the sum opens the breaker
    probe:IDENTITY  string the worker that may probe, for one cool-down
    changed         channel

Calls read the local breakers only. Clocks of workers are never compared: what travels is time left.
"""

import logging
from typing import Final, Literal

from agents.providers.errors import Failure

from .breaker import CLOSED, COOL_DOWN, FAIL_MAX, HALF_OPEN, Breaker, Change, Permit
from .deadline import Clock
from .policy import TABLE
from .ports import CallObserver
from .shared import Link

log = logging.getLogger(__name__)

_MEMORY: Final = 600_000  # milliseconds: failures further apart than this are not "in a row"
_STALE: Final = 3_600_000  # milliseconds: an open breaker nobody probes any more is swept

_FAIL: Final = """
redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local sum = 0
for _, n in ipairs(redis.call('HVALS', KEYS[1])) do sum = sum + tonumber(n) end
return sum
"""
_OPEN: Final = """
local t = redis.call('TIME')
local till = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2]
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known or tonumber(string.match(known, '^%d+')) < till then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %s', till, ARGV[3]))
end
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', KEYS[3], ARGV[1])
return 1
"""
_CLOSE: Final = """
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2], KEYS[4])
redis.call('PUBLISH', KEYS[3], ARGV[1])
return 1
"""
_FORGET: Final = "return redis.call('HDEL', KEYS[1], ARGV[1])"
_PULL: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local found = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local till = tonumber(string.match(all[i + 1], '^%d+'))
  if till + ARGV[1] < now then
    redis.call('HDEL', KEYS[1], all[i])
  else
    table.insert(found, {all[i], till - now, string.match(all[i + 1], ' (.*)')})
  end
end
return found
"""
_PROBE: Final = "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0"


class Board:
    """The breakers of one process. A participant of the link."""

    def __init__(
        self,
        link: Link,
        clock: Clock,
        observer: CallObserver,
        *,
        fail_max: int = FAIL_MAX,
        cool_down: float = COOL_DOWN,
    ) -> None:
        self._link = link
        self._clock = clock
        self._observer = observer
        self._fail_max = fail_max
        self._cool_down = cool_down
        self._breakers: dict[str, Breaker] = {}
        self._states: dict[str, str] = {}
        self._unsent: dict[str, int] = {}  # failures not yet told
        self._untold: dict[str, Literal["opened", "closed", "forgot"]] = {}
        link.participants.append(self)

    def get(self, identity: str, provider: str) -> Breaker:
        """Return the breaker of an identity, closed if it is new."""
        breaker = self._breakers.get(identity)
        if breaker is None:
            breaker = self._breakers[identity] = Breaker(
                identity,
                provider,
                self._clock,
                self._changed,
                fail_max=self._fail_max,
                cool_down=self._cool_down,
            )
        return breaker

    def permit(self, provider: str, endpoint: str, model: str) -> Permit:
        """Return one call's permit: the endpoint is an identity, the model a name at it."""
        return Permit(
            self.get(endpoint, provider), self.get(f"{endpoint}|{model}", provider), self._take_probe
        )

    def _changed(self, breaker: Breaker, change: Change, weight: int) -> None:
        identity = breaker.identity
        match change:
            case "failed":
                self._unsent[identity] = self._unsent.get(identity, 0) + weight
            case "forgot":
                self._unsent.pop(identity, None)
                self._untold.setdefault(identity, "forgot")
            case "opened" | "closed":
                self._unsent.pop(identity, None)
                self._untold[identity] = change
            case "half-opened":
                pass  # the lease tells the others
        self._observe(breaker)
        self._link.wake()

    def _observe(self, breaker: Breaker) -> None:
        before, now = self._states.get(breaker.identity, CLOSED), breaker.state
        if before == now:
            return
        self._states[breaker.identity] = now
        # Where waiting does not help (a key, a bill, a retired model) somebody has to act.
        alert = breaker.cause is not None and not TABLE[breaker.cause].waits
        log.log(
            logging.ERROR if alert else logging.WARNING,
            "breaker of %s is %s, cause %s",
            breaker.provider,
            now,
            breaker.cause,
        )
        self._observer.breaker_changed(
            provider=breaker.provider, identity=breaker.identity, state=now, cause=breaker.cause
        )

    async def _take_probe(self, breaker: Breaker) -> bool:
        """Take the fleet's one probe of a breaker; without Redis, this process's own."""
        answer = await self._link.run(
            _PROBE, [f"probe:{breaker.identity}"], [self._link.worker, int(breaker.cool_down * 1000)]
        )
        return answer is None or bool(answer)

    async def synchronise(self, link: Link) -> None:
        for identity in list(self._unsent):
            weight = self._unsent.pop(identity, 0)
            total = await link.run(_FAIL, [f"fails:{identity}"], [link.worker, weight, _MEMORY])
            if total is None:
                self._unsent[identity] = self._unsent.get(identity, 0) + weight
                return
            breaker = self._breakers[identity]
            if int(total) >= self._fail_max and breaker.state == CLOSED:
                breaker.open(breaker.cause or Failure.SERVER_ERROR, breaker.cool_down)
        for identity in list(self._untold):
            change = self._untold.pop(identity)  # before telling: what changes meanwhile is told next time
            if not await self._tell(link, identity, change):
                self._untold.setdefault(identity, change)
                return
        await self._pull(link)

    async def _tell(self, link: Link, identity: str, change: str) -> bool:
        breaker = self._breakers[identity]
        fails, changed, probe = f"fails:{identity}", "changed", f"probe:{identity}"
        match change:
            case "opened":
                left = int(breaker.retry_after() * 1000)
                cause = str(breaker.cause or Failure.SERVER_ERROR)
                answer = await link.run(_OPEN, ["open", fails, changed], [identity, left, cause])
            case "closed":
                answer = await link.run(_CLOSE, ["open", fails, changed, probe], [identity])
            case _:
                answer = await link.run(_FORGET, [fails], [link.worker])
        return answer is not None

    async def _pull(self, link: Link) -> None:
        found = await link.run(_PULL, ["open"], [_STALE])
        if found is None:
            return
        opened = {identity: (left / 1000, Failure(cause)) for identity, left, cause in found}
        for identity, (left, cause) in opened.items():
            if identity in self._untold:
                continue  # what we have to tell is newer
            breaker = self.get(identity, identity.partition("|")[0])
            # Half-open is ours to end: the probe is under way in this process.
            if breaker.state == CLOSED or (
                breaker.state != HALF_OPEN and left > breaker.retry_after() + 0.05
            ):
                breaker.open(cause, left, tell=False)
                self._observe(breaker)
        for identity, breaker in self._breakers.items():
            if breaker.state != CLOSED and identity not in opened and identity not in self._untold:
                breaker.close(tell=False)
                self._observe(breaker)
