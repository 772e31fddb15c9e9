"""What containers are told and may read, without an engine."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.definition.environment import Endpoint, task_of, variables
from shoal_agent.definition.labels import Owner
from shoal_agent.engine.port import Attached, Inspected
from shoal_agent.metadata import endpoint as serving
from shoal_agent.metadata.documents import Subject, container_document, stats_document, tags_document, task_document
from shoal_agent.metadata.endpoint import Metadata
from shoal_agent.task import Assignment, ContainerPlan, ContainerReport, Report, Task

from tests.fakes.memory_engine import MemoryEngine
from tests.unit.agent.rig import Rig, assignment

OWNER = Owner("default", "i1")
ENDPOINT = Endpoint(5000, b"secret", "172.17.0.1")


@pytest.mark.parametrize(
    ("mode", "address"), [("bridge", "172.17.0.1"), ("awsvpc", "172.17.0.1"), ("host", "127.0.0.1"), ("none", None)]
)
def test_where_a_container_asks(mode: str, address: str | None) -> None:
    name = ENDPOINT.id_of("t1", "web")
    told = {
        "ECS_CONTAINER_METADATA_URI_V4": f"http://{address}:5000/v4/{name}",
        "ECS_AGENT_URI": f"http://{address}:5000/api/{name}",
    }
    assert ENDPOINT.uris("t1", "web", mode) == (told if address else {})


def test_an_id_is_one_containers_and_one_agents() -> None:
    endpoint_id = ENDPOINT.id_of("t1", "web")
    assert task_of(endpoint_id) == "t1"
    assert ENDPOINT.container_of(endpoint_id, "t1", ["side", "web"]) == "web"
    assert ENDPOINT.container_of(endpoint_id, "t2", ["side", "web"]) is None
    assert Endpoint(5000, b"other").container_of(endpoint_id, "t1", ["web"]) is None
    assert ENDPOINT.container_of("ü-ü", "t1", ["web"]) is None


def test_what_is_told_stands() -> None:
    told = variables(ENDPOINT, OWNER, "t1", "web", "none", 7)
    assert told == {
        "TASK_FENCE": "7",
        "SHOAL_CLUSTER": "default",
        "SHOAL_TASK_ID": "t1",
        "SHOAL_TASK_ARN": "arn:shoal:ecs:local:000000000000:task/default/t1",
        "SHOAL_CONTAINER_NAME": "web",
        "SHOAL_CONTAINER_INSTANCE_ARN": "arn:shoal:ecs:local:000000000000:container-instance/default/i1",
    }


def subject(definition: dict[str, Any], **overrides: Any) -> Subject:
    wanted = Assignment("t1", definition=definition, definition_arn="x/web:12", overrides=overrides)
    return Subject(Task("t1", (ContainerPlan("web"),)), wanted, Report("t1", "PENDING"), OWNER)


def test_a_container_that_is_not_there_yet() -> None:
    definition = {"containerDefinitions": [{"name": "web", "image": "nginx:1", "cpu": 10}]}
    told = task_document(subject(definition, containerOverrides=[{"name": "web", "memory": 5}]), {"web": None})
    assert (told["Family"], told["Revision"], "Limits" in told) == ("web", "12", False)
    (container,) = told["Containers"]
    assert container["KnownStatus"] == "NONE" and "DockerId" not in container
    assert container["Limits"] == {"CPU": 10, "Memory": 5}


def test_health_and_restarts() -> None:
    defined = [{"name": "web", "image": "i", "restartPolicy": {"enabled": True}}, {"name": "side", "image": "i"}]
    reports = (ContainerReport("web", "RUNNING", health_status="HEALTHY", restart_count=0),)
    told = replace(subject({"containerDefinitions": defined}), report=Report("t1", "RUNNING", reports))
    web, side = (container_document(told, name, None) for name in ("web", "side"))
    assert (web["Health"], web["RestartCount"]) == ({"status": "HEALTHY"}, 0)
    assert "Health" not in side and "RestartCount" not in side


def test_tags_and_the_service() -> None:
    wanted = Assignment("t1", group="service:shop", tags={"a": "b"})
    told = task_document(Subject(Task("t1"), wanted, Report("t1", "PENDING"), OWNER), {})
    assert told["ServiceName"] == "shop"
    assert tags_document(wanted, {"c": "d"}) == {
        "TaskTags": [{"Key": "a", "Value": "b"}],
        "ContainerInstanceTags": [{"Key": "c", "Value": "d"}],
    }
    assert tags_document(None, {}) == {}


def test_a_network_of_the_tasks_own() -> None:
    attached = Attached("n", "10.0.2.106", "fd00::5", 24, "10.0.2.1", "0e:9e:32:c7:48:85")
    found = Inspected("c1", "n", {}, "running", network_mode="bridge", networks=(attached,))
    told = container_document(subject({"networkMode": "awsvpc"}), "web", found)
    assert told["Networks"] == [
        {
            "NetworkMode": "awsvpc",
            "IPv4Addresses": ["10.0.2.106"],
            "IPv6Addresses": ["fd00::5"],
            "AttachmentIndex": 0,
            "MACAddress": "0e:9e:32:c7:48:85",
            "IPv4SubnetCIDRBlock": "10.0.2.0/24",
            "SubnetGatewayIpv4Address": "10.0.2.1/24",
        }
    ]


def test_an_image_has_the_name_that_its_definition_gives_it() -> None:
    found = Inspected("c1", "n", {}, "running", image="web@sha256:0af3")
    defined = {"containerDefinitions": [{"name": "web", "image": "web:7"}]}
    assert container_document(subject(defined), "web", found)["Image"] == "web:7"
    assert container_document(subject({}), "web", found)["Image"] == "web@sha256:0af3"


def test_rates_come_from_two_samples() -> None:
    before = {"read": "2026-01-02T03:04:05.5Z", "cpu_stats": {"a": 1}, "networks": {"eth0": {"rx_bytes": 100}}}
    sample = {"read": "2026-01-02T03:04:07.500000001Z", "cpu_stats": {"a": 2}, "networks": {"eth0": {"rx_bytes": 300}}}
    told = stats_document(sample, before)
    assert told["network_rate_stats"] == {"rx_bytes_per_sec": pytest.approx(100.0), "tx_bytes_per_sec": 0}
    assert (told["precpu_stats"], told["preread"]) == ({"a": 1}, before["read"])
    assert stats_document(sample, None) == sample == stats_document(sample, sample)


async def opened(folder: Path, rules: Configuration | None = None) -> tuple[Rig, Metadata, int]:
    rig = Rig(folder, MemoryEngine(), rules or Configuration())
    await rig.start()
    metadata = Metadata(folder, rig.around, rig.worker)
    return rig, metadata, await metadata.open()


async def ended(rig: Rig, metadata: Metadata) -> None:
    await metadata.close()
    await rig.crash()


async def test_who_shares_a_network_comes_from_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the containers of a task in network mode awsvpc do."""
    monkeypatch.setattr(serving, "FRESH_SECONDS", 0.0)
    rig, metadata, port = await opened(tmp_path)
    rig.assign(assignment("t1"))
    await rig.report("t1", "RUNNING")
    endpoint = rig.around.endpoint
    assert endpoint is not None
    url = f"http://127.0.0.1:{port}/v4/{endpoint.id_of('t1', 'web')}"
    pause = await rig.engine.create("pause", {"Image": "image", "Cmd": ["sleep", "9"]})
    await rig.engine.start(pause)
    box = rig.box("t1")
    box.body = {**box.body, "HostConfig": {"NetworkMode": f"container:{pause}"}}
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as refused:
            assert refused.status == 404
        rig.engine.box("pause").address = "127.0.0.1"
        async with session.get(f"{url}/") as answered:
            assert (await answered.json())["Networks"] == [{"NetworkMode": "bridge", "IPv4Addresses": ["127.0.0.1"]}]
    await ended(rig, metadata)


async def test_it_follows_the_bridge_and_waits_for_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "BIND_RETRY_SECONDS", 0.01)
    rig, metadata, port = await opened(tmp_path)
    running = asyncio.create_task(metadata.run())
    assert rig.around.endpoint is not None
    async with aiohttp.ClientSession() as session:
        blocker = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.3", port)
        for address, gone in (("127.0.0.2", None), ("127.0.0.3", "127.0.0.2")):
            rig.around.endpoint = replace(rig.around.endpoint, bridge_address=address)
            rig.around.endpoint_changed.set()
            async with asyncio.timeout(10):
                while await status(session, port, address) != 404:
                    if address == "127.0.0.3":
                        blocker.close()
            assert await status(session, port) == 404
            assert gone is None or await status(session, port, gone) is None
    running.cancel()
    await ended(rig, metadata)


@pytest.mark.parametrize("damage", [None, b"", b"{}", b'{"secret": "xy", "port": 1}', b'{"secret": "00", "port": "x"}'])
async def test_port_and_paths_are_kept_unless_damaged(tmp_path: Path, damage: bytes | None) -> None:
    rig, metadata, _ = await opened(tmp_path)
    first = rig.around.endpoint
    await ended(rig, metadata)
    kept = tmp_path / "metadata"
    assert kept.stat().st_mode & 0o077 == 0
    if damage is not None:
        kept.write_bytes(damage)
    rig, metadata, again = await opened(tmp_path)
    assert (first == rig.around.endpoint) == (damage is None)
    assert json.loads(kept.read_text())["port"] == again
    await ended(rig, metadata)


async def test_one_address_has_no_more_than_its_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "CONNECTIONS_PER_ADDRESS_MAX", 2)
    rig, metadata, port = await opened(tmp_path)
    open_ones = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://127.0.0.1:{port}/v4/x")
        open_ones[0][1].close()
        async with asyncio.timeout(10):
            while await status(session, port) != 404:
                pass
    open_ones[1][1].close()
    await ended(rig, metadata)


async def status(session: aiohttp.ClientSession, port: int, address: str = "127.0.0.1") -> int | None:
    """None if nobody answers."""
    try:
        async with session.get(f"http://{address}:{port}/v4/x", headers={"Connection": "close"}) as response:
            return response.status
    except aiohttp.ClientError:
        return None
