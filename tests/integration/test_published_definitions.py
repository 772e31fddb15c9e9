"""Task definitions as they were published for ECS: registered by the command line, run, and asked over HTTP."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from shoal.client import Client
from shoal.v1.task_pb2 import Task

from tests import definitions
from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.images import WEB_IMAGES, WebImage
from tests.ground.waiting import wait_until

# What a describe adds to what was registered.
READ_ONLY = (
    "taskDefinitionArn",
    "revision",
    "status",
    "registeredAt",
    "registeredBy",
    "compatibilities",
    "requiresAttributes",
)


def without_empty(value: Any) -> Any:
    """The same document without nulls, [] and {}, which the API takes for absent."""
    if isinstance(value, dict):
        cleaned = {key: without_empty(each) for key, each in value.items()}
        return {key: each for key, each in cleaned.items() if each not in (None, [], {})}
    return [without_empty(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", definitions.published_files())
def test_a_published_file_registers_unchanged(cluster: Cluster, path: Path) -> None:
    document = json.loads(path.read_text())
    name = cluster.shoal("register", str(path), "-o", "name").stdout.strip()
    described = json.loads(cluster.shoal("describe", name, "-o", "json").stdout)
    described = described.get("taskDefinition", described)
    assert without_empty({key: described[key] for key in described if key not in READ_ONLY}) == without_empty(document)


def web_definition(name: str) -> dict[str, Any]:
    """In the form most of them have: a bridge network and a host port that the engine picks."""
    image = WEB_IMAGES[name]
    ask = f"import urllib.request as it; it.urlopen('http://127.0.0.1:{image.port}/')"
    container = {
        "name": name,
        "image": image.tag.removesuffix(":latest"),
        "cpu": 128,
        "memory": 512,
        "essential": True,
        "portMappings": [{"containerPort": image.port, "protocol": "tcp"}],
        "healthCheck": {"command": ["CMD", "python3", "-c", ask], "interval": 5, "timeout": 10, "retries": 5},
    }
    return {"family": f"bridge-{name}", "networkMode": "bridge", "containerDefinitions": [container]}


async def test_web_servers_of_a_bridge_definition_answer(cluster: Cluster, web_images: dict[str, WebImage]) -> None:
    async with cluster.client() as client:
        started = {
            name: (await work.run(client, await work.register(client, web_definition(name))))[0] for name in web_images
        }
        running = await work.until_all(client, list(started.values()), "RUNNING")
        for name, id_ in started.items():
            await answers(running[id_], web_images[name])
        await work.until_healthy(client, list(started.values()))
        await work.stop(client, started.values())
        await work.until_all(client, list(started.values()), "STOPPED", 45.0)


@pytest.mark.parametrize("path", definitions.published_files())
async def test_a_published_file_runs_and_answers(cluster: Cluster, web_images: dict[str, WebImage], path: Path) -> None:
    async with cluster.client() as client:
        family = await work.register(client, json.loads(path.read_text()))
        image = next(image for name, image in web_images.items() if path.stem.startswith(name))
        await run_and_ask(client, family, image)


async def run_and_ask(client: Client, family: str, image: WebImage) -> None:
    ids = await work.run(client, family)
    running = await work.until_all(client, ids, "RUNNING")
    try:
        await answers(running[ids[0]], image)
    finally:
        await work.stop(client, ids)
    await work.until_all(client, ids, "STOPPED", 45.0)


async def answers(task: Task, image: WebImage) -> None:
    """The port that the task says it has serves the page."""
    bindings = [each for each in task.containers[0].network_bindings if each.container_port == image.port]
    assert bindings, f"no binding of port {image.port}: {task.containers[0]}"
    url = f"http://127.0.0.1:{bindings[0].host_port}/"

    def body() -> str:
        with urllib.request.urlopen(url, timeout=5.0) as response:
            text: str = response.read().decode()
            return text

    await wait_until(body, lambda text: image.body in text, 30.0, f"{image.tag} at {url}")
