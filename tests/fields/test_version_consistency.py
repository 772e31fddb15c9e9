"""A tag is a digest once a task is launched: what runs is told exactly, and a tag that moves changes nothing."""

from pathlib import Path

from shoal_agent.configuration import Configuration
from shoal_agent.engine.docker import DockerEngine

from tests.fields.registry import Registry
from tests.ground.engine import Engine
from tests.unit.agent.rig import Rig, assignment, definition


async def test_the_digest_of_what_runs_is_reported(engine: Engine, tmp_path: Path) -> None:
    docker = DockerEngine(engine.host)
    rig = Rig(tmp_path, docker, Configuration(dead_container_keep_seconds=0))
    await rig.start()
    async with Registry().serving() as registry:
        image = f"{registry.address}/web:1"
        first = registry.publish("web", "1", "RELEASE=first")
        wanted = definition(image=image, stopTimeout=0)
        rig.assign(assignment("t1", definition=wanted))
        assert (await rig.report("t1", "RUNNING")).containers[0].image_digest == first

        second = registry.publish("web", "1", "RELEASE=second")
        await docker.pull(image)
        rig.assign(assignment("t2", definition=wanted))
        assert (await rig.report("t2", "RUNNING")).containers[0].image_digest == second

        await rig.crash()
        await rig.start()
        for task_id in ("t1", "t2"):
            rig.ask_to_stop(task_id)
        assert (await rig.report("t1", "STOPPED")).containers[0].image_digest == first
        assert (await rig.report("t2", "STOPPED")).containers[0].image_digest == second
        await rig.until(lambda: len(rig.worker) == 0)  # and its containers are removed
    await rig.crash()
    await docker.close()
