"""Members of etcd die, or are slow: one of three is not noticed, two or all stop what is written and nothing else."""

import asyncio

import pytest
from shoal.v1 import cluster_pb2

from tests.conftest import ControlPlaneFactory
from tests.faults.work import at_work
from tests.ground.repeats import TEN, promised

GAP_SECONDS_MAX = 3.0
BACK_SECONDS_MAX = 10.0
# Longer than a lease lasts: every leader has to step down in it.
OUTAGE_SECONDS = 6.0
SLOW_SECONDS = 2.0
SLOW_TIMES = 3
SLOW_GAP_SECONDS_MAX = 4.0
# Nothing but silence tells that a member is gone: a lease has to lapse first.
STILL_GAP_SECONDS_MAX = 15.0


@pytest.mark.parametrize("who", [pytest.param("follower", marks=pytest.mark.slow), "leader"])
@pytest.mark.parametrize("repeat", TEN)
async def test_one_member_of_three_is_killed(control_plane_factory: ControlPlaneFactory, repeat: int, who: str) -> None:
    plane = control_plane_factory(schedulers=2, members=3, guarded=True)
    async with at_work(plane, timeout_seconds=10.0) as work:
        leads = plane.etcd_leader()
        victim = leads if who == "leader" else next(name for name in plane.etcd if name != leads)
        work.begin_measuring()
        plane.kill(victim)
        await work.until_placed(20)
        print(f"repeat {repeat}: etcd's {who} killed, longest gap {work.gap_seconds:.2f} s")
        assert work.gap_seconds <= promised(GAP_SECONDS_MAX, repeat)
        plane.start(victim)
        await work.until_placed(5)
        await work.settle()


@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("repeat", TEN)
async def test_etcd_loses_its_quorum(control_plane_factory: ControlPlaneFactory, repeat: int, count: int) -> None:
    plane = control_plane_factory(schedulers=2, members=3, guarded=True)
    async with at_work(plane) as work:
        await work.until_placed(10)
        running = {task for agent in work.agents for task in agent.tasks}
        plane.kill(*list(plane.etcd)[:count])
        await work.until_refused("UNAVAILABLE")
        await asyncio.sleep(OUTAGE_SECONDS)
        words = await work.until_refused("UNAVAILABLE")
        assert "etcd does not answer" in words
        assert all(status == "RUNNING" for agent in work.agents for status in agent.tasks.values())
        plane.start(*list(plane.etcd)[:count])
        seconds = await work.until_placed()
        print(f"repeat {repeat}: {count} of 3 members away, the first placement {seconds:.2f} s after their return")
        print(f"meanwhile callers were told: {words}")
        assert seconds <= BACK_SECONDS_MAX
        assert running <= {task for agent in work.agents for task in agent.tasks}
        await work.settle()


@pytest.mark.slow
@pytest.mark.parametrize("repeat", range(10))
async def test_etcd_answers_after_seconds(control_plane_factory: ControlPlaneFactory, repeat: int) -> None:
    """As on a disk that is too slow: everything takes longer, but nobody else comes to lead because of it."""
    plane = control_plane_factory(schedulers=2)
    async with at_work(plane, timeout_seconds=20.0) as work:
        before = await work.client.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
        for _ in range(SLOW_TIMES):
            plane.pause(*plane.etcd)
            await asyncio.sleep(SLOW_SECONDS)
            plane.resume(*plane.etcd)
            await work.until_placed(10)
        print(f"repeat {repeat}: with pauses of {SLOW_SECONDS} s, longest gap {work.gap_seconds:.2f} s")
        assert work.gap_seconds <= promised(SLOW_GAP_SECONDS_MAX, repeat)
        await work.settle()
        after = await work.client.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
        assert after.epoch == before.epoch
        assert all(agent.sessions == 1 for agent in work.agents)


@pytest.mark.slow
@pytest.mark.parametrize("repeat", range(10))
async def test_one_member_of_three_stands_still(control_plane_factory: ControlPlaneFactory, repeat: int) -> None:
    """It still accepts connections: who is bound to it has to find another one."""
    plane = control_plane_factory(schedulers=2, members=3)
    async with at_work(plane, timeout_seconds=20.0) as work:
        leads = plane.etcd_leader()
        victim = leads if repeat % 2 else next(name for name in plane.etcd if name != leads)
        work.begin_measuring()
        plane.pause(victim)
        await work.until_placed(20, timeout_seconds=60.0)
        print(f"repeat {repeat}: {'leader' if repeat % 2 else 'follower'} paused, longest gap {work.gap_seconds:.2f} s")
        plane.resume(victim)
        await work.until_placed(5)
        assert work.gap_seconds <= STILL_GAP_SECONDS_MAX
        await work.settle()
