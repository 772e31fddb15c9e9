"""What a task uses, from the kernel of its host to the command line."""

import json
import os
import re
import signal
import ssl
from collections import Counter
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from shoal.certificates import AGENT_NAME
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


async def scraped(cluster: Cluster, address: str, name: str) -> dict[str, float]:
    """By the operator: the sum over all labels. `name` is the server's in its certificate."""
    context = cluster.context
    tls = ssl.create_default_context(cafile=str(context.authority))
    tls.load_cert_chain(context.certificate, context.key)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session,
        session.get(f"https://{address}/metrics", server_hostname=name) as answer,
    ):
        assert answer.status == 200
        families = list(text_string_to_metric_families(await answer.text()))
    sums: Counter[str] = Counter()
    for sample in (sample for family in families for sample in family.samples):
        sums[sample.name] += sample.value  # type: ignore[assignment]
    return dict(sums)


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
        chosen = settings.load(cluster.layout.settings)
        assert chosen is not None
        found = await scraped(cluster, chosen.https["scheduler"], SERVER_NAME)
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


@pytest.mark.slow
async def test_an_agents_counters_go_on_while_it_is_away(cluster: Cluster) -> None:
    """The agent listens because its configuration says so, with the certificate it has."""
    cluster.shoal("down")
    cluster.layout.agent_config.write_text('metrics_listen = "127.0.0.1:0"\n')
    try:
        cluster.up()
        async with cluster.client() as client:
            task_id = await run(client)
            sampled_at = await until_measured(client, task_id)
            before = await scraped(cluster, listening(cluster), AGENT_NAME)
            assert 0 < before["shoal_container_cpu_seconds_total"] < 60
            assert before["shoal_container_memory_bytes"] > 20 * MIB
            killed = cluster.kill("agent")
            await wait_until(lambda: cluster.has_restarted("agent", killed), timeout_seconds=30)
            await until_measured(client, task_id, sampled_at)
            after = await scraped(cluster, listening(cluster), AGENT_NAME)
            grown = after["shoal_container_cpu_seconds_total"] - before["shoal_container_cpu_seconds_total"]
            assert 0 < grown < 60
            await work.stop(client, [task_id])
    finally:
        cluster.layout.agent_config.unlink()
        cluster.shoal("down")  # the next test brings it up again, without the file


def listening(cluster: Cluster) -> str:
    """Where the agent listened last, by its log."""
    ports = re.findall(r"metrics for scrapers address=127.0.0.1 port=(\d+)", cluster.log("agent"))
    return f"127.0.0.1:{ports[-1]}"
