"""The table of failures as data: what each one does to retry, fallback, waiting and breaker.

The wrappers ask this table and never a category by name, except where a row needs more than a flag:
a context that is too long, a deadline, a cap that can be raised, a reply in the wrong shape.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agents.providers.errors import Failure, ProviderError

MINUTE: Final = 60.0
LONG: Final = 60 * MINUTE  # a retired model stays retired
LONGEST_LIMIT: Final = 10 * MINUTE  # a Retry-After of a day is asked again after this
SHORT_LIMIT: Final = 5.0  # a Retry-After up to this is waited for on the spot
UNKNOWN_LIMIT: Final = 10.0  # a 429 that does not say how long
LEAST_SHARE: Final = 0.25  # of the total budget: below it another try would not finish


@dataclass(frozen=True, slots=True)
class Rule:
    """What a failure does.

    `retry`: once more at the same provider. `fall_back`: the next candidate. `waits`: when nothing is left,
    the caller waits and asks again later; otherwise it fails. `counts`: towards opening the breaker.
    `opens`: seconds the breaker opens at once. `per_model`: the model's breaker and not the endpoint's.
    """

    retry: bool = False
    fall_back: bool = False
    waits: bool = False
    counts: int = 0
    opens: float = 0.0
    per_model: bool = False


TABLE: Final[Mapping[Failure, Rule]] = {
    Failure.INVALID_REQUEST: Rule(),
    Failure.CONTEXT_TOO_LONG: Rule(fall_back=True),  # only to a larger window
    Failure.AUTHENTICATION: Rule(fall_back=True, opens=10 * MINUTE),
    Failure.BILLING: Rule(fall_back=True, opens=10 * MINUTE),
    Failure.MODEL_NOT_FOUND: Rule(fall_back=True, opens=LONG, per_model=True),
    Failure.REQUEST_TIMEOUT: Rule(retry=True, fall_back=True, counts=1),
    Failure.CONFLICT: Rule(retry=True, fall_back=True),
    Failure.RATE_LIMITED: Rule(retry=True, fall_back=True, waits=True, opens=UNKNOWN_LIMIT, per_model=True),
    Failure.SERVER_ERROR: Rule(retry=True, fall_back=True, waits=True, counts=1),
    Failure.OVERLOADED: Rule(fall_back=True, waits=True, counts=2),
    Failure.CONNECTION: Rule(retry=True, fall_back=True, waits=True, counts=1),  # retry if nothing was sent
    Failure.DEADLINE: Rule(fall_back=True, waits=True, counts=1),  # while a quarter of the budget is left
    Failure.MALFORMED: Rule(retry=True, fall_back=True, counts=1),
    Failure.SCHEMA_MISMATCH: Rule(fall_back=True),  # after the engine's repair
    Failure.TRUNCATED: Rule(),  # the retry raises the cap
    Failure.REFUSED: Rule(),  # a chain may be told to fall back
    Failure.CUT_STREAM: Rule(retry=True, fall_back=True, waits=True, counts=1),
    Failure.BREAKER_OPEN: Rule(fall_back=True, waits=True),
    Failure.CANCELLED: Rule(),
    Failure.INTERNAL: Rule(),
}

# The vendor answered, if only to refuse: such a failure proves the endpoint alive and closes its breaker.
# Deadlines, broken connections and errors of the server say nothing of the kind.
PROOF_OF_LIFE: Final = frozenset(
    {
        Failure.INVALID_REQUEST,
        Failure.CONTEXT_TOO_LONG,
        Failure.MODEL_NOT_FOUND,
        Failure.CONFLICT,
        Failure.RATE_LIMITED,
        Failure.SCHEMA_MISMATCH,
        Failure.TRUNCATED,
        Failure.REFUSED,
    }
)


def opens_for(error: ProviderError) -> float:
    """Return for how many seconds this failure alone opens a breaker; 0 when it only counts at most."""
    if error.category is Failure.RATE_LIMITED and error.retry_after is not None:
        return min(error.retry_after, LONGEST_LIMIT)
    return TABLE[error.category].opens


def raised_cap(max_tokens: int, max_output: int) -> int:
    """Return the cap a truncated reply is asked again with. Equal to `max_tokens` when there is no room."""
    return max(max_tokens, min(4 * max_tokens, max_output))
