"""kill -9 of every part in the middle of a run: nothing acknowledged is lost, nothing runs twice, all comes back."""

import asyncio

import pytest
from shoal.client import Client

from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine
from tests.ground.waiting import wait_until

SLEEPER = work.definition("crash-sleeper", ["sleep", "600"], stopTimeout=2)
QUICK = work.definition("crash-quick", ["sh", "-c", "sleep 0.3; exit 7"])
SUBMISSIONS = 12
PARTS = ("scheduler", "etcd", "agent", "supervisor")


async def submit_many(client: Client, definition: str, acknowledged: list[str]) -> None:
    for _ in range(SUBMISSIONS):
        acknowledged += await work.run(client, definition)


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_is_killed_while_tasks_are_submitted(cluster: Cluster, engine: Engine, part: str) -> None:
    await kill_in_the_middle(cluster, engine, part, after=SUBMISSIONS // 3)


@pytest.mark.slow
@pytest.mark.parametrize("after", range(SUBMISSIONS))
@pytest.mark.parametrize("part", PARTS)
async def test_a_part_is_killed_at_any_moment(cluster: Cluster, engine: Engine, part: str, after: int) -> None:
    await kill_in_the_middle(cluster, engine, part, after)


async def kill_in_the_middle(cluster: Cluster, engine: Engine, part: str, after: int) -> None:
    """Kills the part when that many submissions are acknowledged and more are on their way."""
    async with cluster.client() as client:
        sleepers = await work.run(client, await work.register(client, SLEEPER), count=3)
        before = work.docker_ids(await work.until_all(client, sleepers, "RUNNING"))
        quick, acknowledged = await work.register(client, QUICK), list[str]()
        submitting = asyncio.create_task(submit_many(client, quick, acknowledged))
        await wait_until(lambda: len(acknowledged) >= after)
        old = cluster.kill(part)
        if part == "supervisor":
            cluster.up()
        await wait_until(lambda: is_back(cluster, part, old), why=f"{part} is back")
        await submitting
        done = await work.until_all(client, acknowledged, "STOPPED", 60.0)
        assert set(work.exit_codes(done).values()) == {7}
        still = await work.until_all(client, sleepers, "RUNNING")
        assert work.docker_ids(still) == before
        assert tasks_with_two_containers(engine) == []
        await work.stop(client, sleepers)
        await work.until_all(client, sleepers, "STOPPED")


def is_back(cluster: Cluster, part: str, old_pid: int) -> bool:
    return cluster.pid(part) != old_pid if part == "supervisor" else cluster.has_restarted(part, old_pid)


def tasks_with_two_containers(engine: Engine) -> list[str]:
    listed = engine.docker("ps", "--all", "--format", '{{.Label "shoal.task"}} {{.Label "shoal.container"}}')
    names = [line for line in listed.splitlines() if line.strip()]
    return sorted({name for name in names if names.count(name) > 1})
