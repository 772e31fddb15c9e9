"""What counts as a word of an agent's: what it says, and never what becomes of its connection."""

import asyncio

from tests.api.sessions import FOREIGN, RawSession
from tests.fakes.scheduler import Scheduler


async def test_the_end_of_a_connection_is_no_word(scheduler: Scheduler) -> None:
    """A transport that gives up on an agent nobody hears must not make its tasks seem alive for longer."""
    session = await RawSession(scheduler).opened()
    heard = dict(scheduler.plane.engine.heard.last)
    assert FOREIGN in heard
    await asyncio.sleep(0.05)
    await session.call.done_writing()
    await session.end()
    await scheduler.until_disconnected(FOREIGN)
    assert scheduler.plane.engine.heard.last == heard
