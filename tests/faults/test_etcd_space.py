"""etcd reaches its quota, or is compacted and defragmented under load."""

import asyncio
import time

import pytest
from shoal.v1 import cluster_pb2

from tests.conftest import ControlPlaneFactory
from tests.faults.etcd_trouble import trouble
from tests.faults.work import at_work
from tests.ground.repeats import TEN
from tests.ground.waiting import wait_until

QUOTA_BYTES = 20 * 1024**2
FREED_SECONDS_MAX = 60.0
TIDY_PERIOD_SECONDS = 1.0
TIDIED_TIMES = 3


@pytest.mark.parametrize(
    "with_history", [pytest.param(True, id="of history", marks=pytest.mark.slow), pytest.param(False, id="of keys")]
)
@pytest.mark.parametrize("repeat", TEN)
async def test_etcd_is_full(control_plane_factory: ControlPlaneFactory, repeat: int, with_history: bool) -> None:
    plane = control_plane_factory(schedulers=2, etcd_options={"quota-backend-bytes": str(QUOTA_BYTES)})
    async with at_work(plane) as work, trouble(plane) as etcd:
        await work.until_placed(5)
        before = await work.client.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
        pids = [plane.pid(name) for name in plane.schedulers]
        await etcd.fill(with_history=with_history)
        words = await work.until_refused("RESOURCE_EXHAUSTED")
        assert "etcd is full" in words
        assert "--quota-backend-bytes" in words
        assert all(status == "RUNNING" for agent in work.agents for status in agent.tasks.values())
        if not with_history:
            await etcd.empty()
        began = time.monotonic()
        await work.until_placed(5, timeout_seconds=FREED_SECONDS_MAX)
        print(f"repeat {repeat}: placed again {time.monotonic() - began:.1f} s after there was room")
        await work.settle()
        assert not await etcd.is_full()
        after = await work.client.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
        assert after.epoch == before.epoch
        assert pids == [plane.pid(name) for name in plane.schedulers]
        assert all(agent.sessions == 1 for agent in work.agents)


@pytest.mark.slow
async def test_a_leader_that_dies_while_etcd_is_full_is_replaced(control_plane_factory: ControlPlaneFactory) -> None:
    """A new lease is a write, too: who wants to lead makes room first."""
    plane = control_plane_factory(schedulers=2, etcd_options={"quota-backend-bytes": str(QUOTA_BYTES)}, guarded=True)
    async with at_work(plane) as work, trouble(plane) as etcd:
        await etcd.fill(with_history=True)
        await work.until_refused("RESOURCE_EXHAUSTED")
        first = await plane.until_led()
        plane.kill(first)
        assert await plane.until_led(FREED_SECONDS_MAX) != first
        await work.until_placed(5)
        await work.settle()


@pytest.mark.slow
@pytest.mark.parametrize("repeat", range(10))
async def test_etcd_is_compacted_and_defragmented_under_load(
    control_plane_factory: ControlPlaneFactory, repeat: int
) -> None:
    plane = control_plane_factory(schedulers=2, members=3)
    async with at_work(plane, timeout_seconds=10.0) as work, trouble(plane) as etcd:
        seen: set[str] = set()

        async def watch() -> None:
            async for answer in work.client.watch(plane.certificates.cluster):
                seen.update(each.task.task_arn.rpartition("/")[2] for each in answer.events if each.HasField("task"))

        watching = asyncio.create_task(watch())
        await work.until_placed(5)
        work.begin_measuring()
        noted = set(work.placed)
        for _ in range(TIDIED_TIMES):
            await etcd.tidy()
            await asyncio.sleep(TIDY_PERIOD_SECONDS)
        print(f"repeat {repeat}: longest time without a placement {work.gap_seconds:.2f} s")
        await work.settle()
        await wait_until(lambda: set(work.placed) - noted - seen, lambda missed: not missed, 10.0, "all was seen")
        watching.cancel()
        assert all(agent.sessions == 1 for agent in work.agents)
