"""Schedulers are upgraded one after the other, and downgraded again, while agents old and new go on."""

from pathlib import Path

import pytest
from shoal import __version__
from shoal.v1 import cluster_pb2

from tests.conftest import ControlPlaneFactory
from tests.faults import next_version
from tests.faults.work import Work, at_work
from tests.ground import work as tasks
from tests.ground.control_plane import ControlPlane
from tests.ground.repeats import TEN, promised

GAP_SECONDS_MAX = 3.0


@pytest.mark.parametrize("repeat", TEN)
async def test_to_the_next_version_and_back(
    control_plane_factory: ControlPlaneFactory, tmp_path: Path, repeat: int
) -> None:
    newer = next_version.make(tmp_path / "next")
    plane = control_plane_factory(schedulers=2)
    async with at_work(plane, timeout_seconds=10.0, newer_agents=1) as work:
        await work.until_placed(10)
        by_old = list(work.placed)
        for environment, version in ((newer, next_version.VERSION), ({}, __version__)):
            work.begin_measuring()
            await roll(plane, environment)
            assert await version_of(work) == version
            await work.until_placed(20)
            print(f"repeat {repeat}: to {version}, longest time without a placement {work.gap_seconds:.2f} s")
            assert work.gap_seconds <= promised(GAP_SECONDS_MAX, repeat)
            # Each version writes records of the other's anew.
            stopped = work.placed.pop() if version == __version__ else by_old.pop()
            work.placed = [task for task in work.placed if task != stopped]
            await tasks.stop(work.client, [stopped])
            await tasks.until_all(work.client, [stopped], "STOPPED")
        await work.settle()


async def roll(plane: ControlPlane, environment: dict[str, str]) -> None:
    """First those that stand by, then the leader, which hands over."""
    leader = await plane.until_led()
    for name in [*(each for each in plane.schedulers if each != leader), leader]:
        plane.stop(name)
        plane.schedulers[name].environment = environment
        plane.start(name)
        await plane.until_ready(name)
    await plane.until_led()


async def version_of(work: Work) -> str:
    answer = await work.client.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
    return answer.version
