"""Images that are pulled before a task needs them: over real gRPC to a scheduler of the test's own."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from shoal.v1 import image_pb2
from shoal_agent.configuration import Configuration
from shoal_agent.engine.port import CannotPull, Image
from shoal_agent.images import prepull
from shoal_agent.images.cleanup import HostImages, dispensable
from shoal_agent.images.held import HeldImages
from shoal_agent.images.pulling import Puller
from shoal_agent.images.records import ImageRecord, ImageRecords
from shoal_agent.slots import Pulls

from tests.unit.agent.conftest import Connect
from tests.unit.agent.rig import Rig
from tests.unit.agent.scheduler import FakeScheduler

IMAGE = "r.io/web:1"


class Host:
    def __init__(self, rig: Rig, scheduler: FakeScheduler, records: ImageRecords) -> None:
        self.rig, self.scheduler, self.records = rig, scheduler, records
        self.engine = rig.engine

    def configure(self, behavior: str | None) -> None:
        around = self.rig.around
        around.rules = replace(around.rules, image_pull_behavior=behavior)
        around.pulls = Pulls(around.engine, 3, Puller(around.engine, around.rules, self.records))
        around.pulled_before = self.records.names

    async def pull(self, request_id: str = "a", image: str = IMAGE) -> image_pb2.PullProgress:
        """Its last word."""
        await self.scheduler.ask_for_pull(request_id, image)
        await self.scheduler.until(lambda: self.last(request_id) is not None)
        last = self.last(request_id)
        assert last is not None
        return last

    def last(self, request_id: str) -> image_pb2.PullProgress | None:
        said = self.scheduler.pulls.get(request_id, [])
        return next((each for each in said if each.outcome or each.HasField("error")), None)

    @property
    def pulls(self) -> list[str]:
        return [name for call, name in self.engine.calls if call == "pull"]


@pytest.fixture
async def host(
    connect: Connect, scheduler: FakeScheduler, rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Host]:
    monkeypatch.setattr(prepull, "TELL_PERIOD_SECONDS", 0.02)
    records = ImageRecords(tmp_path)
    made = Host(rig, scheduler, records)
    made.configure(None)
    rig.engine.registry = {IMAGE}
    await connect(images=HeldImages(rig.engine, records))
    await scheduler.until(lambda: scheduler.sessions)
    yield made


async def test_it_is_pulled_once_and_is_there_then(host: Host) -> None:
    assert (await host.pull("a")).outcome == "PULLED"
    assert (await host.pull("b")).outcome == "PRESENT"
    assert host.pulls == [IMAGE]


@pytest.mark.parametrize(("behavior", "pulls"), [(None, 0), ("prefer-cached", 0), ("once", 1), ("always", 1)])
async def test_whether_the_registry_is_asked_is_the_host_s_pull_behavior(
    host: Host, behavior: str | None, pulls: int
) -> None:
    host.engine.images.add(IMAGE)
    host.configure(behavior)
    assert (await host.pull()).outcome == "PRESENT"
    assert len(host.pulls) == pulls


async def test_what_is_here_is_good_enough_where_a_task_would_take_it(host: Host) -> None:
    host.engine.images.add(IMAGE)
    host.engine.failing_pulls[IMAGE] = [CannotPull("denied: no")]
    host.configure("default")
    assert (await host.pull()).outcome == "PRESENT"


async def test_a_failure_is_told_in_the_engine_s_words(host: Host) -> None:
    error = (await host.pull(image="r.io/nobody:1")).error
    assert "nobody" in error.message and error.code


async def test_a_pull_that_nobody_waits_for_is_given_up_unless_a_task_does(host: Host) -> None:
    host.engine.stuck.add(IMAGE)
    await host.scheduler.ask_for_pull("a", IMAGE)
    await host.scheduler.until(lambda: len(host.scheduler.pulls.get("a", ())) > 2)
    pulls = host.rig.around.pulls
    (under_way,) = [pull.task for pull in pulls._under_way.values()]
    host.scheduler.pulls_left.add("a")
    await host.rig.until(under_way.cancelled)
    # And now with a task.
    await host.scheduler.ask_for_pull("b", IMAGE)
    await host.scheduler.until(lambda: host.scheduler.pulls.get("b"))
    task = asyncio.create_task(pulls.pull(IMAGE))
    await host.rig.until(lambda: any(pull.for_good for pull in pulls._under_way.values()))
    (under_way,) = [pull.task for pull in pulls._under_way.values()]
    host.scheduler.pulls_left.add("b")
    await host.rig.until(lambda: [pull.waiting for pull in pulls._under_way.values()] == [1])
    assert not under_way.cancelled() and not under_way.done()
    task.cancel()


async def test_in_the_background_it_goes_on_without_the_stream(host: Host) -> None:
    host.engine.stuck.add(IMAGE)
    await host.scheduler.ask_for_pull("a", IMAGE, background=True)
    host.scheduler.pulls_left.add("a")
    pulls = host.rig.around.pulls
    await host.rig.until(lambda: [pull.for_good for pull in pulls._under_way.values()] == [True])
    assert [pull.waiting for pull in pulls._under_way.values()] == [1]


async def test_so_many_at_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepull, "PREPULLS_MAX", 1)
    host.engine.stuck.add(IMAGE)
    await host.scheduler.ask_for_pull("a", IMAGE)
    await host.scheduler.until(lambda: host.scheduler.pulls.get("a"))
    assert "1 images are being pulled" in (await host.pull("b")).error.message


async def test_it_is_kept_for_a_day(host: Host) -> None:
    assert (await host.pull()).outcome == "PULLED"
    (until,) = host.records.kept.values()
    assert until - time.time() * 1000 == pytest.approx(prepull.KEEP_SECONDS * 1000, abs=60_000)
    again = ImageRecords(host.records._path.parent)
    assert again.kept == host.records.kept
    again.keep_only([])
    assert not again.kept


@pytest.mark.parametrize(("after_hours", "disk_percent", "goes"), [(5, 10, False), (30, 10, True), (5, 99, True)])
def test_what_was_pulled_ahead_stays_until_its_time_or_a_full_disk(
    after_hours: int, disk_percent: float, goes: bool
) -> None:
    hour = 3600 * 1000
    engine_images = [Image(f"sha256:{name}", (name,)) for name in ("kept", "unused")]
    host = HostImages(
        engine_images,
        records={image.image_id: ImageRecord(hour, hour) for image in engine_images},
        kept={"sha256:kept": 25 * hour},
        disk_percent=disk_percent,
    )
    went = [image.image_id for image in dispensable(host, Configuration(), (after_hours + 1) * hour).images]
    assert went == ["sha256:unused", *(["sha256:kept"] if goes else [])]
