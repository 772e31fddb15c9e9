"""Several schedulers over several members of etcd: each may die, and the others go on."""

import psutil
import pytest
from shoal.supervisor import processes
from shoal.v1 import cluster_pb2

from tests.conftest import ControlPlaneFactory
from tests.faults.work import at_work
from tests.ground.repeats import TEN, promised

GUARDIAN_RSS_MIB_MAX = 16
GAP_SECONDS_MAX = 1.5


@pytest.mark.slow
async def test_another_scheduler_leads_after_the_leader_was_killed(control_plane_factory: ControlPlaneFactory) -> None:
    plane = control_plane_factory(schedulers=2, members=3)
    first = await plane.until_led()
    async with plane.client() as client:
        before = await client.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
        plane.kill(first)
        second = await plane.until_led()
        assert second != first
        after = await client.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
        assert after.epoch > before.epoch
        plane.start(first)
        plane.kill(plane.etcd_leader())
        plane.etcd_leader()
        assert await plane.until_led() == second


@pytest.mark.parametrize("repeat", TEN)
async def test_a_leader_whose_death_is_proven_is_replaced_at_once(
    control_plane_factory: ControlPlaneFactory, repeat: int
) -> None:
    plane = control_plane_factory(schedulers=2, guarded=True)
    async with at_work(plane) as work:
        first = await plane.until_led()
        await work.until_placed(10)
        work.begin_measuring()
        plane.kill(first)
        await work.until_placed()
        seconds = work.gap_seconds
        print(f"repeat {repeat}: the next placement came {seconds:.2f} s after the last one")
        assert "its lease is given back" in plane.log(first)
        assert await plane.until_led() != first
        assert seconds <= promised(GAP_SECONDS_MAX, repeat)
        await work.settle()


@pytest.mark.slow
async def test_the_lease_of_a_leader_that_only_stands_still_is_not_given_back(
    control_plane_factory: ControlPlaneFactory,
) -> None:
    plane = control_plane_factory(schedulers=2, guarded=True)
    first = await plane.until_led()
    plane.pause(first)
    assert await plane.until_led() != first
    plane.resume(first)
    assert plane.is_alive(first)
    assert "guardian" not in plane.log(first)


async def test_a_guardian_that_is_told_to_end_ends_its_scheduler_in_order(
    control_plane_factory: ControlPlaneFactory,
) -> None:
    plane = control_plane_factory(guarded=True)
    name = await plane.until_led()
    scheduler = processes.identify(plane.pid(name))
    assert scheduler is not None
    guardian = plane.schedulers[name].running
    rss_mib = psutil.Process(guardian.pid).memory_info().rss / 2**20
    print(f"the guardian takes {rss_mib:.1f} MiB")
    assert rss_mib <= GUARDIAN_RSS_MIB_MAX
    plane.stop(name)
    assert not scheduler.is_alive
    assert guardian.process.returncode == 0


async def test_a_scheduler_dies_with_its_guardian(control_plane_factory: ControlPlaneFactory) -> None:
    plane = control_plane_factory(guarded=True)
    name = await plane.until_led()
    scheduler = processes.identify(plane.pid(name))
    assert scheduler is not None
    plane.schedulers[name].running.kill()
    assert processes.wait_end(scheduler, 10.0)
