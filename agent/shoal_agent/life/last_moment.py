"""What is asked to stop has its own time for it, but never more than its host has."""

import asyncio

from shoal_agent.life import steps
from shoal_agent.life.case import Case

# Before the host goes, so that the end is told while it is there.
SPARE_SECONDS = 2.0

# However little time is left, a container hears that it is to end.
GRACE_SECONDS = 0.5

# An interruption may come, or come to be earlier, while it stops; and timers stand still while the host sleeps.
LOOK_SECONDS = 1.0


async def stop(case: Case, name: str) -> None:
    """As steps.stop. What still runs when the host's time is over is killed."""
    stopping = asyncio.ensure_future(steps.stop(case, name))
    try:
        await asyncio.wait({stopping}, timeout=GRACE_SECONDS)
        while not stopping.done() and (left := _seconds_left(case)) > 0:
            await asyncio.wait({stopping}, timeout=left)
        if not stopping.done():
            await steps.kill(case, name)
        await stopping
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)


def _seconds_left(case: Case) -> float:
    """Until it is killed, or to be looked at again."""
    why = case.view.interruption
    return LOOK_SECONDS if why is None else min(LOOK_SECONDS, why.ends_at - SPARE_SECONDS - case.around.lease.now)
