"""What is asked to stop has its own time for it, but never more than its host has."""

import asyncio

from shoal.stopping import stop_seconds

from shoal_agent.life import steps
from shoal_agent.life.case import Case
from shoal_agent.task import Interruption

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


def seconds_to_run_on(case: Case, why: Interruption) -> float:
    """How long a task that is replaced first is left alone: until there is only time to stop it. Not more than 0 for
    any other, and for one that does not run yet."""
    wanted, task = case.wanted, case.task
    if wanted is None or not wanted.replaced_first or task.last_status != "RUNNING":
        return 0.0
    containers = (wanted.definition or {}).get("containerDefinitions", ())
    return why.ends_at - stop_seconds(containers) - 2 * SPARE_SECONDS - case.around.lease.now


def _seconds_left(case: Case) -> float:
    """Until it is killed, or to be looked at again."""
    why = case.view.interruption
    return LOOK_SECONDS if why is None else min(LOOK_SECONDS, why.ends_at - SPARE_SECONDS - case.around.lease.now)
