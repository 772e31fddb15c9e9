"""Members of etcd die: one of three is not noticed, two or all stop what is written and nothing else."""

import asyncio

import pytest

from tests.conftest import ControlPlaneFactory
from tests.faults.work import at_work
from tests.ground.repeats import TEN

GAP_SECONDS_MAX = 3.0
BACK_SECONDS_MAX = 10.0
# Longer than a lease lasts: every leader has to step down in it.
OUTAGE_SECONDS = 7.0


@pytest.mark.parametrize("who", ["follower", "leader"])
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
        assert work.gap_seconds <= GAP_SECONDS_MAX
        plane.start(victim)
        await work.until_placed(5)
        await work.settle()


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("repeat", TEN)
async def test_etcd_loses_its_quorum(control_plane_factory: ControlPlaneFactory, repeat: int, count: int) -> None:
    plane = control_plane_factory(schedulers=2, members=3, guarded=True)
    async with at_work(plane) as work:
        await work.until_placed(10)
        running = {task for agent in work.agents for task in agent.tasks}
        plane.kill(*list(plane.etcd)[:count])
        words = await work.until_refused("UNAVAILABLE")
        await asyncio.sleep(OUTAGE_SECONDS)
        assert all(status == "RUNNING" for agent in work.agents for status in agent.tasks.values())
        plane.start(*list(plane.etcd)[:count])
        seconds = await work.until_placed()
        print(f"repeat {repeat}: {count} of 3 members away, the first placement {seconds:.2f} s after their return")
        print(f"meanwhile callers were told: {words}")
        assert seconds <= BACK_SECONDS_MAX
        assert running <= {task for agent in work.agents for task in agent.tasks}
        await work.settle()
