"""The metadata endpoint as containers on a real engine see it, and as nobody else does."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.metadata import endpoint as serving
from shoal_agent.metadata.endpoint import Metadata

from tests.ground.engine import Engine
from tests.ground.images import BUSYBOX
from tests.unit.agent.rig import CLUSTER, Rig, assignment, definition, quick

pytestmark = pytest.mark.engine

RULES = Configuration(allow_host_namespaces=True, availability_zone="rack-1", tags={"owner": "us"})
URI = "$ECS_CONTAINER_METADATA_URI_V4"
# A process of PID 1 that heeds SIGTERM ends at once.
COMMAND = ["sh", "-c", "trap exit TERM; sleep 1000 & wait"]


class Host:
    """An agent with its listener, to be started again on the same state."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.engine = engine
        self.tasks: list[str] = []

    async def start(self) -> None:
        self.rig = Rig(self.folder, DockerEngine(self.engine.host), RULES)
        await self.rig.start()
        self.metadata = Metadata(self.folder, self.rig.around, self.rig.worker)
        await self.metadata.open()
        self._running = asyncio.create_task(self.metadata.run())
        self.rig.around.engine_trouble.set()
        await self.rig.until(lambda: self.rig.around.endpoint and self.rig.around.endpoint.bridge_address)

    async def crash(self) -> None:
        self._running.cancel()
        await self.metadata.close()
        await self.rig.crash()
        await self.rig.engine.close()

    async def run(self, **task: Any) -> str:
        task_id = uuid.uuid4().hex
        self.tasks.append(task_id)
        container = {"name": "web", "image": BUSYBOX, "memory": 16, "cpu": 8, "command": COMMAND, "stopTimeout": 1}
        wanted = {**definition(), "containerDefinitions": [container], **task}
        self.rig.assign(assignment(task_id, definition=wanted, definition_arn="arn:x:task-definition/t:3"))
        await self.rig.report(task_id, "RUNNING")
        return task_id

    async def ask(self, task_id: str, path: str, uri: str = URI, container: str = "web") -> Any:
        """From inside a container of the task. What it is told, or wget's complaint."""
        script = f'wget -qO- "{uri}{path}" 2>&1'
        name = f"{CLUSTER}.{task_id}.{container}"
        told = await asyncio.to_thread(self.engine.docker, "exec", name, "sh", "-c", f"{script}; true")
        return json.loads(told) if told.startswith("{") else told

    async def uri(self, task_id: str) -> str:
        name = f"{CLUSTER}.{task_id}.web"
        return await asyncio.to_thread(self.engine.docker, "exec", name, "sh", "-c", f"echo {URI}")


@pytest.fixture
async def host(
    tmp_path: Path, engine: Engine, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Host]:
    quick(monkeypatch)
    made = Host(tmp_path, engine)
    await made.start()
    yield made
    await made.crash()
    for task_id in made.tasks:
        engine.docker("rm", "--force", *engine.docker("ps", "-aq", "--filter", f"name={task_id}").split())


async def test_a_container_reads_about_itself_and_its_task(host: Host) -> None:
    task_id = await host.run(cpu="512", memory="64")
    whole = await host.ask(task_id, "/task")
    (container,) = whole.pop("Containers")
    assert whole == {
        "Cluster": CLUSTER,
        "TaskARN": f"arn:shoal:ecs:local:000000000000:task/{CLUSTER}/{task_id}",
        "Family": "t",
        "Revision": "3",
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": 0.5, "Memory": 64},
        "AvailabilityZone": "rack-1",
        "LaunchType": "EC2",
    }
    assert container == await host.ask(task_id, "")
    shown = json.loads(host.engine.docker("inspect", f"{CLUSTER}.{task_id}.web"))[0]
    assert container["DockerId"] == shown["Id"] and container["ImageID"] == shown["Image"]
    assert container["Networks"] == [
        {"NetworkMode": "bridge", "IPv4Addresses": [shown["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]]}
    ]
    assert container["Limits"] == {"CPU": 8, "Memory": 16} and container["Image"] == BUSYBOX
    assert container["Labels"]["com.amazonaws.ecs.task-arn"] == whole["TaskARN"]
    assert container["CreatedAt"][:22] == shown["Created"][:22]
    tagged = await host.ask(task_id, "/taskWithTags")
    assert tagged["ContainerInstanceTags"] == [{"Key": "owner", "Value": "us"}]


async def test_containers_of_a_task_see_one_another_but_answer_only_for_themselves(host: Host) -> None:
    container = {"image": BUSYBOX, "memory": 16, "command": COMMAND, "stopTimeout": 1}
    task_id = await host.run(containerDefinitions=[{"name": name, **container} for name in ("web", "side")])
    told = await host.ask(task_id, "/task")
    assert {it["Name"]: it["KnownStatus"] for it in told["Containers"]} == {"web": "RUNNING", "side": "RUNNING"}
    assert (await host.ask(task_id, "", container="side"))["Name"] == "side"
    assert "404" in await host.ask(task_id, "", await host.uri(task_id), container="side")
    stats = await host.ask(task_id, "/task/stats")
    assert stats.keys() == {it["DockerId"] for it in told["Containers"]}


async def test_what_it_uses(host: Host) -> None:
    task_id = await host.run()
    first = await host.ask(task_id, "/stats")
    assert first["memory_stats"]["usage"] > 0 and first["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    async with asyncio.timeout(30):
        second = await host.ask(task_id, "/task/stats")
        while second[first["id"]]["read"] == first["read"]:
            second = await host.ask(task_id, "/task/stats")
    (container,) = second.values()
    assert container["preread"] == first["read"] and container["precpu_stats"] == first["cpu_stats"]
    assert container["network_rate_stats"]["rx_bytes_per_sec"] > 0  # its own request at least


async def test_nobody_else_reads_it(host: Host) -> None:
    mine, other = await host.run(), await host.run()
    uri = await host.uri(mine)
    assert (await host.ask(mine, "", uri))["Name"] == "web"
    known, forged = uri, uri[:-1] + ("0" if uri[-1] != "0" else "1")
    for refused in (known, f"{known}/task", f"{known}/stats", forged, uri.rpartition("/")[0], f"{known}/nothing"):
        assert "404" in await host.ask(other, "", refused), refused
    assert "404" in await host.ask(mine, "", forged)
    assert "405" in await host.ask(mine, "", f'{known}" --post-data="x')


async def test_a_started_again_agent_serves_what_containers_remember(host: Host) -> None:
    task_id = await host.run()
    before = await host.ask(task_id, "")
    await host.crash()
    await host.start()
    # Not assigned to it yet: what the container itself tells is there.
    adopted = await host.ask(task_id, "/task")
    assert (adopted["Family"], adopted["Revision"]) == ("t", "3")
    assert adopted["Containers"][0]["DockerId"] == before["DockerId"]


async def test_on_the_hosts_network(host: Host) -> None:
    bridged, task_id = await host.run(), await host.run(networkMode="host")
    assert (await host.uri(task_id)).startswith("http://127.0.0.1:")
    assert (await host.ask(task_id, "/task"))["TaskARN"].endswith(task_id)
    # The host's own addresses are no container's.
    theirs = await host.uri(bridged)
    assert "404" in await host.ask(task_id, "", theirs)
    assert "404" in await host.ask(task_id, "", theirs.replace(theirs.split(":")[1], "//127.0.0.1"))


async def test_a_task_with_a_network_of_its_own(host: Host) -> None:
    container = {"image": BUSYBOX, "memory": 16, "command": COMMAND, "stopTimeout": 1}
    both = [{"name": name, **container} for name in ("web", "side")]
    task_id, other = await host.run(networkMode="awsvpc", containerDefinitions=both), await host.run()
    told = await host.ask(task_id, "/task", container="side")
    assert [it["Name"] for it in told["Containers"]] == ["web", "side"]
    ((web,), (side,)) = (it["Networks"] for it in told["Containers"])
    assert web == side and web["NetworkMode"] == "awsvpc"
    own = await asyncio.to_thread(host.engine.docker, "exec", f"{CLUSTER}.{task_id}.web", "ifconfig", "eth0")
    assert web["IPv4Addresses"][0] in own and web["MACAddress"].upper() in own
    assert "404" in await host.ask(other, "", await host.uri(task_id))


async def test_without_a_network_there_is_no_address(host: Host) -> None:
    task_id = await host.run(networkMode="none")
    assert await host.uri(task_id) == ""


async def test_a_task_that_asks_too_often(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "REQUESTS_PER_SECOND", 0.0)
    monkeypatch.setattr(serving, "REQUESTS_AT_ONCE", 3.0)
    task_id, other = await host.run(), await host.run()
    answers = [await host.ask(task_id, path) for path in ("", "/task", "/stats", "")]
    assert [isinstance(answer, dict) for answer in answers] == [True, True, True, False]
    assert "429" in answers[-1]
    assert (await host.ask(other, ""))["Name"] == "web"
