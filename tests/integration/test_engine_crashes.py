"""kill -9 of the Docker Engine in the middle of a run: tasks go on with live-restore, else they are reported once."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shoal.client import Client

from tests.conftest import ClusterFactory, EngineFactory
from tests.ground import images, work
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine
from tests.ground.waiting import wait_until

SLEEPER = work.definition("engine-sleeper", ["sleep", "600"], stopTimeout=2)
QUICK = work.definition("engine-quick", ["sh", "-c", "sleep 0.3; exit 7"])
SUBMISSIONS = 12
RECOVERY_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Run:
    """sleepers: ids of tasks that run for long. acknowledged: ids of short ones, more of which are on their way."""

    client: Client
    sleepers: list[str]
    acknowledged: list[str]


@asynccontextmanager
async def busy(cluster: Cluster) -> AsyncIterator[Run]:
    """Tasks that run and tasks that are being submitted; waits until all were when the block ends."""
    async with cluster.client() as client:
        sleepers = await work.run(client, await work.register(client, SLEEPER), count=3)
        await work.until_all(client, sleepers, "RUNNING")
        run = Run(client, sleepers, [])
        submitting = asyncio.create_task(submit_many(run, await work.register(client, QUICK)))
        await wait_until(lambda: len(run.acknowledged) >= SUBMISSIONS // 3)
        yield run
        await submitting
        ended = await work.until_all(client, run.acknowledged, "STOPPED", RECOVERY_SECONDS)
        # Who ended while nobody watched may have left no code; nobody makes one up.
        assert set(work.exit_codes(ended).values()) <= {7, None}
        after = await work.run(client, await work.register(client, QUICK))
        ended = await work.until_all(client, after, "STOPPED", RECOVERY_SECONDS)
        assert set(work.exit_codes(ended).values()) == {7}


async def submit_many(run: Run, definition: str) -> None:
    for _ in range(SUBMISSIONS):
        run.acknowledged.extend(await work.run(run.client, definition))


async def test_with_live_restore_the_tasks_go_on(
    engine_factory: EngineFactory, cluster_factory: ClusterFactory
) -> None:
    """`shoal up` runs this engine, so it is `shoal up` that starts it again."""
    own = engine_factory()
    cluster = cluster_factory(engine=own, owned=True)
    images.import_busybox(own)
    async with busy(cluster) as run:
        before = work.docker_ids(await work.describe(run.client, run.sleepers))
        started = started_at(own, before.values())
        old = cluster.kill("dockerd")
        await wait_until(
            lambda: cluster.has_restarted("dockerd", old) and own.answers(), bool, RECOVERY_SECONDS, "engine back"
        )
    async with cluster.client() as client:
        after = await work.until_all(client, run.sleepers, "RUNNING")
        assert work.docker_ids(after) == before
        assert started_at(own, before.values()) == started
        await work.stop(client, run.sleepers)
        await work.until_all(client, run.sleepers, "STOPPED")


def started_at(engine: Engine, containers: Iterable[str]) -> str:
    return engine.docker("inspect", "--format", "{{.State.StartedAt}} {{.State.Pid}}", *containers)


async def test_without_it_every_task_is_reported_stopped_once(
    engine_factory: EngineFactory, cluster_factory: ClusterFactory
) -> None:
    own = engine_factory()
    own.start()
    cluster = cluster_factory(engine=own)
    images.import_busybox(own)
    async with busy(cluster) as run:
        cluster.kill("dockerd")
        await asyncio.to_thread(own.start)
        stopped = await work.until_all(run.client, run.sleepers, "STOPPED", RECOVERY_SECONDS)
        assert set(work.exit_codes(stopped).values()) == {None}
        assert all(task.stopped_reason for task in stopped.values())
    events = [json.loads(line) for line in cluster.shoal("events", "-o", "json").stdout.splitlines()]
    assert events
    stops = Counter(
        event["task"]["taskArn"] for event in events if event.get("task", {}).get("lastStatus") == "STOPPED"
    )
    assert set(stops.values()) == {1}
    assert len(stops) == len(run.sleepers) + SUBMISSIONS + 1
