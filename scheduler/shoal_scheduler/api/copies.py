"""Two agents with one key: who came second is kept out, and it is told.

An agent that starts again on its host finds its session closed, or open and silent: its process is gone. If the open
session speaks on after the newcomer has come, both live, so the key was copied. Nothing that runs is touched.
"""

import asyncio

from shoal_scheduler.api.agent_checks import text
from shoal_scheduler.api.agent_convert import NAME_CHARACTERS_MAX
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import Unavailable
from shoal_scheduler.model.refusal import Refused

# What was on the way when the newcomer came is no sign of life.
SETTLE_SECONDS = 1.0

# An agent waits somewhat longer for its welcome.
WAIT_SECONDS_MAX = 8.0
LOOK_SECONDS = 0.05

# Whoever leaves with a renewed certificate is back by then.
RETURN_SECONDS = 1.0


async def keep_out(plane: ControlPlane, hello: i.AgentHello, period_seconds: float) -> None:
    """Returns when the newcomer may open its session. Raises Refused if it is a copy, and Unavailable if the open
    session neither spoke nor ended in time: the newcomer tries again."""
    now = asyncio.get_running_loop().time
    came = now()
    while not _may_come(plane, hello, now(), came, period_seconds):
        open_session = plane.dispatch.outbox(hello.instance)
        if open_session is not None and open_session.heard_at > came + SETTLE_SECONDS:
            await _refuse(plane, hello)
        if now() > came + WAIT_SECONDS_MAX:
            raise Unavailable("another session of this instance is still open: try again")
        await asyncio.sleep(LOOK_SECONDS)


def _may_come(plane: ControlPlane, hello: i.AgentHello, now: float, came: float, period_seconds: float) -> bool:
    """If nobody else is there, nor will be back in a moment with a renewed certificate, nor speaks when it should."""
    open_session = plane.dispatch.outbox(hello.instance)
    if open_session is not None:
        settled = came + SETTLE_SECONDS
        is_silent = open_session.heard_at <= settled and now > settled + 1.5 * period_seconds
        return hello.run in ("", open_session.run) or is_silent
    run, left_at = plane.dispatch.left.get(hello.instance, ("", 0.0))
    return run in ("", hello.run) or not hello.run or now > left_at + RETURN_SECONDS


async def _refuse(plane: ControlPlane, hello: i.AgentHello) -> None:
    host = text(hello.hostname, NAME_CHARACTERS_MAX)
    await plane.engine.submit(i.CopySeen(hello.instance, hello.run, host))
    raise Refused(
        "conflict",
        f"Instance {hello.instance} already has a session, and its agent is alive: its key was copied. Have this host"
        " join as an instance of its own.",
    )
