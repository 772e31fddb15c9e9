"""Commands executed in a container: the engine in memory and a real one alike."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator

import pytest
from shoal_agent.engine import sessions
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.engine.port import CannotExecute, Command, ContainerGone, Engine, Execution

from tests.fakes.memory_engine import MemoryEngine
from tests.ground.images import BUSYBOX

PATIENCE_SECONDS = 30.0


@pytest.fixture(params=["memory", pytest.param("docker", marks=pytest.mark.engine)])
async def runtime(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    if request.param == "memory":
        made: Engine = MemoryEngine(images=(BUSYBOX,))
    else:
        request.getfixturevalue("busybox_image")
        made = DockerEngine(request.getfixturevalue("docker_host"))
    yield made
    await made.close()


@pytest.fixture
async def container(runtime: Engine) -> AsyncIterator[str]:
    """One that runs."""
    wanted = {"Image": BUSYBOX, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}}
    made = await runtime.create(f"conformance.{uuid.uuid4().hex}.web", wanted)
    await runtime.start(made)
    yield made
    await runtime.remove(made)


async def output(execution: Execution) -> dict[str, bytes]:
    """All it writes until it ends, by stream."""
    written = {"stdout": b"", "stderr": b""}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (piece := await execution.read()) is not None:
            written[piece.stream] += piece.data
    return written


@pytest.mark.parametrize("code", [0, 3, 255])
async def test_output_and_exit_code(runtime: Engine, container: str, code: int) -> None:
    execution = await runtime.execute(container, Command(("sh", "-c", f"echo out; echo err >&2; exit {code}")))
    assert await output(execution) == {"stdout": b"out\n", "stderr": b"err\n"}
    assert await execution.exit_code() == code
    await execution.end()


async def test_a_terminal_has_one_stream(runtime: Engine, container: str) -> None:
    execution = await runtime.execute(container, Command(("sh", "-c", "echo out; echo err >&2"), tty=True))
    assert await output(execution) == {"stdout": b"out\r\nerr\r\n", "stderr": b""}
    assert await execution.exit_code() == 0
    await execution.end()


async def test_input_goes_in_whole_and_ends(runtime: Engine, container: str) -> None:
    execution = await runtime.execute(container, Command(("cat",), interactive=True))
    data = os.urandom(3_000_000)

    async def write() -> None:
        for at in range(0, len(data), 65536):
            await execution.write(data[at : at + 65536])
        await execution.end_input()
        await execution.end_input()

    writing = asyncio.create_task(write())
    assert (await output(execution))["stdout"] == data
    await writing
    assert await execution.exit_code() == 0
    await execution.end()


async def test_without_input_there_is_none_to_wait_for(runtime: Engine, container: str) -> None:
    execution = await runtime.execute(container, Command(("cat",)))
    assert (await output(execution))["stdout"] == b""
    assert await execution.exit_code() == 0
    await execution.end()


async def test_a_program_that_is_not_there(runtime: Engine, container: str) -> None:
    execution = await runtime.execute(container, Command(("no-such-program",)))
    assert b"executable file not found" in (await output(execution))["stderr"]
    assert await execution.exit_code() == 127
    await execution.end()


@pytest.mark.parametrize("tty", [False, True])
async def test_a_signal_reaches_it(runtime: Engine, container: str, tty: bool) -> None:
    execution = await runtime.execute(container, Command(("sh", "-c", "echo there; sleep 1000"), tty=tty))
    first = await execution.read()
    assert first is not None and first.data.strip() == b"there"
    await execution.signal("SIGINT")
    await output(execution)
    assert await execution.exit_code() == 130
    await execution.end()


@pytest.mark.parametrize("tty", [False, True])
async def test_it_can_be_ended(runtime: Engine, container: str, tty: bool) -> None:
    """Who ends it need not have read what it wrote."""
    execution = await runtime.execute(
        container, Command(("sh", "-c", "echo there; sleep 1000"), tty=tty, interactive=True)
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        await execution.end()
    assert await execution.exit_code() > 128


async def test_it_may_end_without_having_read_its_input(runtime: Engine, container: str) -> None:
    execution = await runtime.execute(container, Command(("sh", "-c", "echo there; sleep 1000"), interactive=True))

    async def write() -> None:
        for _ in range(200):
            await execution.write(bytes(65536))

    assert await execution.read() is not None
    writing = asyncio.create_task(write())
    await asyncio.wait({writing}, timeout=0.2)  # more than the engine takes
    await execution.signal("SIGINT")
    await output(execution)
    assert await execution.exit_code() == 130
    writing.cancel()
    await execution.end()


async def test_where_nothing_runs(runtime: Engine, container: str) -> None:
    with pytest.raises(ContainerGone):
        await runtime.execute("nobody", Command(("cat",)))
    await runtime.kill(container)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await runtime.inspect(container)).state != "exited":  # noqa: ASYNC110 - the port has no wait
            await asyncio.sleep(0.02)
    with pytest.raises(CannotExecute, match="not running"):
        await runtime.execute(container, Command(("cat",)))


async def test_the_size_of_the_terminal(runtime: Engine, container: str) -> None:
    script: tuple[str, ...] = ("sh", "-c", "read line; stty size")
    if isinstance(runtime, MemoryEngine):
        script = ("stty", "size")
    execution = await runtime.execute(container, Command(script, tty=True, interactive=True, size=(33, 44)))
    await execution.write(b"\n")
    assert b"33 44" in (await output(execution))["stdout"]
    await execution.end()


@pytest.mark.engine
async def test_a_stubborn_command_is_killed_with_all_it_started(docker_host: str, busybox_image: str) -> None:
    runtime = DockerEngine(docker_host)
    made = await runtime.create(f"conformance.{uuid.uuid4().hex}.web", {"Image": busybox_image, "Cmd": ["sleep", "99"]})
    try:
        await runtime.start(made)
        script = "trap '' TERM HUP; sleep 1000 & sleep 1001 & echo there; while true; do sleep 1; done"
        execution = await runtime.execute(made, Command(("sh", "-c", script)))
        await execution.read()
        pid = execution._pid
        assert len(sessions.members(pid, made)) >= 3
        async with asyncio.timeout(PATIENCE_SECONDS):
            await execution.end()
            while sessions.members(pid, made):  # noqa: ASYNC110 - the kernel tells nobody but a parent
                await asyncio.sleep(0.02)
    finally:
        await runtime.remove(made)
        await runtime.close()


@pytest.mark.engine
async def test_who_may_not_signal_it_has_it_done_in_the_container(
    docker_host: str, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def may_not(_pid: int, _number: int) -> None:
        raise PermissionError

    runtime = DockerEngine(docker_host)
    made = await runtime.create(f"conformance.{uuid.uuid4().hex}.web", {"Image": busybox_image, "Cmd": ["sleep", "99"]})
    try:
        await runtime.start(made)
        execution = await runtime.execute(made, Command(("sleep", "1000")))
        monkeypatch.setattr("shoal_agent.engine.sessions.os.kill", may_not)
        await execution.signal("SIGINT")
        await output(execution)
        assert await execution.exit_code() == 130
        await execution.end()
    finally:
        monkeypatch.undo()
        await runtime.remove(made)
        await runtime.close()
