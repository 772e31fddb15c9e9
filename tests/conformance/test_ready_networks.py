"""Networks that are kept ready, on a real engine: what tasks on them see of each other, before and after."""

import asyncio
import json
import os
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.definition.labels import container_name
from shoal_agent.definition.sandbox import ENDED
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.engine.port import CannotCreate, CannotStart, Engine
from shoal_agent.metadata.endpoint import Metadata
from shoal_agent.networks import ready
from shoal_agent.networks.keeper import keeper_labels
from shoal_agent.networks.namespaces import KernelNamespaces

from tests.conformance.test_engine import FOREVER, Name, body, labels, name, runtime  # noqa: F401 - fixtures
from tests.conformance.test_sandbox import container, inside, run, serve, stop
from tests.ground.engine import Engine as RealEngine
from tests.ground.waiting import wait_until
from tests.unit.agent.rig import CLUSTER, Rig

LIMIT = 2
FILES = ["hosts", *(pytest.param(file, marks=pytest.mark.slow) for file in ("hostname", "resolv.conf"))]
ADDRESS = "ip -4 -o address show eth0 | sed 's/.*inet //; s,/.*,,'"


@pytest.fixture
async def rig(
    tmp_path: Path, engine: RealEngine, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    monkeypatch.setattr(ready, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(ready, "LISTING_SECONDS", 0.5)
    rules = Configuration(ready_networks=LIMIT, dead_container_keep_seconds=0.0)
    docker = DockerEngine(engine.host)
    made = Rig(tmp_path, docker, rules, instance=uuid.uuid4().hex, namespaces=KernelNamespaces())
    await made.start()
    yield made
    await made.crash()
    for mine in (made.around.owner.labels, keeper_labels(made.around.owner)):
        for left in await docker.containers(mine):
            await docker.remove(left.container_id)
    await docker.close()


async def until(true: Callable[[], Awaitable[bool]]) -> bool:
    return await wait_until(true, timeout_seconds=60.0)


async def keepers(rig: Rig) -> dict[str, str]:
    """Their states."""
    found = await rig.engine.containers(keeper_labels(rig.around.owner))
    return {each.container_id: each.state for each in found}


async def network(rig: Rig, task: str) -> str:
    """What the task's container joined; "" if it has a network of its own."""
    found = await rig.engine.inspect(container_name(CLUSTER, task, "web"))
    return str(found.network_mode.partition(":")[2])


async def warm(rig: Rig) -> set[str]:
    """Returns those that are kept ready once a first task has asked."""
    await end(rig, await begin(rig))

    async def all_run() -> bool:
        return list((await keepers(rig)).values()) == ["running"] * LIMIT

    await until(all_run)
    return set(await keepers(rig))


async def only(rig: Rig, *expected: str) -> None:
    """Returns when these alone are kept."""

    async def are_kept() -> bool:
        return set(await keepers(rig)) == set(expected)

    await until(are_kept)


async def begin(rig: Rig, script: str = "trap exit TERM; sleep 1000 & wait", **more: Any) -> str:
    task = await run(rig, container("web", script, **more))
    await rig.report(task, "RUNNING")
    return task


async def end(rig: Rig, task: str) -> None:
    stop(rig, task)
    await rig.report(task, "STOPPED")


async def next_on(rig: Rig, wanted: str) -> str | None:
    """The next task that joins that network, which then runs; None if the network goes first."""
    while wanted in await keepers(rig):
        task = await begin(rig)
        if await network(rig, task) == wanted:
            return task
        await end(rig, task)
    return None


@pytest.mark.engine
async def test_two_tasks_have_each_its_own_network(rig: Rig, engine: RealEngine) -> None:
    kept = await warm(rig)
    server = await begin(rig, serve("secret", port=8080))
    other = await begin(rig)
    assert {await network(rig, server), await network(rig, other)} == kept
    addresses = [await asyncio.to_thread(inside, engine, task, "web", ADDRESS) for task in (server, other)]
    assert addresses[0] and addresses[1] and addresses[0] != addresses[1]

    def fetch(host: str) -> str:
        return inside(engine, other, "web", f"wget -qO - http://{host}:8080/ 2>&1; true")

    async def answers() -> bool:
        return await asyncio.to_thread(fetch, addresses[0]) == "secret"

    # By its address, as any two containers of the bridge do, and not on the loopback interface.
    await until(answers)
    assert "refused" in await asyncio.to_thread(fetch, "127.0.0.1")


@pytest.mark.engine
async def test_one_that_is_as_it_was_is_used_again(rig: Rig, engine: RealEngine) -> None:
    """Also after somebody was spoken to, who is gone: the next one knows nothing of that."""
    kept = await warm(rig)
    other = await begin(rig)
    spoken_to = await asyncio.to_thread(inside, engine, other, "web", ADDRESS)
    task = await begin(rig, f"ping -c 1 {spoken_to}; trap exit TERM; sleep 1000 & wait")
    joined = await network(rig, task)
    assert joined in kept

    async def knows(task: str) -> bool:
        return spoken_to in await asyncio.to_thread(inside, engine, task, "web", "cat /proc/net/arp")

    await until(lambda: knows(task))
    await end(rig, other)
    await end(rig, task)
    later = await next_on(rig, joined)
    assert later is not None and not await knows(later)


@pytest.mark.engine
@pytest.mark.parametrize("file", FILES)
async def test_one_whose_files_were_written_to_is_not(rig: Rig, file: str) -> None:
    kept = await warm(rig)
    task = await begin(rig, f"echo '# mine' >> /etc/{file}; trap exit TERM; sleep 1000 & wait")
    joined = await network(rig, task)
    assert joined in kept
    await end(rig, task)
    assert await next_on(rig, joined) is None


@pytest.mark.engine
async def test_one_with_a_connection_that_has_just_ended_rests(
    rig: Rig, engine: RealEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The side that closes first keeps the connection in TIME_WAIT: of a minute, of which none is waited for here."""
    monkeypatch.setattr(ready, "REST_SECONDS", 1.0)
    await warm(rig)
    talk = "httpd -f -p 99 & sleep 0.5; wget -qO /dev/null http://127.0.0.1:99/; kill $!"
    task = await begin(rig, f"{talk}; cat /proc/net/sockstat > /seen; trap exit TERM; sleep 1000 & wait")
    joined = await network(rig, task)
    seen = "while [ ! -s /seen ]; do sleep 0.1; done; cat /seen"
    assert " tw 1 " in await asyncio.to_thread(inside, engine, task, "web", seen)
    await end(rig, task)
    assert await next_on(rig, joined) is None


@pytest.mark.engine
async def test_one_with_a_process_left_in_it_is_not(
    rig: Rig, engine: RealEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it came there."""
    monkeypatch.setattr(ready, "REST_SECONDS", 1.0)
    kept = await warm(rig)
    task = await begin(rig)
    joined = await network(rig, task)
    assert joined in kept
    pid = (await rig.engine.inspect(joined)).pid
    intruder = await asyncio.create_subprocess_exec("nsenter", f"--net=/proc/{pid}/ns/net", "sleep", "1000")
    try:
        await end(rig, task)
        assert await next_on(rig, joined) is None
    finally:
        intruder.kill()
        await intruder.wait()


@pytest.mark.engine
async def test_one_with_a_socket_that_is_somebodys_elsewhere_is_not(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process handed it to this one, and ended."""
    monkeypatch.setattr(ready, "REST_SECONDS", 1.0)
    kept = await warm(rig)
    task = await begin(rig)
    joined = await network(rig, task)
    assert joined in kept
    enter = f"--net=/proc/{(await rig.engine.inspect(joined)).pid}/ns/net"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        script = (
            f"import socket; listener = socket.create_server(('127.0.0.1', 99)); "
            f"socket.send_fds(socket.socket(fileno={theirs.fileno()}), [b'x'], [listener.fileno()])"
        )
        pass_on = [sys.executable, "-c", script]
        process = await asyncio.create_subprocess_exec("nsenter", enter, *pass_on, pass_fds=[theirs.fileno()])
        assert await process.wait() == 0
        _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
    try:
        await end(rig, task)
        assert await next_on(rig, joined) is None
    finally:
        os.close(listener)


@pytest.mark.engine
async def test_what_a_task_sees_of_its_network(rig: Rig, engine: RealEngine, tmp_path: Path) -> None:
    metadata = Metadata(tmp_path, rig.around, rig.worker)
    await metadata.open()
    serving = asyncio.create_task(metadata.run())
    rig.around.engine_trouble.set()
    await rig.until(lambda: rig.around.endpoint is not None and rig.around.endpoint.bridge_address)
    try:
        await warm(rig)
        task, other = await begin(rig), await begin(rig)
        assert await network(rig, task) and await network(rig, other)

        def ask(path: str, of: str = task, uri: str = "$ECS_CONTAINER_METADATA_URI_V4") -> str:
            return inside(engine, of, "web", f'wget -qO - "{uri}{path}" 2>&1; true')

        address = await asyncio.to_thread(inside, engine, task, "web", ADDRESS)
        told = json.loads(await asyncio.to_thread(ask, ""))
        assert told["Networks"] == [{"NetworkMode": "bridge", "IPv4Addresses": [address]}]
        stats = json.loads(await asyncio.to_thread(ask, "/stats"))
        assert 0 < stats["networks"]["eth0"]["rx_bytes"] < 5000
        uri = await asyncio.to_thread(inside, engine, task, "web", "echo $ECS_CONTAINER_METADATA_URI_V4")
        assert "404" in await asyncio.to_thread(ask, "", other, uri)
        names = await asyncio.to_thread(inside, engine, task, "web", "hostname; cat /etc/hosts; cat /etc/resolv.conf")
        assert f"{address}\t{names.split()[0]}" in names and "nameserver" in names
    finally:
        serving.cancel()
        await metadata.close()


@pytest.mark.engine
async def test_an_agent_that_was_started_anew_leaves_running_tasks_their_networks(rig: Rig) -> None:
    kept = await warm(rig)
    task = await begin(rig)
    own = await network(rig, task)
    assert own in kept
    await rig.crash()
    await rig.start()
    await only(rig, own)
    lane = rig.worker.lane(task)
    assert lane is not None and lane.report().last_status == "RUNNING"
    await end(rig, task)
    await only(rig)


@pytest.mark.engine
async def test_a_task_whose_network_ends_is_over(rig: Rig) -> None:
    await warm(rig)
    task = await begin(rig)
    await rig.engine.remove(await network(rig, task))
    over = await rig.report(task, "STOPPED")
    assert (over.stop_code, over.stopped_reason) == ("InfrastructureHealth", ENDED)


# What the agent relies on of an engine.


@pytest.mark.parametrize(
    "brings",
    [
        {"Hostname": "here"},
        {"ExposedPorts": {"80/tcp": {}}},
        {"HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}}},
        {"HostConfig": {"Dns": ["192.0.2.53"]}},
        {"HostConfig": {"ExtraHosts": ["far:192.0.2.7"]}},
        {"HostConfig": {"Links": ["some:other"]}},
    ],
)
async def test_what_no_container_brings_into_anothers_network(
    runtime: Engine,  # noqa: F811
    labels: dict[str, str],  # noqa: F811
    name: Name,  # noqa: F811
    brings: dict[str, Any],
) -> None:
    keeper = await runtime.create(name(), body(labels, FOREVER))
    host = {**brings.get("HostConfig", {}), "NetworkMode": f"container:{keeper}"}
    with pytest.raises(CannotCreate, match=r"(?i)conflicting options"):
        await runtime.create(name(), body(labels, FOREVER, **{**brings, "HostConfig": host}))


async def test_a_container_joins_only_what_runs(
    runtime: Engine,  # noqa: F811
    labels: dict[str, str],  # noqa: F811
    name: Name,  # noqa: F811
) -> None:
    keeper = await runtime.create(name(), body(labels, FOREVER))
    joined = await runtime.create(name(), body(labels, FOREVER, HostConfig={"NetworkMode": f"container:{keeper}"}))
    with pytest.raises(CannotStart, match="non running container"):
        await runtime.start(joined)
    await runtime.start(keeper)
    await runtime.start(joined)
    found = await runtime.inspect(joined)
    assert (found.state, found.network_mode, found.ipv4_address) == ("running", f"container:{keeper}", None)
