"""What the containers of a task share when the engine is killed: with live-restore it stays, else the task is over."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.definition.labels import container_name
from shoal_agent.definition.sandbox import ENDED, PAUSE
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.life.verdict import ENGINE_WENT_AWAY

from tests.conformance.test_engine_restart import kill_and_restart
from tests.conformance.test_sandbox import container, fetch, inside, run, serve, told
from tests.conftest import EngineFactory
from tests.ground.images import import_busybox
from tests.unit.agent.rig import CLUSTER, Rig

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("live_restore", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_a_sandbox_and_an_engine_that_is_killed(
    engine_factory: EngineFactory, tmp_path: Path, live_restore: bool
) -> None:
    engine = engine_factory()
    engine.start(live_restore=True)
    import_busybox(engine)
    rig = Rig(tmp_path, DockerEngine(engine.host), Configuration(), instance=uuid.uuid4().hex)
    await rig.start()
    web: dict[str, Any] = {"portMappings": [{"containerPort": 80}]}
    task = await run(rig, container("web", serve("here"), **web), container("side"), networkMode="awsvpc")
    before = await rig.report(task, "RUNNING")
    await kill_and_restart(rig, engine, live_restore)
    if live_restore:
        await rig.until(lambda: rig.watch.status == "OK")
        await rig.worker.settled()
        lane = rig.worker.lane(task)
        assert lane is not None and lane.report().last_status == "RUNNING"
        assert told(lane.report()) == told(before)
        assert inside(engine, task, "side", "wget -qO - http://127.0.0.1:80/") == "here"
        assert await fetch(before.containers[0].ports[0].host_port) == "here"
        engine.docker("kill", container_name(CLUSTER, task, PAUSE))
    over = await rig.report(task, "STOPPED")
    assert over.stopped_reason == (ENDED if live_restore else ENGINE_WENT_AWAY)
    await rig.crash()
    await rig.engine.close()
