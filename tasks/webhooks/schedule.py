"""When a delivery is tried again, and when an address is given up. Pure."""

import random
from typing import Final

#: Seconds after each failed try, a day and a half in all.
PAUSES: Final = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 43_200)
#: An address that has only failed for so long is switched off.
GIVE_UP_SECONDS: Final = 3 * 86_400
_JITTER: Final = 0.2


def pause_after(attempts: int, *, retry_after: float | None = None) -> float | None:
    """Seconds until the next try after `attempts` failed ones; None when there is none.

    An address may ask for more time (`Retry-After`), up to the longest pause.
    """
    if attempts > len(PAUSES):
        return None
    pause = PAUSES[attempts - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
    return max(pause, min(retry_after or 0.0, PAUSES[-1]))
