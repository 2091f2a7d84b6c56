"""Points in time as rows carry them."""

import time


def iso(seconds: float) -> str:
    """Seconds since the epoch in ISO 8601, UTC."""
    whole, part = divmod(int(seconds * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{part:06d}Z"
