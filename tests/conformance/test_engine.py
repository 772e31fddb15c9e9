"""What the agent relies on of an engine, asked of the one in memory and of a real one alike."""

import asyncio
import ipaddress
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from shoal_agent.engine import pause_image
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.engine.port import (
    CannotPull,
    CannotStart,
    ContainerGone,
    Engine,
    Event,
    ImageInUse,
    ImageNotFound,
    NameConflict,
)

from tests.conformance.sequences import HOG
from tests.fakes.memory_engine import MemoryEngine

Name = Callable[[], str]
IMAGE = "busybox:shoal-test"
PATIENCE_SECONDS = 30.0
FOREVER = ["sleep", "1000"]


@pytest.fixture(params=["memory", pytest.param("docker", marks=pytest.mark.engine)])
async def runtime(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    if request.param == "memory":
        made: Engine = MemoryEngine(images=(IMAGE,))
    else:
        request.getfixturevalue("busybox_image")
        made = DockerEngine(request.getfixturevalue("docker_host"))
    yield made
    await made.close()


@pytest.fixture
async def labels(runtime: Engine) -> AsyncIterator[dict[str, str]]:
    """Of this test alone; whatever carries them is gone afterwards."""
    mine = {"shoal.cluster": "conformance", "shoal.instance": uuid.uuid4().hex}
    yield mine
    for left in await runtime.containers(mine):
        await runtime.remove(left.container_id)


@pytest.fixture
def name() -> Name:
    return lambda: f"conformance.{uuid.uuid4().hex}.web"


def body(labels: dict[str, str], command: list[str], **more: Any) -> dict[str, Any]:
    return {"Image": IMAGE, "Cmd": command, "Labels": labels, "StopTimeout": 5, **more}


async def ended(runtime: Engine, container: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await runtime.inspect(container)).state != "exited":  # noqa: ASYNC110 - the port has no wait
            await asyncio.sleep(0.02)


async def test_it_answers_and_says_what_it_is(runtime: Engine) -> None:
    await runtime.ping()
    facts = await runtime.facts()
    assert facts.version and facts.cpus > 0 and facts.memory_bytes > 0


async def test_a_volume_is_there_or_not(runtime: Engine, name: Name) -> None:
    assert not await runtime.has_volume(name())


async def test_an_image_that_is_not_here_has_no_digest(runtime: Engine) -> None:
    assert await runtime.image_digest(IMAGE) is None  # it was made on this host
    with pytest.raises(ImageNotFound):
        await runtime.image_digest("shoal-test/nowhere:1")


async def test_a_life(runtime: Engine, labels: dict[str, str], name: Name) -> None:
    called = name()
    container = await runtime.create(called, body(labels, FOREVER))
    made = await runtime.inspect(container)
    assert (made.state, made.name, made.exit_code, made.started_at) == ("created", called, None, None)
    assert labels.items() <= made.labels.items() and made.stop_timeout_seconds == 5
    await runtime.start(container)
    running = await runtime.inspect(called)
    assert running.state == "running" and running.container_id == container
    assert running.started_at is not None and abs(running.started_at - time.time() * 1000) < 60_000
    await runtime.stop(container, 0)
    over = await runtime.inspect(container)
    assert over.state == "exited" and over.exit_code in (137, 143)
    assert over.finished_at is not None and over.finished_at >= running.started_at
    await runtime.remove(container)
    with pytest.raises(ContainerGone):
        await runtime.inspect(container)


async def test_what_it_is_made_of_where_it_is_reached_and_what_it_uses(
    runtime: Engine, labels: dict[str, str], name: Name
) -> None:
    container = await runtime.create(name(), body(labels, FOREVER, HostConfig={"NetworkMode": "bridge"}))
    await runtime.start(container)
    found = await runtime.inspect(container)
    assert (found.image, found.network_mode) == (IMAGE, "bridge") and found.image_id.startswith("sha256:")
    assert found.created_at is not None and abs(found.created_at - time.time() * 1000) < 60_000
    (network,) = found.networks
    bridge = (await runtime.facts()).bridge_address
    assert network.address and bridge and network.address.split(".")[:2] == bridge.split(".")[:2]
    sample = await runtime.stats(container)
    assert sample["id"] == container and "cpu_usage" in sample["cpu_stats"] and sample["read"]
    with pytest.raises(ContainerGone):
        await runtime.stats("nobody")


async def test_starting_twice_is_starting_once(runtime: Engine, labels: dict[str, str], name: Name) -> None:
    container = await runtime.create(name(), body(labels, FOREVER))
    await runtime.start(container)
    before = await runtime.inspect(container)
    await runtime.start(container)
    assert (await runtime.inspect(container)).started_at == before.started_at


@pytest.mark.parametrize("code", [0, 3, 255])
async def test_the_exit_code_is_the_programs(runtime: Engine, labels: dict[str, str], name: Name, code: int) -> None:
    container = await runtime.create(name(), body(labels, ["sh", "-c", f"exit {code}"]))
    await runtime.start(container)
    await ended(runtime, container)
    assert (await runtime.inspect(container)).exit_code == code


async def test_a_name_is_taken_once(runtime: Engine, labels: dict[str, str], name: Name) -> None:
    called = name()
    await runtime.create(called, body(labels, FOREVER))
    with pytest.raises(NameConflict):
        await runtime.create(called, body(labels, FOREVER))


async def test_a_missing_image(runtime: Engine, labels: dict[str, str], name: Name) -> None:
    missing = body(labels, FOREVER) | {"Image": "localhost:1/no/such:image"}
    with pytest.raises(ImageNotFound):
        await runtime.create(name(), missing)
    with pytest.raises(CannotPull):
        await runtime.pull("localhost:1/no/such:image")
    with pytest.raises(ImageNotFound):
        await runtime.image_digest("localhost:1/no/such:image")


async def test_images_are_listed_and_removed_unless_used(
    runtime: Engine, labels: dict[str, str], name: Name, request: pytest.FixtureRequest
) -> None:
    spare = "spare:1"
    if isinstance(runtime, MemoryEngine):
        runtime.images.add(spare)
    else:
        await asyncio.to_thread(request.getfixturevalue("engine").docker, "tag", IMAGE, spare)
    container = await runtime.create(name(), body(labels, FOREVER))
    listed = {tag: image.image_id for image in await runtime.local_images() for tag in image.tags}
    assert {IMAGE, spare} <= listed.keys()
    assert {listed[IMAGE]} == {entry.image_id for entry in await runtime.containers(labels)}
    assert listed[IMAGE] == (await runtime.inspect(container)).image_id
    await runtime.remove_image(spare)
    await runtime.remove_image(spare)
    assert spare not in {tag for image in await runtime.local_images() for tag in image.tags}
    with pytest.raises(ImageInUse):
        await runtime.remove_image(IMAGE)


async def test_the_layers_of_an_image_are_as_large_as_it(runtime: Engine) -> None:
    (image,) = [each for each in await runtime.local_images() if IMAGE in each.tags]
    layers = await runtime.image_layers(image.image_id)
    assert layers and all(layer.diff_id.startswith("sha256:") for layer in layers)
    assert sum(layer.size_bytes for layer in layers) == image.size_bytes
    assert await runtime.image_layers(IMAGE) == layers
    with pytest.raises(ImageNotFound):
        await runtime.image_layers("localhost:1/no/such:image")


async def test_a_program_that_is_not_there(runtime: Engine, labels: dict[str, str], name: Name) -> None:
    container = await runtime.create(name(), body(labels, ["no-such-program"]))
    with pytest.raises(CannotStart, match="not found"):
        await runtime.start(container)
    assert (await runtime.inspect(container)).started_at is None


async def test_a_lack_of_memory(runtime: Engine, labels: dict[str, str], name: Name) -> None:
    began, least = time.time() - 1, {"Memory": 16 << 20, "MemorySwap": 16 << 20}
    for command, lacked in ((HOG, True), (["sh", "-c", "exit 5"], False)):
        container = await runtime.create(name(), body(labels, command, HostConfig=least))
        await runtime.start(container)
        await ended(runtime, container)
        found = await runtime.inspect(container)
        assert (found.exit_code, found.oom_killed) == (5, lacked)
        assert await runtime.lacked_memory(container, began, time.time()) == lacked


async def test_nothing_to_start_kill_or_stop(runtime: Engine) -> None:
    for call in (runtime.start("nobody"), runtime.stop("nobody", 1), runtime.kill("nobody")):
        with pytest.raises(ContainerGone):
            await call
    await runtime.remove("nobody")


async def test_killing_and_stopping_what_ended_is_no_error(runtime: Engine, labels: dict[str, str], name: Name) -> None:
    container = await runtime.create(name(), body(labels, ["sh", "-c", "exit 4"]))
    await runtime.start(container)
    await ended(runtime, container)
    await runtime.kill(container)
    await runtime.stop(container, 1)
    assert (await runtime.inspect(container)).exit_code == 4


async def test_a_listing_is_by_label_and_in_every_state(runtime: Engine, labels: dict[str, str], name: Name) -> None:
    created = await runtime.create(name(), body(labels, FOREVER))
    running = await runtime.create(name(), body(labels, FOREVER))
    await runtime.start(running)
    over = await runtime.create(name(), body(labels, ["sh", "-c", "exit 0"]))
    await runtime.start(over)
    await ended(runtime, over)
    states = {entry.container_id: entry.state for entry in await runtime.containers(labels)}
    assert states == {created: "created", running: "running", over: "exited"}
    assert await runtime.containers(labels | {"shoal.instance": "other"}) == []


async def test_ports_that_the_engine_chooses(runtime: Engine, labels: dict[str, str], name: Name) -> None:
    open_port = {
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}},
    }
    container = await runtime.create(name(), body(labels, FOREVER, **open_port))
    await runtime.start(container)
    (port,) = (await runtime.inspect(container)).ports
    assert (port.container_port, port.protocol) == (80, "tcp") and port.host_port > 1024


async def test_an_end_is_an_event(runtime: Engine, labels: dict[str, str], name: Name) -> None:
    container = await runtime.create(name(), body(labels, FOREVER))
    await runtime.start(container)
    async with asyncio.timeout(PATIENCE_SECONDS), aclosing(_events(runtime, labels)) as events:
        first = asyncio.ensure_future(anext(events))
        while not first.done():  # the stream may open after the kill: then another end must show
            await runtime.kill(container)
            await runtime.start(container)
            await asyncio.wait({first}, timeout=0.2)
        event = first.result()
    assert event.action == "die" and event.container_id == container
    assert labels.items() <= event.labels.items()


async def _events(runtime: Engine, labels: dict[str, str]) -> AsyncGenerator[Event, None]:
    async for event in runtime.events(labels, time.time() - 1):
        yield event


async def test_logs_tail_and_the_rest_of_a_followed_one(runtime: Engine, labels: dict[str, str], name: Name) -> None:
    container = await runtime.create(name(), body(labels, ["sh", "-c", "echo a; echo b; echo c"]))
    await runtime.start(container)
    followed = [line.text async for line in runtime.logs(container, follow=True, since=None, tail=None)]
    assert followed == [b"a", b"b", b"c"]
    tail = [line async for line in runtime.logs(container, follow=False, since=None, tail=2)]
    assert [line.text for line in tail] == [b"b", b"c"]
    assert {line.stream for line in tail} == {"stdout"}
    assert abs(tail[0].at - time.time() * 1000) < 60_000
    later = [line async for line in runtime.logs(container, follow=False, since=time.time() + 100, tail=None)]
    assert later == []


@pytest.mark.engine
async def test_a_real_engines_log_keeps_both_streams_and_a_last_line_without_an_end(
    docker_host: str, busybox_image: str, name: Name
) -> None:
    runtime = DockerEngine(docker_host)
    script = "echo out; echo err >&2; printf rest; sleep 0.3; echo late >&2"
    container = await runtime.create(name(), {"Image": busybox_image, "Cmd": ["sh", "-c", script]})
    try:
        await runtime.start(container)
        lines = [line async for line in runtime.logs(container, follow=True, since=None, tail=None)]
        assert sorted((line.stream, line.text) for line in lines) == [
            ("stderr", b"err"),
            ("stderr", b"late"),
            ("stdout", b"out"),
            ("stdout", b"rest"),
        ]
    finally:
        await runtime.remove(container)
        await runtime.close()


@pytest.mark.engine
async def test_a_terminals_log_is_plain(docker_host: str, busybox_image: str, name: Name) -> None:
    runtime = DockerEngine(docker_host)
    wanted = {"Image": busybox_image, "Cmd": ["sh", "-c", "echo one; echo two >&2"], "Tty": True}
    container = await runtime.create(name(), wanted)
    try:
        await runtime.start(container)
        lines = [line async for line in runtime.logs(container, follow=True, since=None, tail=None)]
        assert [(line.stream, line.text) for line in lines] == [("stdout", b"one"), ("stdout", b"two")]
    finally:
        await runtime.remove(container)
        await runtime.close()


async def test_an_image_is_made_of_a_file_system(runtime: Engine, labels: dict[str, str], name: Name) -> None:
    architecture = (await runtime.facts()).architecture
    await runtime.import_image(pause_image.IMAGE, pause_image.archive(architecture))
    alone = {"Image": pause_image.IMAGE, "Entrypoint": [pause_image.PROGRAM], "Labels": labels}
    container = await runtime.create(name(), alone)
    await runtime.start(container)
    assert (await runtime.inspect(container)).state == "running"


async def test_a_container_on_the_bridge_has_an_address(runtime: Engine, labels: dict[str, str], name: Name) -> None:
    container = await runtime.create(name(), body(labels, FOREVER))
    assert (await runtime.inspect(container)).ipv4_address is None
    await runtime.start(container)
    address = (await runtime.inspect(container)).ipv4_address
    assert address is not None and ipaddress.ip_address(address).version == 4
