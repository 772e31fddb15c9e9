"""Which images the scheduler is told of, when, and how large their layers are."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from shoal_agent.engine.layers import layers
from shoal_agent.engine.port import Image, Layer
from shoal_agent.images import held as held_images
from shoal_agent.images.held import HeldImage, HeldImages
from shoal_agent.images.message import LAYERS_MAX, NAMES_MAX, report
from shoal_agent.images.records import ImageRecords
from shoal_agent.session import Session

from tests.fakes.memory_engine import MemoryEngine
from tests.unit.agent.conftest import Connect
from tests.unit.agent.rig import Rig
from tests.unit.agent.scheduler import FakeScheduler


def step(size: int, made_by: str = "RUN true") -> dict[str, object]:
    return {"Size": size, "CreatedBy": made_by}


@pytest.mark.parametrize(
    ("count", "history", "sizes"),
    [
        (2, [step(0, 'CMD ["sh"]'), step(5), step(7)], [7, 5]),
        (3, [step(0, "LABEL a=b"), step(5), step(0, "WORKDIR /srv"), step(7)], [7, 0, 5]),
        (3, [step(0, "/bin/sh -c #(nop)  ENV A=b"), step(0, "/bin/sh -c #(nop) COPY x"), step(5), step(7)], [7, 5, 0]),
        (2, [step(12)], [6, 6]),  # of a squashed history nobody knows which is which
        (1, [], [0]),
        (0, [], []),
    ],
)
def test_each_layer_has_the_size_of_its_step(count: int, history: list[dict[str, object]], sizes: list[int]) -> None:
    names = [f"sha256:{number}" for number in range(count)]
    assert layers(names, history) == tuple(map(Layer, names, sizes))


def one(name: str, *more: str, layer_count: int = 1) -> HeldImage:
    image = Image(f"sha256:{name}", (name, *more), (f"{name}@sha256:00",), 7)
    return HeldImage(image, tuple(Layer(f"sha256:{number:016x}ffff", 9) for number in range(layer_count)))


def test_the_first_report_is_of_all_and_the_others_of_what_changed() -> None:
    first = {held.image.image_id: held for held in (one("a"), one("b"))}
    said = report(None, first).images
    assert said.full and [image.image_id for image in said.images] == ["sha256:a", "sha256:b"]
    assert (list(said.images[0].layers), list(said.images[0].layer_sizes_in_bytes)) == ([0], [9])
    second = {held.image.image_id: held for held in (one("b"), one("c"))} | {"sha256:b": one("b", "b2")}
    said = report(first, second).images
    assert not said.full and list(said.removed_image_ids) == ["sha256:a"]
    assert [list(image.image_tags) for image in said.images] == [["b", "b2"], ["c"]]


def test_what_is_said_of_an_image_is_bounded() -> None:
    many = one("a", *map(str, range(100)), layer_count=LAYERS_MAX + 1)
    (said,) = report(None, {"sha256:a": many}).images.images
    assert len(said.image_tags) == NAMES_MAX and not said.layers and not said.layer_sizes_in_bytes


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine(images=("web:1", "db:1"))


@pytest.fixture
async def looking(engine: MemoryEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HeldImages]:
    monkeypatch.setattr(held_images, "FIRST_LOOK_SECONDS", 0.0)
    made = HeldImages(engine, ImageRecords(tmp_path))
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()


async def until_held(looking: HeldImages, *names: str) -> None:
    async with asyncio.timeout(20):
        while {name.removeprefix("sha256:") for name in looking.current or {}} != set(names):
            looking.changed.clear()
            await looking.changed.wait()


async def test_a_pull_is_known_at_once_and_layers_are_asked_for_once(looking: HeldImages, engine: MemoryEngine) -> None:
    await until_held(looking, "web:1", "db:1")
    engine.images.add("new:1")
    looking.records.pulled("new:1", "sha256:new:1", 5)
    await until_held(looking, "web:1", "db:1", "new:1")
    asked = [name for call, name in engine.calls if call == "image_layers"]
    assert sorted(asked) == ["sha256:db:1", "sha256:new:1", "sha256:web:1"]


async def test_what_others_did_is_seen_at_the_next_look(
    looking: HeldImages, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_images, "LOOK_PERIOD_SECONDS", 0.01)
    engine.images.discard("db:1")
    await until_held(looking, "web:1")


async def test_an_engine_that_is_away_is_asked_again(
    looking: HeldImages, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_images, "RETRY_SECONDS", 0.01)
    engine.up = False
    await asyncio.sleep(0.05)
    assert looking.current is None
    engine.up = True
    await until_held(looking, "web:1", "db:1")


async def test_of_too_many_those_that_were_used_last(
    looking: HeldImages, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_images, "IMAGES_MAX", 1)
    looking.records.pulled("db:1", "sha256:db:1", 5)
    await until_held(looking, "db:1")


async def test_each_session_begins_with_all_images(
    connect: Connect, scheduler: FakeScheduler, rig: Rig, made: list[Session], tmp_path: Path
) -> None:
    rig.engine.images = {"web:1"}
    images = HeldImages(rig.engine, ImageRecords(tmp_path))
    await images.look()
    await connect(images=images)
    await scheduler.until(lambda: scheduler.sessions and scheduler.sessions[0].images)
    (first,) = scheduler.sessions[0].images
    assert first.full and [list(image.image_tags) for image in first.images] == [["web:1"]]
    rig.engine.images = {"web:2"}
    await images.look()
    await scheduler.until(lambda: len(scheduler.sessions[0].images) == 2)
    change = scheduler.sessions[0].images[1]
    assert not change.full and list(change.removed_image_ids) == ["sha256:web:1"]
    await scheduler.hang_up()
    await scheduler.until(lambda: len(scheduler.sessions) == 2 and scheduler.sessions[1].images)
    (again,) = scheduler.sessions[1].images
    assert again.full and [list(image.image_tags) for image in again.images] == [["web:2"]]
