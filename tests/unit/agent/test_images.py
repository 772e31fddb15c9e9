"""Pulls with their credentials and tries, and which images a host does without."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shoal_agent.configuration import Configuration
from shoal_agent.engine.port import CannotPull, EngineTimeout, EngineUnavailable, Image
from shoal_agent.images import cleaner as image_cleaner
from shoal_agent.images import pulling
from shoal_agent.images.cleaner import ImageCleaner
from shoal_agent.images.cleanup import DEAD_TASKS_PER_PASS, GRACE_MILLIS, HostImages, dispensable
from shoal_agent.images.credentials import BadCredentials, registry_auth
from shoal_agent.images.pulling import Progress, Puller
from shoal_agent.images.records import ImageRecord, ImageRecords

from tests.fakes.memory_engine import MemoryEngine
from tests.unit.agent.rig import Rig, assignment, definition, quick

RULES = Configuration()
AGE = int(RULES.image_cleanup_minimum_age_seconds * 1000)
NOW = 10 * AGE
USER = {"username": "user", "password": "pa:ss"}
ENCODED = {"auth": base64.b64encode(b"user:pa:ss").decode()}


@pytest.mark.parametrize(
    ("auths", "image", "sent"),
    [
        ({}, "web", None),
        ({"other:5000": ENCODED}, "registry:5000/web", None),
        ({"registry:5000": ENCODED}, "registry:5000/a/web:1", {**USER, "serveraddress": "registry:5000"}),
        ({"https://registry:5000/v1/": USER}, "registry:5000/web", {**USER, "serveraddress": "registry:5000"}),
        ({"https://index.docker.io/v1/": ENCODED}, "web", {**USER, "serveraddress": "https://index.docker.io/v1/"}),
        ({"docker.io": ENCODED}, "docker.io/a/web", {**USER, "serveraddress": "https://index.docker.io/v1/"}),
        ({"r.io": {"identitytoken": "t", **ENCODED}}, "r.io/web", {"identitytoken": "t", "serveraddress": "r.io"}),
    ],
)
def test_credentials_of_the_images_registry(
    auths: Mapping[str, Any], image: str, sent: Mapping[str, str] | None
) -> None:
    header = registry_auth(json.dumps({"auths": auths}).encode(), image)
    assert (header and json.loads(base64.urlsafe_b64decode(header))) == sent


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (b"{hush", "is not JSON"),
        (b"[]", "must be an object"),
        (b'{"auths": []}', "auths: must be an object"),
        (b'{"auths": {"r.io": "hush"}}', r"auths\['r.io'\]: must be an object"),
        (b'{"auths": {"r.io": {}}}', "neither auth"),
        (b'{"auths": {"r.io": {"auth": "hush"}}}', "base64 of user:password"),
        (b'{"auths": {"r.io": {}}, "credsStore": "desktop"}', "credential helper 'desktop' is not run"),
        (b'{"credHelpers": {"r.io": "ecr-login"}}', r"credHelpers\['r.io'\]: the credential helper 'ecr-login'"),
    ],
)
def test_credentials_that_cannot_be_used_are_named_but_not_told(document: bytes, complaint: str) -> None:
    with pytest.raises(BadCredentials, match=complaint) as error:
        registry_auth(document, "r.io/web:1")
    assert "hush" not in str(error.value)


def test_a_helper_of_another_registry_does_not_matter() -> None:
    assert registry_auth(b'{"credHelpers": {"r.io": "ecr-login"}, "credsStore": "desktop"}', "web") is None


@pytest.fixture
def puller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Puller, MemoryEngine, ImageRecords]:
    monkeypatch.setattr(pulling, "PAUSE_SECONDS_MIN", 0.001)
    engine, records = MemoryEngine(registry=("r.io/web:1",)), ImageRecords(tmp_path)
    return Puller(engine, RULES, records), engine, records


@pytest.mark.parametrize(
    ("failures", "pulls"),
    [
        ([CannotPull("received unexpected HTTP status: 503 Service Unavailable")], 2),
        ([EngineTimeout("silent")] * 4, 5),
        ([CannotPull("dial tcp: lookup r.io: no such host"), CannotPull("unexpected EOF")], 3),
    ],
)
async def test_a_pull_is_tried_again(
    puller: tuple[Puller, MemoryEngine, ImageRecords], failures: list[Any], pulls: int
) -> None:
    pull, engine, records = puller
    engine.failing_pulls["r.io/web:1"] = list(failures)
    await pull.pull("r.io/web:1")
    assert [call for call, _ in engine.calls].count("pull") == pulls
    assert records.names == {"r.io/web:1": "sha256:r.io/web:1"}


@pytest.mark.parametrize(
    ("failures", "raised", "pulls"),
    [
        ([CannotPull("pull access denied for web")], CannotPull, 1),
        ([CannotPull("manifest for r.io/web:1 not found: manifest unknown")], CannotPull, 1),
        ([CannotPull("toomanyrequests: slow down")] * 9, CannotPull, 5),
        ([EngineTimeout("silent")] * 9, CannotPull, 5),
        ([EngineUnavailable("gone")], EngineUnavailable, 1),
    ],
)
async def test_a_pull_is_given_up(
    puller: tuple[Puller, MemoryEngine, ImageRecords], failures: list[Any], raised: type[Exception], pulls: int
) -> None:
    pull, engine, records = puller
    engine.failing_pulls["r.io/web:1"] = list(failures)
    with pytest.raises(raised):
        await pull.pull("r.io/web:1")
    assert [call for call, _ in engine.calls].count("pull") == pulls
    assert not records.names


def test_progress_is_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    progress = Progress("web", -1e9)
    assert progress.percent is None
    progress("a", 10, 100)
    progress("b", 60, 100)
    assert progress.percent == 35
    assert [record.getMessage() for record in caplog.records] == ["pulling image=web percent=10"]


@pytest.mark.parametrize("damage", [None, b"", b"[]", b'{"images": {"a": {"pulled_at": 1}}, "names": {}}'])
def test_records_are_kept_and_may_be_lost(tmp_path: Path, damage: bytes | None) -> None:
    records = ImageRecords(tmp_path)
    records.pulled("web:1", "a", 5)
    records.used(["a", "unknown"], 7)
    if damage is not None:
        (tmp_path / "images").write_bytes(damage)
    again = ImageRecords(tmp_path)
    assert again.images == ({"a": ImageRecord(5, 7)} if damage is None else {})
    assert again.names == ({"web:1": "a"} if damage is None else {})
    again.keep_only([])
    assert not ImageRecords(tmp_path).names


def pulled(number: int, used_at: int) -> tuple[Image, ImageRecord]:
    return Image(f"sha256:{number}", (f"r.io/web:{number}",)), ImageRecord(used_at, used_at)


def host(*entries: tuple[Image, ImageRecord], **more: Any) -> HostImages:
    records = {image.image_id: record for image, record in entries}
    return HostImages([image for image, _ in entries], records=records, **more)


def test_least_recently_used_first_and_only_so_many() -> None:
    entries = [pulled(number, NOW - AGE - number) for number in range(8)]
    went = dispensable(host(*entries), RULES, NOW).images
    assert [image.image_id for image in went] == [f"sha256:{number}" for number in (7, 6, 5, 4, 3)]


@pytest.mark.parametrize(
    ("more", "rules", "goes"),
    [
        ({}, RULES, True),
        ({"used": {"sha256:1"}}, RULES, False),
        ({"wanted": {"r.io/web:1"}}, RULES, False),
        ({"wanted": {"r.io/web:2", "web"}}, RULES, True),
        ({}, replace(RULES, image_cleanup_excluded=("r.io/web:1",)), False),
        ({}, replace(RULES, image_cleanup_excluded=("sha256:1",)), False),
        ({}, replace(RULES, image_cleanup_minimum_age_seconds=2 * AGE / 1000), False),
    ],
)
def test_what_stays(more: Any, rules: Configuration, goes: bool) -> None:
    assert bool(dispensable(host(pulled(1, NOW - AGE), **more), rules, NOW).images) == goes


@pytest.mark.parametrize(
    ("image", "untracked", "goes"),
    [
        (Image("sha256:1", ("built:1",)), True, False),
        (Image("sha256:1", ("r.io/a:1",), ("r.io/a@sha256:2",)), True, True),
        (Image("sha256:1", ("r.io/a:1",), ("r.io/a@sha256:2",)), False, False),
        (Image("sha256:1"), True, True),
        (Image("sha256:1"), False, False),
        (Image("sha256:1", ("shoal/pause:1",), ("shoal/pause@sha256:2",)), True, False),
    ],
)
def test_images_the_agent_did_not_pull(image: Image, untracked: bool, goes: bool) -> None:
    rules = replace(RULES, image_cleanup_untracked=untracked)
    assert bool(dispensable(HostImages([image]), rules, NOW).images) == goes


@given(
    ages=st.lists(st.integers(0, 2 * AGE), max_size=12),
    used=st.sets(st.integers(0, 11)),
    wanted=st.sets(st.integers(0, 11)),
    dead=st.integers(0, 20),
    disk_percent=st.none() | st.floats(0, 100),
)
def test_nothing_needed_ever_goes_and_pressure_takes_the_rest(
    ages: list[int], used: set[int], wanted: set[int], dead: int, disk_percent: float | None
) -> None:
    entries = [pulled(number, NOW - age) for number, age in enumerate(ages)]
    there = host(
        *entries,
        used={f"sha256:{number}" for number in used},
        wanted={f"r.io/web:{number}" for number in wanted},
        dead=[f"t{number}" for number in range(dead)],
        disk_percent=disk_percent,
    )
    went = dispensable(there, RULES, NOW)
    numbers = {int(image.image_id.removeprefix("sha256:")) for image in went.images}
    pressed = disk_percent is not None and disk_percent >= RULES.image_cleanup_disk_percent
    least_age = GRACE_MILLIS if pressed else AGE
    free = {number for number, age in enumerate(ages) if age >= least_age} - used - wanted
    assert numbers <= free
    assert len(numbers) == (len(free) if pressed else min(5, len(free)))
    assert went.dead == tuple(there.dead[: DEAD_TASKS_PER_PASS if pressed else 0])


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    quick(monkeypatch)
    made = Rig(tmp_path, MemoryEngine(registry=("r.io/web:1",)), RULES)
    await made.start()
    yield made
    await made.crash()


async def test_a_full_disk_takes_dead_containers_and_then_their_images(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_cleaner, "LOOK_PERIOD_SECONDS", 0.01)
    rig.assign(assignment("t1", definition=definition(image="r.io/web:1")))
    await rig.report("t1", "RUNNING")
    records = ImageRecords(tmp_path)
    records.pulled("r.io/web:1", "sha256:r.io/web:1", 0)
    cleaner = ImageCleaner(rig.around, rig.worker, records)
    percent: list[float | None] = [99.0]

    async def disk_percent() -> float | None:
        return percent[0]

    monkeypatch.setattr(cleaner, "disk_percent", disk_percent)
    await cleaner.clean(99.0)
    assert "r.io/web:1" in rig.engine.images
    rig.engine.end(rig.name("t1"), 0)
    await rig.report("t1", "STOPPED")
    await cleaner.clean(50.0)
    assert rig.engine.boxes
    running = asyncio.create_task(cleaner.run())
    await rig.until(lambda: not rig.engine.boxes)
    records.images["sha256:r.io/web:1"] = ImageRecord(0, 0)  # last used long ago, and not just now
    await rig.until(lambda: "r.io/web:1" not in rig.engine.images)
    running.cancel()


@pytest.mark.parametrize("keys", [{"image_cleanup": False}, {"image_pull_behavior": "prefer-cached"}])
@pytest.mark.parametrize("disk_percent", [None, 99.0])
def test_images_may_be_kept_but_dead_containers_go(keys: Any, disk_percent: float | None) -> None:
    there = host(pulled(1, 0), dead=["t1"], disk_percent=disk_percent)
    went = dispensable(there, replace(RULES, **keys), NOW)
    assert (went.images, went.dead) == ((), ("t1",) if disk_percent else ())
