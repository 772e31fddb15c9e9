"""How a session finds the scheduler that leads, and leaves one that does not answer."""

import asyncio
from pathlib import Path

import pytest
from shoal.certificates import Authority
from shoal.rpc import LEADER_KEY, RETRY_AFTER_KEY
from shoal_agent import session

from tests.unit.agent.conftest import Connect, credentials
from tests.unit.agent.scheduler import FakeScheduler


async def test_it_goes_where_the_leader_is_said_to_be(
    connect: Connect, scheduler: FakeScheduler, authority: Authority, tmp_path: Path
) -> None:
    """Even if nobody named that scheduler to it."""
    leader = FakeScheduler(credentials(authority, tmp_path, "scheduler", "two"))
    await leader.start()
    scheduler.sends_away = {LEADER_KEY: leader.endpoint}
    await connect()
    await leader.until(lambda: leader.sessions and leader.sessions[0].inventory)
    assert len(scheduler.sessions) == 1
    scheduler.sends_away = {}
    await leader.stop()
    await scheduler.until(lambda: len(scheduler.sessions) > 1 and scheduler.sessions[-1].inventory)


async def test_it_comes_again_when_it_was_told_to(connect: Connect, scheduler: FakeScheduler) -> None:
    scheduler.sends_away = {RETRY_AFTER_KEY: "700"}
    running = await connect()
    await scheduler.until(lambda: scheduler.sessions)
    first = asyncio.get_running_loop().time()
    scheduler.sends_away = {}
    await scheduler.until(lambda: len(scheduler.sessions) == 2)
    assert asyncio.get_running_loop().time() - first >= 0.6 and not running.done()


async def test_a_scheduler_that_fell_silent_is_left(
    connect: Connect, scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SILENCE_SECONDS_MIN", 0.5)
    monkeypatch.setattr(session, "SILENCE_LOOK_SECONDS", 0.05)
    scheduler.deadline_millis = 60_000
    await connect()
    await scheduler.until(lambda: scheduler.sessions and len(scheduler.sessions[0].heartbeats) > 3)
    await asyncio.sleep(0.6)
    assert len(scheduler.sessions) == 1
    scheduler.hears = False
    await scheduler.until(lambda: len(scheduler.sessions) == 2)
