"""What the containers of a task share, on a real engine: network, processes, memory between them."""

import asyncio
import json
import urllib.request
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.definition.labels import container_name
from shoal_agent.definition.sandbox import PAUSE
from shoal_agent.engine import pause_image
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.logs.source import Unreadable, Wanted, find
from shoal_agent.task import Assignment, ContainerReport, Report

from tests.ground.engine import Engine
from tests.ground.images import BUSYBOX
from tests.ground.waiting import wait_until
from tests.unit.agent.rig import CLUSTER, Rig

pytestmark = pytest.mark.engine

SLEEP = "exec sleep 1000"


@pytest.fixture
async def rig(tmp_path: Path, engine: Engine, busybox_image: str) -> AsyncIterator[Rig]:
    made = Rig(tmp_path, DockerEngine(engine.host), Configuration(), instance=uuid.uuid4().hex)
    await made.start()
    yield made
    for left in await made.engine.containers(made.around.owner.labels):
        await made.engine.remove(left.container_id)
    await made.crash()
    await made.engine.close()


def container(name: str, script: str = SLEEP, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": BUSYBOX, "memory": 32, "command": ["sh", "-c", script], "stopTimeout": 1, **more}


def serve(text: str, port: int = 80) -> str:
    return f"mkdir -p /www; echo {text} > /www/index.html; exec httpd -f -p {port} -h /www"


async def run(rig: Rig, *containers: dict[str, Any], **task: Any) -> str:
    task_id = uuid.uuid4().hex
    rig.assign(Assignment(task_id, definition={"family": "t", "containerDefinitions": containers, **task}))
    return task_id


def stop(rig: Rig, task_id: str) -> None:
    rig.assign(Assignment(task_id, "STOPPED", stop_code="UserInitiated", stopped_reason="enough"))


def inside(engine: Engine, task_id: str, name: str, script: str) -> str:
    return engine.docker("exec", container_name(CLUSTER, task_id, name), "sh", "-c", script)


def of(report: Report, name: str) -> ContainerReport:
    return next(container for container in report.containers if container.name == name)


async def fetch(port: int) -> str:
    """Once the server listens: that its container runs says nothing of it."""

    def get() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            return str(answer.read().decode().strip())

    return await wait_until(lambda: asyncio.to_thread(get))


async def test_containers_of_an_awsvpc_task_meet_on_localhost(rig: Rig, engine: Engine) -> None:
    """Two such tasks with the same port live on one host; each port shows at the container that maps it."""
    mapped: dict[str, Any] = {"portMappings": [{"containerPort": 80, "hostPort": 80}]}
    tasks = [
        await run(rig, container("web", serve(f"hello{n}"), **mapped), container("side"), networkMode="awsvpc")
        for n in range(2)
    ]
    reports = [await rig.report(task, "RUNNING") for task in tasks]
    ports = [of(report, "web").ports for report in reports]
    assert [[port.container_port for port in each] for each in ports] == [[80], [80]]
    assert [of(report, "side").ports for report in reports] == [(), ()]
    for number, task in enumerate(tasks):
        assert await fetch(ports[number][0].host_port) == f"hello{number}"
        assert inside(engine, task, "side", "wget -qO - http://127.0.0.1:80/") == f"hello{number}"
    addresses = [{container.ipv4_address for container in report.containers} for report in reports]
    assert len(addresses[0]) == len(addresses[1]) == 1 and None not in addresses[0] | addresses[1]
    assert addresses[0] != addresses[1]
    (own,) = addresses[0]
    assert str(own) in inside(engine, tasks[0], "side", "ip -4 address show eth0")
    (other,) = addresses[1]
    assert inside(engine, tasks[0], "side", f"wget -qO - http://{other}/") == "hello1"


async def test_names_that_a_task_gives_hold_in_each_of_its_containers(rig: Rig, engine: Engine) -> None:
    hosts: dict[str, Any] = {
        "extraHosts": [{"hostname": "far", "ipAddress": "192.0.2.7"}],
        "dnsServers": ["192.0.2.53"],
    }
    first = container("web", hostname="here", **hosts)
    task = await run(rig, first, container("side"), networkMode="awsvpc")
    await rig.report(task, "RUNNING")
    for name in ("web", "side"):
        assert inside(engine, task, name, "hostname") == "here"
        assert "192.0.2.7\tfar" in inside(engine, task, name, "cat /etc/hosts")
        assert "192.0.2.53" in inside(engine, task, name, "cat /etc/resolv.conf")


async def test_pid_mode_task_shows_the_others_processes(rig: Rig, engine: Engine) -> None:
    task = await run(rig, container("web", "exec sleep 4321"), container("side"), pidMode="task")
    await rig.report(task, "RUNNING")
    assert "sleep 4321" in inside(engine, task, "side", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")


async def test_nobodys_children_are_reaped(rig: Rig, engine: Engine) -> None:
    task = await run(rig, container("web"), container("side"), pidMode="task")
    await rig.report(task, "RUNNING")
    inside(engine, task, "side", "(sh -c 'sleep 0.1 & exec true') ; sleep 0.3")
    states = inside(engine, task, "side", "cat /proc/[0-9]*/stat 2>/dev/null | cut -d')' -f2 | cut -c2")
    assert "Z" not in states and "S" in states


async def test_ipc_mode_task_shares_memory(rig: Rig, engine: Engine) -> None:
    big: dict[str, Any] = {"linuxParameters": {"sharedMemorySize": 48}}
    task = await run(
        rig, container("web", f"echo word > /dev/shm/it; {SLEEP}", **big), container("side"), ipcMode="task"
    )
    await rig.report(task, "RUNNING")
    script = "while [ ! -s /dev/shm/it ]; do sleep 0.05; done; cat /dev/shm/it; df -m /dev/shm | tail -n 1"
    shown = inside(engine, task, "side", script).split()
    assert shown[0] == "word" and "48" in shown


async def test_a_container_alone_has_its_own(rig: Rig, engine: Engine) -> None:
    task = await run(rig, container("web", "exec sleep 4321"), container("side"))
    await rig.report(task, "RUNNING")
    assert "4321" not in inside(engine, task, "side", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert PAUSE not in json.dumps([box.labels["shoal.container"] for box in await boxes(rig)])


async def boxes(rig: Rig) -> list[Any]:
    return list(await rig.engine.containers(rig.around.owner.labels))


async def test_a_task_is_over_when_its_sandbox_is(rig: Rig, engine: Engine) -> None:
    task = await run(rig, container("web"), networkMode="awsvpc")
    await rig.report(task, "RUNNING")
    engine.docker("kill", container_name(CLUSTER, task, PAUSE))
    over = await rig.report(task, "STOPPED")
    assert "network and namespaces" in (over.stopped_reason or "")
    assert [container.name for container in over.containers] == ["web"]


async def test_nobody_gets_into_the_sandbox_or_reads_its_output(rig: Rig) -> None:
    task_id = await run(rig, container("web"), networkMode="awsvpc")
    await rig.report(task_id, "RUNNING")
    with pytest.raises(Unreadable, match="definition"):
        await find(rig.around, rig.worker, task_id, Wanted(PAUSE))
    lane = rig.worker.lane(task_id)
    assert lane is not None and lane.is_internal(PAUSE) and not lane.is_internal("web")


async def test_nothing_is_left_of_a_task_that_was_stopped(rig: Rig) -> None:
    task = await run(rig, container("web"), networkMode="awsvpc", pidMode="task", ipcMode="task")
    await rig.report(task, "RUNNING")
    stop(rig, task)
    over = await rig.report(task, "STOPPED")
    assert (over.stop_code, over.stopped_reason) == ("UserInitiated", "enough")
    states = {box.labels["shoal.container"]: (await rig.engine.inspect(box.container_id)) for box in await boxes(rig)}
    assert states[PAUSE].exit_code == 0 and states[PAUSE].state == "exited"


async def test_a_new_agent_tells_the_same_of_a_task_it_finds(rig: Rig, tmp_path: Path) -> None:
    mapped: dict[str, Any] = {"portMappings": [{"containerPort": 80}]}
    task = await run(rig, container("web", **mapped), container("side"), networkMode="awsvpc")
    before = await rig.report(task, "RUNNING")
    await rig.crash()
    (tmp_path / "journal").unlink(missing_ok=True)
    await rig.start()
    lane = rig.worker.lane(task)
    assert lane is not None
    await rig.until(lambda: told(lane.report()) == told(before))


def told(report: Report) -> list[object]:
    return [(it.name, it.ports, it.ipv4_address) for it in report.containers]


async def test_the_image_comes_back(rig: Rig, engine: Engine) -> None:
    first = await run(rig, container("web"), ipcMode="task")
    await rig.report(first, "RUNNING")
    stop(rig, first)
    await rig.report(first, "STOPPED")
    for box in await boxes(rig):
        await rig.engine.remove(box.container_id)
    engine.docker("rmi", "--force", pause_image.IMAGE)
    tasks = [await run(rig, container("web"), ipcMode="task") for _ in range(3)]
    for task in tasks:
        report = await rig.report(task, "RUNNING")
        assert report.pull_started_at is None
