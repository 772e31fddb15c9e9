"""`shoal deploy` as a pipeline uses it: the real command line, registry, scheduler, agent and engine."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shoal.v1 import service_pb2, task_pb2

from tests.ground import pushed
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine
from tests.ground.waiting import wait_until

SERVES, CRASHES = "sleep 1000", "exit 3"


class Shop:
    """Images of a repository, and the service that runs them."""

    def __init__(self, cluster: Cluster, engine: Engine, base: str) -> None:
        self.cluster, self.engine, self.base = cluster, engine, base

    def push(self, tag: str, command: str) -> str:
        return pushed.push_with(self.cluster, self.engine, self.base, f"team/shop:{tag}", {"mark": b""}, command)

    def create(self, image: str, folder: Path) -> None:
        check = {"command": ["CMD", "true"], "interval": 5, "timeout": 2, "retries": 1}
        container = {"name": "app", "image": image, "memory": 32, "stopTimeout": 2, "healthCheck": check}
        file = folder / "shop.json"
        file.write_text(json.dumps({"family": "shop", "containerDefinitions": [container]}))
        self.cluster.shoal("register", str(file))
        options = ("--count", "2", "--circuit-breaker", "--failures", "2", "--wait")
        self.cluster.shoal("service", "create", "shop", "--task-definition", "shop", *options)

    def running(self) -> set[tuple[str, str]]:
        """The task definition and the digest of each task that runs."""
        tasks = json.loads(self.cluster.shoal("ps", "--service", "shop", "-o", "json").stdout)["tasks"]
        running = [each for each in tasks if each["lastStatus"] == "RUNNING" and each["desiredStatus"] == "RUNNING"]
        assert len(running) == 2
        return {(each["taskDefinitionArn"].rpartition("/")[2], _digest(each)) for each in running}


def _digest(task: dict[str, Any]) -> str:
    (container,) = task["containers"]
    return str(container["imageDigest"])


# What a program in a container says by HTTP, with what a shell has.
PROTECT = """
uri=${ECS_AGENT_URI#http://}; at=${uri%%/*}; body='{"ProtectionEnabled":true,"ExpiresInMinutes":5}'
said='PUT /%s/task-protection/v1/state HTTP/1.0\\r\\nContent-Length: 47\\r\\n\\r\\n%s'
{ printf "$said" "${uri#*/}" "$body"; sleep 1000; } | nc "${at%:*}" "${at#*:}"; sleep 1000
"""


@pytest.fixture
def shop(cluster: Cluster, engine: Engine, busybox_image: str) -> Iterator[Shop]:
    yield Shop(cluster, engine, busybox_image)
    cluster.shoal("service", "delete", "shop", "--force", "--wait", check=False)


def test_an_image_is_deployed_and_one_that_crashes_is_rolled_back(shop: Shop, short_folder: Path) -> None:
    first, second, broken = shop.push("1", SERVES), shop.push("2", f"{SERVES}; true"), shop.push("3", CRASHES)
    shop.create(first, short_folder)
    deployed = shop.cluster.shoal("deploy", "shop", "--image", second, timeout_seconds=120)
    assert "shop: shop:1 -> shop:2" in deployed.stdout
    assert "shop: SUCCESSFUL in" in deployed.stdout
    ((definition, digest),) = shop.running()
    assert definition == "shop:2"

    failed = shop.cluster.shoal("deploy", "shop", "--image", broken, check=False, timeout_seconds=120)
    assert failed.returncode == 1
    assert "ROLLBACK_SUCCESSFUL" in failed.stderr
    assert "tasks failed to start" in failed.stderr
    assert "exit code 3" in failed.stderr, "why its tasks ended"
    assert shop.running() == {("shop:2", digest)}, "what ran before runs on, by the very same bytes"

    again = shop.cluster.shoal("deploy", "shop", "--image", second)
    assert "nothing to deploy, shop:2 runs already" in again.stdout


def test_a_task_protects_itself(shop: Shop, short_folder: Path) -> None:
    container = {"name": "app", "image": shop.base, "memory": 32, "stopTimeout": 1, "command": ["sh", "-c", PROTECT]}
    file = short_folder / "guarded.json"
    file.write_text(json.dumps({"family": "guarded", "containerDefinitions": [container]}))
    shop.cluster.shoal("register", str(file))
    shop.cluster.shoal("service", "create", "shop", "--task-definition", "guarded", "--count", "1")

    async def protected() -> list[bool]:
        async with shop.cluster.client() as client:
            listed = await client.cluster.ListTasks(task_pb2.ListTasksRequest(service_name="shop"))
            request = service_pb2.GetTaskProtectionRequest(tasks=listed.task_arns)
            found = (await client.services.GetTaskProtection(request)).protected_tasks
            return [each.protection_enabled for each in found]

    def is_so(found: list[bool]) -> bool:
        return found == [True]

    async def until_protected() -> None:
        await wait_until(protected, is_so, timeout_seconds=30)

    asyncio.run(until_protected())
