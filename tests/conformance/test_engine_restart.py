"""The agent's worker on a real engine that is killed: what ran is adopted, or told as ended once, no code made up."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.engine import docker
from shoal_agent.engine.docker import DockerEngine

from tests.conftest import EngineFactory
from tests.ground.engine import Engine
from tests.ground.hanging import HangingWay, hanging_way
from tests.ground.images import BUSYBOX, import_busybox
from tests.ground.repeats import TEN
from tests.unit.agent.rig import Rig, assignment, definition

pytestmark = pytest.mark.engine

OTHERS_SECONDS_MAX = 15.0
STAYS = ["sleep", "1000"]
# A polite program: it answers the signal that an engine sends as it comes up with a code of its own.
POLITE = ["sh", "-c", "trap 'exit 9' TERM; while true; do sleep 0.1; done"]
ENDS_LATER = ["sh", "-c", "sleep 3; exit 4"]


@asynccontextmanager
async def agent(folder: Path, engine: Engine) -> AsyncIterator[Rig]:
    runtime = DockerEngine(engine.host)
    rig = Rig(folder / uuid.uuid4().hex, runtime, Configuration())
    await rig.start()
    try:
        yield rig
    finally:
        await rig.crash()
        await runtime.close()


async def launch(rig: Rig, **commands: list[str]) -> dict[str, str]:
    """Task ids by the names of the commands; all run."""
    ids = {name: f"{name}{uuid.uuid4().hex}" for name in commands}
    for name, command in commands.items():
        rig.assign(assignment(ids[name], definition=definition(command, image=BUSYBOX, stopTimeout=1)))
    for task_id in ids.values():
        await rig.report(task_id, "RUNNING")
    return ids


async def kill_and_restart(rig: Rig, engine: Engine, live_restore: bool) -> None:
    """Away for long enough that a program ends by itself meanwhile."""
    engine.kill()
    await rig.until(lambda: rig.watch.status == "IMPAIRED")
    await asyncio.sleep(4.0)
    engine.start(live_restore)  # not in a thread: the engine ends with the thread that started it


@pytest.mark.parametrize("repeat", TEN)
async def test_with_live_restore_nothing_is_lost(engine_factory: EngineFactory, tmp_path: Path, repeat: int) -> None:
    engine = engine_factory()
    engine.start(live_restore=True)
    import_busybox(engine)
    async with agent(tmp_path, engine) as rig:
        ids = await launch(rig, stays=STAYS, polite=POLITE, ends=ENDS_LATER)
        await kill_and_restart(rig, engine, live_restore=True)
        ended = await rig.report(ids["ends"], "STOPPED")
        assert (ended.stop_code, ended.containers[0].exit_code) == ("EssentialContainerExited", 4)
        await rig.until(lambda: rig.watch.status == "OK")
        rig.ask_to_stop(ids["polite"])
        assert (await rig.report(ids["polite"], "STOPPED")).containers[0].exit_code == 9
        assert not rig.told(ids["stays"], "STOPPED")


@pytest.mark.parametrize("repeat", TEN)
async def test_without_it_each_is_told_once_and_no_code_is_made_up(
    engine_factory: EngineFactory, tmp_path: Path, repeat: int
) -> None:
    engine = engine_factory()
    engine.start()
    import_busybox(engine)
    async with agent(tmp_path, engine) as rig:
        ids = await launch(rig, stays=STAYS, polite=POLITE, ends=ENDS_LATER)
        await kill_and_restart(rig, engine, live_restore=False)
        for name in ("stays", "polite"):
            ended = await rig.report(ids[name], "STOPPED")
            assert ended.containers[0].exit_code is None
            assert ended.stop_code == "InfrastructureHealth"
            assert ended.stopped_reason is not None and "engine went away" in ended.stopped_reason
        by_itself = await rig.report(ids["ends"], "STOPPED")
        assert (by_itself.stop_code, by_itself.containers[0].exit_code) == ("EssentialContainerExited", 4)
        again = await launch(rig, next=["sh", "-c", "exit 137"])
        # The engine is back: what ends now ends under its eyes, whatever its code.
        assert (await rig.report(again["next"], "STOPPED")).containers[0].exit_code == 137
        for task_id in ids.values():
            assert len(rig.told(task_id, "STOPPED")) == 1


@asynccontextmanager
async def hanging_agent(folder: Path, docker_host: str) -> AsyncIterator[tuple[Rig, HangingWay]]:
    async with hanging_way(folder / "docker.sock", docker_host) as way:
        runtime = DockerEngine(way.docker_host)
        rig = Rig(folder / "state", runtime, Configuration())
        await rig.start()
        try:
            yield rig, way
        finally:
            await rig.crash()
            await runtime.close()


async def test_a_container_that_hangs_delays_no_other(docker_host: str, busybox_image: str, short_folder: Path) -> None:
    """No call for it is ever answered."""
    async with hanging_agent(short_folder, docker_host) as (rig, way):
        await stop_beside_one_that_hangs(rig, way)


@pytest.mark.parametrize(("call", "status"), [("create?name={}", "created"), ("{}/start", "started")])
async def test_a_container_that_the_engine_does_not_get_done_is_given_up(
    docker_host: str,
    busybox_image: str,
    short_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    status: str,
) -> None:
    """And what there is of it is removed."""
    monkeypatch.setattr(docker, "CREATE_SECONDS", 1.0)
    monkeypatch.setattr(docker, "START_SECONDS", 1.0)
    async with hanging_agent(short_folder, docker_host) as (rig, way):
        task_id = uuid.uuid4().hex
        way.hanging = (call.format(rig.name(task_id) if status == "created" else ""),)
        rig.assign(assignment(task_id, definition=definition(STAYS, image=BUSYBOX, stopTimeout=1)))
        ended = await rig.report(task_id, "STOPPED")
        assert ended.stop_code == "TaskFailedToStart" and ended.stopped_reason is not None
        assert ended.stopped_reason.startswith(f"DockerTimeoutError: Could not transition to {status}; timed out after")
        assert ended.started_at is None and ended.containers[0].exit_code is None
        assert ended.containers[0].reason == ended.stopped_reason
        assert rig.watch.status == "OK"
        await rig.until(lambda: rig.worker.lane(task_id) is None)


async def stop_beside_one_that_hangs(rig: Rig, way: HangingWay) -> None:
    ids = await launch(rig, hangs=STAYS, stays=STAYS)
    runtime_id = (await rig.report(ids["hangs"], "RUNNING")).containers[0].runtime_id
    assert runtime_id is not None
    way.hanging = (runtime_id, rig.name(ids["hangs"]))
    rig.ask_to_stop(ids["hangs"])
    await rig.until(lambda: way.hung)
    began = time.monotonic()
    others = await launch(rig, **{f"other{number}": STAYS for number in range(5)})
    for task_id in (ids["stays"], *others.values()):
        rig.ask_to_stop(task_id)
    for task_id in (ids["stays"], *others.values()):
        await rig.report(task_id, "STOPPED")
    assert time.monotonic() - began <= OTHERS_SECONDS_MAX
    assert rig.watch.status == "OK" and not rig.told(ids["hangs"], "STOPPED")
    way.let_go()
    await rig.report(ids["hangs"], "STOPPED")
