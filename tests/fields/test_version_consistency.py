"""A tag is a digest once a task is launched: what runs is told exactly, and a tag that moves changes nothing."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from shoal import image_reference
from shoal_agent.configuration import Configuration
from shoal_agent.engine.docker import DockerEngine

from tests.ground.engine import Engine
from tests.ground.registry import Registry, registry
from tests.unit.agent.rig import Rig, assignment, definition

BUSYBOX = Path(shutil.which("busybox") or "busybox is not installed")
SLEEP = ["/busybox", "sleep", "1000"]


@pytest.fixture
async def docker(engine: Engine) -> AsyncIterator[DockerEngine]:
    docker = DockerEngine(engine.host)
    yield docker
    await docker.close()


@pytest.fixture
async def rig(docker: DockerEngine, tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path, docker, Configuration(dead_container_keep_seconds=0))
    await rig.start()
    yield rig
    await rig.until(lambda: len(rig.worker) == 0)  # stopped, and their containers removed
    await rig.crash()


def publish(server: Registry, release: str) -> str:
    return server.push("web:1", BUSYBOX.read_bytes(), "busybox", [f"RELEASE={release}"])


async def test_the_digest_of_what_runs_is_reported(rig: Rig, docker: DockerEngine) -> None:
    async with registry() as server:
        image = server.image("web:1")
        first = publish(server, "first")
        wanted = definition(image=image, command=SLEEP, stopTimeout=0)
        rig.assign(assignment("t1", definition=wanted))
        assert (await rig.report("t1", "RUNNING")).containers[0].image_digest == first

        second = publish(server, "second")
        await docker.pull(image)
        rig.assign(assignment("t2", definition=wanted))
        assert (await rig.report("t2", "RUNNING")).containers[0].image_digest == second

        await rig.crash()
        await rig.start()
        for task_id in ("t1", "t2"):
            rig.ask_to_stop(task_id)
        assert (await rig.report("t1", "STOPPED")).containers[0].image_digest == first
        assert (await rig.report("t2", "STOPPED")).containers[0].image_digest == second


@pytest.mark.parametrize("consistent", [True, False])
async def test_an_agent_that_dies_between_two_containers_of_a_task_makes_both_of_the_same_image(
    rig: Rig, docker: DockerEngine, consistent: bool
) -> None:
    async with registry() as server:
        first = publish(server, "first")
        container = definition(image=server.image("web:1"), stopTimeout=0)["containerDefinitions"][0]
        if not consistent:
            container["versionConsistency"] = "disabled"
        early = {**container, "name": "early", "command": SLEEP, "essential": False}
        late = {**container, "name": "late", "command": SLEEP}
        late["dependsOn"] = [{"containerName": "early", "condition": "COMPLETE"}]
        task = assignment("t1", definition={**definition(), "containerDefinitions": [early, late]})
        rig.assign(task)
        await rig.until(lambda: rig.reports and rig.reports[-1].containers[0].last_status == "RUNNING")

        await rig.crash()
        second = publish(server, "second")
        await docker.pull(server.image("web:1"))  # and the first has no name any more but its digest
        await rig.start()
        rig.assign(replace(task, last_status="PENDING"))
        await docker.kill(rig.name("t1", "early"))
        digests = [container.image_digest for container in (await rig.report("t1", "RUNNING")).containers]
        assert digests[1] == (first if consistent else second)
        wanted = {"web:1", f"web@{first}"} if consistent else {"web:1"}
        assert rig.worker.images_wanted() == {server.image(name) for name in wanted}
        rig.assign(replace(task, desired_status="STOPPED", last_status="RUNNING"))


async def test_what_is_assigned_by_its_digest_runs_as_that_whatever_the_tag_means_now(
    rig: Rig, docker: DockerEngine
) -> None:
    async with registry() as server:
        image = server.image("web:1")
        first = publish(server, "first")
        second = publish(server, "second")
        wanted = definition(image=image, command=SLEEP, stopTimeout=0)
        pinned = {wanted["containerDefinitions"][0]["name"]: image_reference.pinned(image, first)}
        rig.assign(replace(assignment("t1", definition=wanted), images=pinned))
        assert (await rig.report("t1", "RUNNING")).containers[0].image_digest == first
        rig.assign(assignment("t2", definition=wanted))
        assert (await rig.report("t2", "RUNNING")).containers[0].image_digest == second
        for task_id in ("t1", "t2"):
            rig.ask_to_stop(task_id)
