"""Images on a real engine from a registry: pull behaviours, credentials, trouble, and what is cleaned up."""

import base64
import json
import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.engine import docker as docker_port
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.images import pulling
from shoal_agent.images.cleaner import ImageCleaner
from shoal_agent.images.pulling import Puller
from shoal_agent.images.records import ImageRecords
from shoal_agent.slots import Pulls
from shoal_agent.task import Report

from tests.ground.engine import Engine
from tests.ground.registry import Registry, registry
from tests.unit.agent.rig import CLUSTER, Rig, assignment, definition, quick

pytestmark = pytest.mark.engine


class Host:
    """Tasks of an image whose program is no program: they get as far as an image can bring them."""

    def __init__(self, folder: Path, engine: Engine, source: Registry) -> None:
        self.engine = engine
        self.source = source
        # A repository of this test's own: the engine is shared.
        self.name = f"{uuid.uuid4().hex}:1"
        self.image = source.image(self.name)
        self.records = ImageRecords(folder)
        self.rig = Rig(folder, DockerEngine(engine.host), Configuration(dead_container_keep_seconds=3600))
        self.tasks: list[str] = []

    async def start(self) -> None:
        await self.rig.start()
        self.configure()

    def configure(self, **keys: Any) -> None:
        around = self.rig.around
        around.rules = replace(around.rules, **keys)
        around.pulls = Pulls(around.engine, 3, Puller(around.engine, around.rules, self.records))
        around.pulled_before = self.records.names

    async def run(self) -> Report:
        """What became of a task: it fails at the start if its image could be had."""
        task_id = uuid.uuid4().hex
        self.tasks.append(task_id)
        self.rig.assign(assignment(task_id, definition=definition(image=self.image)))
        return await self.rig.report(task_id, "STOPPED")

    async def image_id(self) -> str | None:
        images = await self.rig.around.engine.local_images()
        return next((it.image_id for it in images if self.image in it.tags), None)

    async def close(self) -> None:
        await self.rig.crash()
        for task_id in self.tasks:
            await self.rig.engine.remove(f"{CLUSTER}.{task_id}.web")
        for image in await self.rig.engine.local_images():
            if any(self.name.partition(":")[0] in name for name in image.references):
                self.engine.docker("rmi", "--force", image.image_id)
        await self.rig.engine.close()


@pytest.fixture
async def host(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    quick(monkeypatch)
    monkeypatch.setattr(pulling, "PAUSE_SECONDS_MIN", 0.01)
    async with registry() as source:
        made = Host(tmp_path, engine, source)
        source.push(made.name, b"one")
        await made.start()
        yield made
        await made.close()


def ran(report: Report) -> bool:
    assert report.stopped_reason is not None
    return report.stopped_reason.startswith("CannotStartContainerError")


# Of three tasks: the first on a bare host; the second after the tag was moved; the third after it was deleted.
@pytest.mark.parametrize(
    ("behavior", "pulls", "moved", "last_runs"),
    [
        (None, 1, False, True),
        ("prefer-cached", 1, False, True),
        ("once", 1, False, True),
        ("default", 2, True, True),
        ("always", 2, True, False),
    ],
)
async def test_pull_behaviors(host: Host, behavior: str | None, pulls: int, moved: bool, last_runs: bool) -> None:
    host.configure(image_pull_behavior=behavior)
    assert ran(await host.run())
    before = await host.image_id()
    host.source.push(host.name, b"two")
    assert ran(await host.run())
    assert (await host.image_id() != before) == moved
    assert host.source.pulls[host.name] == pulls
    host.source.delete(host.name)
    last = await host.run()
    assert ran(last) == last_runs
    if not last_runs:
        assert last.stopped_reason is not None and "manifest" in last.stopped_reason
        assert last.stopped_reason.startswith(f"CannotPullContainerError: {host.image}: ")


async def test_once_is_remembered_but_not_what_others_pulled(host: Host, tmp_path: Path) -> None:
    host.configure(image_pull_behavior="once")
    host.engine.docker("tag", await an_image(host), host.image)
    assert ran(await host.run())
    assert host.source.pulls[host.name] == 1
    assert ImageRecords(tmp_path).names == {host.image: await host.image_id()}


async def an_image(host: Host) -> str:
    other = f"{host.name.partition(':')[0]}:other"
    host.source.push(other, b"other")
    await host.rig.engine.pull(host.source.image(other))
    return host.source.image(other)


async def test_credentials(host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    host.source.login = "somebody:hush-hush"
    path = tmp_path / "config.json"
    host.configure(registry_credentials_file=str(path))
    missing = await host.run()
    assert missing.stopped_reason == (
        f"CannotPullContainerError: {host.image}: registry_credentials_file {path} cannot be read: "
        "No such file or directory"
    )
    server = f"127.0.0.1:{host.source.port}"
    path.write_text(json.dumps({"auths": {server: {"auth": base64.b64encode(b"somebody:wrong").decode()}}}))
    refused = await host.run()
    assert not ran(refused) and "wrong" not in str(refused)
    # Read at each pull: nothing is started again.
    path.write_text(json.dumps({"auths": {server: {"auth": base64.b64encode(b"somebody:hush-hush").decode()}}}))
    assert ran(await host.run())
    assert "hush-hush" not in caplog.text and base64.b64encode(b"somebody:hush-hush").decode() not in caplog.text


async def test_trouble_that_passes(host: Host) -> None:
    host.source.failures = [503, 503]
    assert ran(await host.run())


async def test_a_pull_that_stalls(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_port, "PULL_SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(pulling, "TRIES", 2)
    host.source.push(host.name, os.urandom(100_000))
    host.source.stalls = True
    stalled = await host.run()
    assert stalled.stopped_reason is not None and "no progress of the pull" in stalled.stopped_reason
    assert stalled.pull_started_at is not None


async def test_what_nothing_uses_goes(host: Host, busybox_image: str) -> None:
    """But neither what any container is made of, nor what the agent did not pull."""
    host.configure(image_cleanup_minimum_age_seconds=0.0)
    cleaner = ImageCleaner(host.rig.around, host.rig.worker, host.records)
    first = (await host.run()).task_id
    dead = host.engine.docker("create", host.image)
    await host.rig.until(lambda: host.rig.worker.lane(first) is None)
    await cleaner.clean(None)
    assert await host.image_id() is not None
    host.engine.docker("rm", dead)
    await cleaner.clean(None)
    assert await host.image_id() is None
    tags = {tag for image in await host.rig.engine.local_images() for tag in image.tags}
    assert busybox_image in tags


async def test_a_moved_tag_leaves_nothing_behind(host: Host) -> None:
    host.configure(image_cleanup_minimum_age_seconds=0.0, image_pull_behavior="always")
    first = (await host.run()).task_id
    old = await host.image_id()
    host.source.push(host.name, b"two")
    second = (await host.run()).task_id
    await host.rig.until(lambda: host.rig.worker.lane(first) is None and host.rig.worker.lane(second) is None)
    await ImageCleaner(host.rig.around, host.rig.worker, host.records).clean(None)
    left = {image.image_id for image in await host.rig.engine.local_images()}
    assert old not in left and await host.image_id() is None
