"""kill -9 of the Docker Engine in the middle of a run: tasks go on with live-restore, else they are reported once.
An engine that hangs: nothing is lost, and nothing new comes."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from shoal.client import Client
from shoal.v1 import container_instance_pb2, task_pb2
from shoal.v1.container_instance_pb2 import ContainerInstance

from tests.conftest import ClusterFactory, EngineFactory
from tests.ground import images, work
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine
from tests.ground.waiting import wait_until

SLEEPER = work.definition("engine-sleeper", ["sleep", "600"], stopTimeout=2)
QUICK = work.definition("engine-quick", ["sh", "-c", "sleep 0.3; exit 7"])
LATER = work.definition("engine-later", ["sh", "-c", "sleep 3; exit 4"])
IMPAIRED_SECONDS_MAX = 35.0
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


@pytest.mark.parametrize("hung_seconds", [0, pytest.param(300, marks=pytest.mark.slow)])
async def test_an_engine_that_hangs_gets_no_new_tasks_and_loses_none(
    engine_factory: EngineFactory, cluster_factory: ClusterFactory, hung_seconds: int
) -> None:
    """Stopped until the cluster has noticed, and so much longer."""
    own = engine_factory()
    own.start()
    cluster = cluster_factory(engine=own)
    images.import_busybox(own)
    async with cluster.client() as client:
        sleepers = await work.run(client, await work.register(client, SLEEPER), count=2)
        before = work.docker_ids(await work.until_all(client, sleepers, "RUNNING"))
        later = await work.run(client, await work.register(client, LATER))
        await work.until_all(client, later, "RUNNING")
        quick = await work.register(client, QUICK)
        os.kill(own.pid, signal.SIGSTOP)
        try:
            await wait_until(lambda: health(client), is_impaired, IMPAIRED_SECONDS_MAX, "the engine is known to hang")
            await asyncio.sleep(hung_seconds)
            assert (await health(client)).agent_connected
            refused = await client.cluster.RunTask(task_pb2.RunTaskRequest(task_definition=quick))
            assert [each.reason for each in refused.failures] == ["INSTANCE:IMPAIRED"]
            assert "engine impaired" in cluster.shoal("instances").stdout
            queued = cluster.shoal("run", quick, "--queue", "-o", "name").stdout.split()
        finally:
            os.kill(own.pid, signal.SIGCONT)
        await wait_until(lambda: health(client), is_well, RECOVERY_SECONDS, "it is well")
        ended = await work.until_all(client, [*later, *queued], "STOPPED")
        assert sorted(code or 0 for code in work.exit_codes(ended).values()) == [4, 7]
        assert work.docker_ids(await work.until_all(client, sleepers, "RUNNING")) == before


async def health(client: Client) -> ContainerInstance:
    """The only instance, with its health."""
    listed = await client.cluster.ListContainerInstances(container_instance_pb2.ListContainerInstancesRequest())
    request = container_instance_pb2.DescribeContainerInstancesRequest(
        container_instances=listed.container_instance_arns, include=["CONTAINER_INSTANCE_HEALTH"]
    )
    (found,) = (await client.cluster.DescribeContainerInstances(request)).container_instances
    return found


def is_impaired(instance: ContainerInstance) -> bool:
    return instance.health_status.overall_status == "IMPAIRED"


def is_well(instance: ContainerInstance) -> bool:
    return instance.health_status.overall_status == "OK"
