"""What a task uses, from the kernel of its host to the command line."""

import json
import os
import signal
import ssl
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from shoal.client import Client
from shoal.rpc import SERVER_NAME
from shoal.supervisor import settings
from shoal.v1 import metrics_pb2
from shoal.v1.cluster_pb2 import DescribeControlPlaneRequest

from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.waiting import wait_until

# Of a quarter of a core, all that the kernel gives; with 20 MiB held.
HOLD = "(head -c 20971520 /dev/zero | tail -c 20971520 | (head -c 1 >/dev/null; touch /held; sleep 1000)) &"
BURN = f"{HOLD} until [ -e /held ]; do sleep 0.1; done; while :; do :; done"
QUOTA_UNITS = 256
MIB = 1024 * 1024


async def run(client: Client) -> str:
    definition = work.definition("burn", ["sh", "-c", BURN], stopTimeout=2, memory=48)
    definition |= {"cpu": str(QUOTA_UNITS), "memory": "64"}
    (task_id,) = await work.run(client, await work.register(client, definition))
    await work.until_all(client, [task_id], "RUNNING")
    return task_id


async def until_measured(client: Client, task_id: str, after: int = 0) -> int:
    """The time of a sample that has its cpu, later than another one."""

    async def look() -> int:
        answer = await client.metrics.DescribeUsage(metrics_pb2.DescribeUsageRequest())
        (task,) = (each for each in answer.tasks if each.task_id == task_id)
        return task.sampled_at if task.HasField("cpu_units") else 0

    return await wait_until(look, lambda at: at > after, 60.0, "a sample of the task")


def points(cluster: Cluster, *arguments: str) -> list[dict[str, Any]]:
    answer = json.loads(cluster.shoal("metrics", *arguments, "--period", "10s", "--since", "10m", "-o", "json").stdout)
    found: list[dict[str, Any]] = answer["Datapoints"]
    return found


async def scraped(cluster: Cluster) -> dict[str, float]:
    """Of the scheduler, what has no labels."""
    context = cluster.context
    tls = ssl.create_default_context(cafile=str(context.authority))
    tls.load_cert_chain(context.certificate, context.key)
    chosen = settings.load(cluster.layout.settings)
    assert chosen is not None
    url = f"https://{chosen.http_listen}/metrics"
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session,
        session.get(url, server_hostname=SERVER_NAME) as answer,
    ):
        assert answer.status == 200
        families = text_string_to_metric_families(await answer.text())
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


async def test_what_a_task_uses_is_shown(cluster: Cluster) -> None:
    async with cluster.client() as client:
        task_id = await run(client)
        await until_measured(client, task_id)
        found = json.loads(cluster.shoal("top", "-o", "json").stdout)
        (used,) = (task for task in found["tasks"] if task["taskId"] == task_id)
        assert 0.1 * QUOTA_UNITS < used["cpuUnits"] < 1.3 * QUOTA_UNITS
        assert 20 * MIB <= used["memoryBytes"] < 40 * MIB
        assert (used["cpuReservedUnits"], used["memoryReservedMib"]) == (QUOTA_UNITS, 64)
        (cpu,) = points(cluster, task_id, "--metric", "CpuUtilized")
        assert cpu["Average"] == pytest.approx(used["cpuUnits"])
        assert task_id[:8] in cluster.shoal("top", "--once").stdout
        # What follows for its group comes with the scheduler's next step.
        await wait_until(lambda: "CPUUtilization" in cluster.shoal("metrics", "family:burn").stdout)
        (share, *_) = points(cluster, "family:burn", "--metric", "CPUUtilization")
        assert 10 < share["Average"] < 130
        found = await scraped(cluster)
        assert (found["shoal_leader"], found["shoal_sessions"]) == (1, 1)
        assert found["shoal_placements_total"] >= 1 and found["shoal_samples_taken_total"] >= 2
        revision = (await client.cluster.DescribeControlPlane(DescribeControlPlaneRequest())).store_revision
        assert 0 < found["shoal_store_revision"] <= revision
        await work.stop(client, [task_id])
    # A scheduler that is started again knows what was measured before.
    stopped = cluster.pid("scheduler")
    os.kill(stopped, signal.SIGTERM)
    await wait_until(lambda: cluster.has_restarted("scheduler", stopped), timeout_seconds=30)
    assert points(cluster, task_id, "--metric", "CpuUtilized")[0] == cpu


@pytest.mark.slow
async def test_an_agent_that_is_killed_leaves_a_gap_and_no_spike(cluster: Cluster) -> None:
    async with cluster.client() as client:
        task_id = await run(client)
        before = await until_measured(client, task_id, await until_measured(client, task_id))
        killed = cluster.kill("agent")
        await wait_until(lambda: cluster.has_restarted("agent", killed), timeout_seconds=30)
        await until_measured(client, task_id, await until_measured(client, task_id, before))
        values = [point["Average"] for point in points(cluster, task_id, "--metric", "CpuUtilized")]
        assert len(values) >= 4
        assert all(0 < value < 1.3 * QUOTA_UNITS for value in values)
        await work.stop(client, [task_id])
