"""What tasks use, measured on a real engine against what they are known to use."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.metrics.sampler import Sampler
from shoal_agent.metrics.usage import TaskUsage
from shoal_agent.task import Assignment

from tests.ground.engine import Engine
from tests.ground.images import BUSYBOX
from tests.unit.agent.rig import Rig

pytestmark = pytest.mark.engine

MIB = 1024 * 1024
PATIENCE_SECONDS = 60.0


@pytest.fixture
async def rig(tmp_path: Path, engine: Engine, busybox_image: str) -> AsyncIterator[Rig]:
    made = Rig(tmp_path, DockerEngine(engine.host), Configuration(), instance=uuid.uuid4().hex)
    await made.start()
    yield made
    for left in await made.engine.containers(made.around.owner.labels):
        await made.engine.remove(left.container_id)
    await made.crash()
    made.around.cgroups.keep_only([])
    await made.engine.close()


def container(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": BUSYBOX, "command": ["sh", "-c", script], "stopTimeout": 2, "memory": 128, **more}


async def run(rig: Rig, *containers: dict[str, Any], **task: Any) -> str:
    task_id = uuid.uuid4().hex
    rig.assign(Assignment(task_id, definition={"family": "t", "containerDefinitions": containers, **task}))
    await rig.report(task_id, "RUNNING")
    return task_id


async def usage(sampler: Sampler, task_id: str, seconds: float = 0.0) -> TaskUsage:
    """Of the time between now and then."""
    if seconds:
        await sampler.take()
        await asyncio.sleep(seconds)  # what is measured is a share of this time
    await sampler.take()
    assert sampler.newest is not None
    (found,) = (each for each in sampler.newest.tasks if each.task_id == task_id)
    return found


def cpu_seconds(engine: Engine, *names: str) -> float:
    """As the kernel accounts it to the processes, which is another place than what is measured."""
    total = 0
    for name in names:
        for pid in engine.docker("top", name, "-o", "pid").split()[1:]:
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(word) for word in words[11:15])
    return total / 100


async def test_cpu_is_what_the_containers_burned(rig: Rig, engine: Engine) -> None:
    """A quarter of a core, held to by the kernel's quota; whatever it then gets on a busy machine, that is measured."""
    burn = "while :; do :; done"
    task_id = await run(rig, container("one", burn), container("two", "sleep 1000"), cpu="256", memory="256")
    name = rig.name(task_id, "one")
    sampler = Sampler(rig.around, rig.worker)
    await sampler.take()
    began, before = time.monotonic(), cpu_seconds(engine, name)
    await asyncio.sleep(3)
    burned, elapsed = cpu_seconds(engine, name) - before, time.monotonic() - began
    found = await usage(sampler, task_id)
    assert found.cpu is not None
    assert found.cpu == pytest.approx(burned / elapsed * 1024, rel=0.2)
    assert 20 < found.cpu < 256 * 1.15
    one, two = sorted(found.containers, key=lambda each: each.name)[-2:]
    assert (one.name, two.name) == ("one", "two")
    assert one.cpu is not None and two.cpu is not None and two.cpu < one.cpu / 10


async def test_memory_is_what_is_held_without_idle_cache(rig: Rig) -> None:
    """40 MiB are held by a program; a file of 30 MiB that was only written once is cache, which nobody holds."""
    hold = f"(head -c {40 * MIB} /dev/zero | tail -c {40 * MIB} | (head -c 1 >/dev/null; touch /held; sleep 1000)) &"
    script = f"{hold} while [ ! -e /held ]; do sleep 0.1; done; head -c {30 * MIB} /dev/zero > /file; sync; touch /done"
    task_id = await run(rig, container("app", f"{script}; sleep 1000"))
    sampler = Sampler(rig.around, rig.worker)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = await usage(sampler, task_id)
            if found.memory_bytes is not None and found.memory_bytes > 38 * MIB:
                break
            await asyncio.sleep(0.2)
    await asyncio.sleep(1)
    found = await usage(sampler, task_id)
    assert found.memory_bytes is not None
    assert 38 * MIB < found.memory_bytes < 60 * MIB


async def test_network_is_what_was_received(rig: Rig) -> None:
    """One container of the task sends 20 MiB to another task, once; both sides see it."""
    serve = f"mkdir /www; head -c {20 * MIB} /dev/zero > /www/data; httpd -f -p 8080 -h /www"
    server = await run(rig, container("server", serve))
    address = (await rig.engine.inspect(rig.name(server, "server"))).ipv4_address
    fetch = f"until wget -q -O /dev/null http://{address}:8080/data; do sleep 0.2; done; sleep 1000"
    sampler = Sampler(rig.around, rig.worker)
    client = await run(rig, container("client", f"while [ ! -e /go ]; do sleep 0.1; done; {fetch}"))
    idle = await usage(sampler, client, 0.2)
    assert idle.received_per_second is not None and idle.received_per_second < MIB
    began = time.monotonic()
    await rig.engine.execute(rig.name(client, "client"), _command("touch", "/go"))
    received = sent = 0.0
    async with asyncio.timeout(PATIENCE_SECONDS):
        at = began
        while received < 20 * MIB:
            await asyncio.sleep(0.5)
            here = await usage(sampler, client)
            now = time.monotonic()
            received += (here.received_per_second or 0) * (now - at)
            sent += here.sent_per_second or 0
            at = now
    assert received < 26 * MIB  # headers of the packets, and nothing twice
    assert sent > 0


async def test_a_new_agent_starts_without_a_spike(rig: Rig) -> None:
    """Its first sample knows no rate; the second one's is of the time between, not of the container's whole life."""
    task_id = await run(rig, container("app", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 1000"))
    await usage(Sampler(rig.around, rig.worker), task_id, 1.0)
    await rig.crash()
    await rig.start()
    sampler = Sampler(rig.around, rig.worker)
    first = await usage(sampler, task_id)
    assert first.cpu is None and first.received_per_second is None and first.storage is None
    assert first.memory_bytes
    second = await usage(sampler, task_id, 1.0)
    assert second.cpu is not None and 0 <= second.cpu <= 1.3 * 1024


async def test_the_host_is_measured(rig: Rig) -> None:
    sampler = Sampler(rig.around, rig.worker)
    await sampler.take()
    await asyncio.sleep(0.5)
    await sampler.take()
    assert sampler.newest is not None
    host = sampler.newest.host
    assert host.cpu_percent is not None and 0 <= host.cpu_percent <= 100
    assert host.memory is not None and 0 < host.memory.used_bytes < host.memory.total_bytes
    assert host.disk_used_bytes and host.disk_total_bytes and host.disk_used_bytes < host.disk_total_bytes
    assert host.received_per_second is not None and host.storage is not None


def _command(*words: str) -> Any:
    from shoal_agent.engine.port import Command

    return Command(words)
