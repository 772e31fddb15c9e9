"""Waiting: for something or for a time, and how long between two tries."""

import asyncio

# The most is well below the 15 seconds after which a silent instance is given up.
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.2, 10.0


async def either(event: asyncio.Event, seconds: float | None) -> bool:
    """Until the event or the time, whichever comes first; True if it was the event."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def retry_seconds(outage_seconds: float, chance: float) -> float:
    """How long to wait before the next try, `chance` between 0 and 1. Pure.

    Full jitter below a ceiling that grows with the outage: a scheduler that was away for some seconds is found
    again within one, and a thousand agents do not come back in the same one after a long outage.

    >>> retry_seconds(0.0, 1.0), retry_seconds(8.0, 0.5), retry_seconds(600.0, 1.0)
    (0.2, 0.5, 10.0)
    """
    return chance * min(RETRY_SECONDS_MAX, max(RETRY_SECONDS_MIN, outage_seconds / 8))
