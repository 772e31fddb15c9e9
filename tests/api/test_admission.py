"""More agents at once than are let in: each is told when to come, and comes in then."""

import asyncio

import grpc
import pytest
from shoal import rpc
from shoal_scheduler.admission import Admission

from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler

FIRST, SECOND = "1f" * 16, "2f" * 16


async def test_who_comes_too_early_is_told_when_to_come(scheduler: Scheduler) -> None:
    scheduler.plane.admission = Admission(sessions_per_second=0.5, burst=1)
    async with SimulatedAgent(scheduler.channel("agent", FIRST), FIRST):
        before = scheduler.stored()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await SimulatedAgent(scheduler.channel("agent", SECOND), SECOND).__aenter__()
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        wait = int(rpc.trailer(refused.value, rpc.RETRY_AFTER_KEY)) / 1000
        assert 1.0 < wait <= 2.0
        assert scheduler.stored() == before
        await asyncio.sleep(wait)
        async with SimulatedAgent(scheduler.channel("agent", SECOND), SECOND) as agent:
            assert agent.welcome.epoch == scheduler.plane.epoch


async def test_who_need_not_wait_long_is_not_sent_away(scheduler: Scheduler) -> None:
    scheduler.plane.admission = Admission(sessions_per_second=5.0, burst=1)
    async with (
        SimulatedAgent(scheduler.channel("agent", FIRST), FIRST),
        SimulatedAgent(scheduler.channel("agent", SECOND), SECOND) as second,
    ):
        assert second.welcome.epoch == scheduler.plane.epoch
