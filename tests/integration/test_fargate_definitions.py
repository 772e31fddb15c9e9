"""A definition that was written for Fargate runs on an instance: with a network and limits of its own."""

import ipaddress
import urllib.request
from pathlib import Path
from typing import Any

from shoal.cgroups import ROOT, name_of
from shoal.v1 import task_pb2

from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.images import BUSYBOX
from tests.ground.waiting import wait_until

MIB = 1024 * 1024
PORT = 8080


def definition() -> dict[str, Any]:
    """The page is the sidecar's: the one that is asked gets it over localhost."""
    serve = "mkdir /www; {} > /www/index.html; exec httpd -f -p {} -h /www"
    ask = "while ! wget -qO /tmp/page http://127.0.0.1:9000/; do sleep 0.1; done; cat /tmp/page"
    side = {
        "name": "side",
        "image": BUSYBOX,
        "command": ["sh", "-c", serve.format("echo hello", 9000)],
        "essential": False,
        "stopTimeout": 2,
    }
    web = {
        "name": "web",
        "image": BUSYBOX,
        "command": ["sh", "-c", serve.format(f"({ask})", PORT)],
        "portMappings": [{"containerPort": PORT, "hostPort": PORT}],
        "stopTimeout": 2,
    }
    return {
        "family": "fargate",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [web, side],
    }


def limit_bytes(instance: str, task_id: str) -> int:
    place = Path("docker") / name_of(instance, task_id)
    files = (ROOT / "memory" / place / "memory.limit_in_bytes", ROOT / place / "memory.max")
    return int(next(file for file in files if file.exists()).read_text())


async def test_it_runs_twice_on_one_instance(cluster: Cluster) -> None:
    async with cluster.client() as client:
        family = await work.register(client, definition())
        smaller = task_pb2.TaskOverride(memory="64")
        ids = await work.run(client, family, count=2, launch_type="FARGATE", overrides=smaller)
        running = await work.until_all(client, ids, "RUNNING")
        addresses = set()
        for task_id, task in running.items():
            (attachment,) = task.attachments
            (address,) = [detail.value for detail in attachment.details if detail.name == "privateIPv4Address"]
            (binding,) = task.containers[0].network_bindings
            assert binding.container_port == PORT and binding.host_port != PORT
            addresses.add(ipaddress.IPv4Address(address))
            instance = task.container_instance_arn.rpartition("/")[2]
            assert limit_bytes(instance, task_id) == 64 * MIB

            def page(port: int = binding.host_port) -> str:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5.0) as response:
                    return str(response.read().decode())

            await wait_until(page, lambda text: text == "hello\n", 30.0, "the page")
        assert len(addresses) == 2
        await work.stop(client, ids)
        await work.until_all(client, ids, "STOPPED")
