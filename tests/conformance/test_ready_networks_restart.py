"""Networks that are kept ready when the engine is killed: with live-restore a task keeps its own, else it is over."""

import uuid
from pathlib import Path

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.life.verdict import ENGINE_WENT_AWAY
from shoal_agent.networks import ready
from shoal_agent.networks.namespaces import KernelNamespaces

from tests.conformance.test_engine_restart import kill_and_restart
from tests.conformance.test_ready_networks import (
    ADDRESS,
    LIMIT,
    begin,
    end,
    keepers,
    network,
    only,
    until,
    warm,
)
from tests.conformance.test_sandbox import inside
from tests.conftest import EngineFactory
from tests.ground.images import import_busybox
from tests.unit.agent.rig import Rig

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("live_restore", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_an_engine_that_is_killed(
    engine_factory: EngineFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, live_restore: bool
) -> None:
    monkeypatch.setattr(ready, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(ready, "LISTING_SECONDS", 0.5)
    engine = engine_factory()
    engine.start(live_restore=True)
    import_busybox(engine)
    rules = Configuration(ready_networks=LIMIT)
    spaces = KernelNamespaces()
    rig = Rig(tmp_path, DockerEngine(engine.host), rules, instance=uuid.uuid4().hex, namespaces=spaces)
    await rig.start()
    kept = await warm(rig)
    task = await begin(rig)
    own = await network(rig, task)
    assert own in kept
    address = inside(engine, task, "web", ADDRESS)
    await kill_and_restart(rig, engine, live_restore)
    if live_restore:
        await rig.until(lambda: rig.watch.status == "OK")
        await only(rig, own)
        assert inside(engine, task, "web", ADDRESS) == address
        await end(rig, task)
    else:
        over = await rig.report(task, "STOPPED")
        assert over.stopped_reason == ENGINE_WENT_AWAY

    async def is_gone() -> bool:
        return own not in await keepers(rig)

    await until(is_gone)
    await rig.crash()
    await rig.engine.close()
