"""A service of nginx on the hosts of a fleet, behind the cluster's own load balancer."""

import asyncio
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shoal import arn, awsjson
from shoal.client import Client
from shoal.hosts import programs
from shoal.hosts.plan import Host
from shoal.v1 import service_pb2, task_pb2, traffic_pb2
from shoal.v1.task_pb2 import Task

from tests.ground import nginx, percents, work
from tests.ground.engine import Engine
from tests.ground.fleet import Fleet
from tests.ground.network import free_port
from tests.ground.nginx import Version
from tests.ground.percents import Percents
from tests.ground.waiting import wait_until

NAME = "web"
COUNT = 6
STEADY_SECONDS = 90.0
# Long enough for what an nginx does in a millisecond, and for a proxy that hears of it a moment later.
DELAY_SECONDS = 2
INTERVAL_SECONDS, UNHEALTHY_CHECKS = 2, 2
# Until checks that are not answered have told of it: the first may have begun just before.
UNHEALTHY_SECONDS = float((INTERVAL_SECONDS + 1) * (UNHEALTHY_CHECKS + 1))
FAILURES_MAX = 3
PIECE_BYTES = 4 << 20


@dataclass(slots=True)
class Served:
    """port: of the load balancer, on this machine. images: by name of the version. judge: hears every event."""

    fleet: Fleet
    client: Client
    port: int
    images: Mapping[str, str]
    judge: Percents
    version: Version = nginx.FIRST
    count: int = COUNT

    @property
    def cluster(self) -> str:
        return self.fleet.cluster.name

    async def create(self) -> None:
        """Target group, rule and service; returns when all tasks get requests."""
        group, _ = awsjson.to_message(_TARGET_GROUP, traffic_pb2.CreateTargetGroupRequest, strict=True)
        await self.client.traffic.CreateTargetGroup(group)
        rule, _ = awsjson.to_message(_rule(self.port), traffic_pb2.CreateRuleRequest, strict=True)
        await self.client.traffic.CreateRule(rule)
        definition = await work.register(self.client, nginx.definition(NAME, self.images[self.version.name]))
        document = {**_SERVICE, "taskDefinition": definition, "desiredCount": self.count}
        service, _ = awsjson.to_message(document, service_pb2.CreateServiceRequest, strict=True)
        await self.client.services.CreateService(service)
        await self.until_steady()

    async def delete(self) -> None:
        self.judge.desired.add(0)
        await self.client.services.DeleteService(service_pb2.DeleteServiceRequest(service=NAME, force=True))

        def are_over(found: dict[str, Task]) -> bool:
            return not found

        await wait_until(self.tasks, are_over, STEADY_SECONDS, "the service's tasks end")

    async def scale(self, count: int) -> None:
        """Returns when so many get requests, and no others are left."""
        self.judge.desired.add(count)
        self.count = count
        await self.client.services.UpdateService(service_pb2.UpdateServiceRequest(service=NAME, desired_count=count))
        await self.until_steady()
        self.judge.desired = {count}

    async def deploy(self, version: Version, timeout_seconds: float) -> "subprocess.CompletedProcess[str]":
        """`shoal deploy`, while the world goes on; what it said and its exit code."""
        image = self.images.get(version.name) or f"{self.images[nginx.FIRST.name].rpartition(':')[0]}:{version.name}"
        words = ("deploy", NAME, "--image", image, "--timeout", f"{timeout_seconds:.0f}s")
        done = await asyncio.to_thread(
            self.fleet.cluster.shoal, *words, check=False, timeout_seconds=timeout_seconds + 30.0
        )
        if done.returncode == 0:
            self.version = version
        return done

    async def describe(self) -> service_pb2.Service:
        (found,) = (
            await self.client.services.DescribeServices(service_pb2.DescribeServicesRequest(services=[NAME]))
        ).services
        return found

    async def last_deployment(self) -> service_pb2.ServiceDeployment:
        listed = await self.client.services.ListServiceDeployments(
            service_pb2.ListServiceDeploymentsRequest(service=NAME, max_results=1)
        )
        arns = [listed.service_deployments[0].service_deployment_arn]
        request = service_pb2.DescribeServiceDeploymentsRequest(service_deployment_arns=arns)
        (found,) = (await self.client.services.DescribeServiceDeployments(request)).service_deployments
        return found

    async def tasks(self) -> dict[str, Task]:
        """By id: those that are to run, and those that end."""
        return {id_: task for id_, task in (await self._known()).items() if task.last_status != "STOPPED"}

    async def crashed(self) -> dict[str, Task]:
        """By id: those whose program ended by itself, as long as they are known."""
        found = await self._known()
        return {id_: task for id_, task in found.items() if task.stop_code == "EssentialContainerExited"}

    async def _known(self) -> dict[str, Task]:
        found = set()
        for desired in ("RUNNING", "STOPPED"):
            request = task_pb2.ListTasksRequest(group=f"service:{NAME}", desired_status=desired)
            found |= {arn.short(each) for each in (await self.client.cluster.ListTasks(request)).task_arns}
        return await work.describe(self.client, found)

    async def targets(self) -> Counter[str]:
        """How many are in which state."""
        request = traffic_pb2.DescribeTargetHealthRequest(target_group_arn=NAME)
        found = (await self.client.traffic.DescribeTargetHealth(request)).target_health_descriptions
        return Counter(each.target_health.state for each in found)

    async def until_steady(self, timeout_seconds: float = STEADY_SECONDS) -> dict[str, Task]:
        """All that is wanted runs, is healthy and gets requests, and there is nothing else."""

        async def seen() -> tuple[Counter[str], Counter[str], Counter[str]]:
            tasks = (await self.tasks()).values()
            states = Counter(f"{task.last_status} {task.health_status}" for task in tasks)
            rollouts = Counter(each.rollout_state for each in (await self.describe()).deployments)
            return states, await self.targets(), rollouts

        wanted = Counter({"RUNNING HEALTHY": self.count}), Counter({"healthy": self.count}), Counter({"COMPLETED": 1})

        def is_steady(found: object) -> bool:
            return found == wanted

        await wait_until(seen, is_steady, timeout_seconds, f"{self.count} tasks of {NAME} get requests")
        return await self.tasks()

    def host_of(self, task: Task) -> Host:
        return self.fleet.host_of(task.container_instance_arn)

    def address_of(self, task: Task) -> tuple[str, int]:
        """Where it is sent its requests."""
        return str(self.host_of(task).address.ip), task.containers[0].network_bindings[0].host_port

    async def by_host(self) -> dict[str, list[Task]]:
        found: dict[str, list[Task]] = {host.name: [] for host in self.fleet.hosts}
        for task in (await self.tasks()).values():
            found[self.host_of(task).name].append(task)
        return found

    async def fullest(self) -> Host:
        """The host with the most of its tasks."""
        found = await self.by_host()
        return max(self.fleet.hosts, key=lambda host: len(found[host.name]))

    def kill_container(self, task: Task) -> float:
        """kill -9 of its program; when, as time.monotonic() tells."""
        address = programs.docker_host(self.fleet.cluster.layout, self.host_of(task))
        command = ["docker", "--host", address, "inspect", "--format", "{{.State.Pid}}", task.containers[0].runtime_id]
        shown = subprocess.run(command, capture_output=True, text=True, check=True)
        at = time.monotonic()
        os.kill(int(shown.stdout), signal.SIGKILL)
        return at

    def is_pulling(self) -> bool:
        """Some engine has a piece of a layer, and waits for the rest."""
        layout = self.fleet.cluster.layout
        folders = [layout.work(programs.engine(host)) / "data" / "tmp" for host in self.fleet.hosts]
        return any(file.stat().st_size > PIECE_BYTES for folder in folders for file in folder.glob("GetImageBlob*"))

    async def leader(self) -> str:
        """The program of the scheduler that leads."""
        for program, endpoint in self.fleet.schedulers.items():
            if (await self.client.describe_scheduler(endpoint, 5.0)).role == "LEADER":
                return program
        raise AssertionError("no scheduler leads")


_TARGET_GROUP = {
    "Name": NAME,
    "HealthCheckPath": "/health",
    "HealthCheckIntervalSeconds": INTERVAL_SECONDS,
    "HealthCheckTimeoutSeconds": 1,
    "UnhealthyThresholdCount": UNHEALTHY_CHECKS,
    "deregistrationDelaySeconds": DELAY_SECONDS,
}
_SERVICE = {
    "serviceName": NAME,
    "loadBalancers": [{"targetGroupArn": NAME, "containerName": "web", "containerPort": nginx.PORT}],
    "placementStrategy": [{"type": "spread", "field": "instanceId"}],
    "healthCheckGracePeriodSeconds": 20,
    "deploymentConfiguration": {
        "minimumHealthyPercent": 100,
        "maximumPercent": 150,
        "deploymentCircuitBreaker": {
            "enable": True,
            "rollback": True,
            "thresholdConfiguration": {"type": "COUNT", "value": FAILURES_MAX},
        },
    },
}


def _rule(port: int) -> dict[str, object]:
    conditions = [{"Field": "host-header", "Values": ["web.test"]}]
    action = {"Type": "forward", "TargetGroupArn": NAME}
    return {"name": NAME, "port": port, "Conditions": conditions, "Actions": [action]}


@asynccontextmanager
async def served(fleet: Fleet, engine: Engine, *versions: Version) -> AsyncIterator[Served]:
    """A service of six replicas of the first of the versions, judged all the while. `engine` has the base image."""
    images = {
        each.name: await asyncio.to_thread(nginx.push, fleet.cluster, engine, "team/web", each) for each in versions
    }
    async with fleet.cluster.client() as client:
        judge = Percents(NAME, {COUNT}, 100, 150)
        async with percents.judged(client, judge, fleet.cluster.name):
            made = Served(fleet, client, free_port(), images, judge, versions[0])
            await made.create()
            yield made
            await made.delete()
