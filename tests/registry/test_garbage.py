"""Collecting garbage on every kind of store: what goes, when, and what is said about it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest
from shoal_registry.garbage import Collector, Report
from shoal_registry.links import Links
from shoal_registry.names import Digest, Repository, Tag, UploadId
from shoal_registry.repositories import Repositories
from shoal_registry.storage import paths
from shoal_registry.storage.folder import FolderStore
from shoal_registry.storage.store import Store
from shoal_registry.uploads import Uploads

from tests.registry.stores import KINDS, open_store_at, place_of
from tests.registry.test_prefixes import image, once

GRACE_SECONDS = 1_000.0
A_GRACE = 1.3 * GRACE_SECONDS
ONE, OTHER = Repository("one"), Repository("one/other")
LAYER = b"a layer"
IMAGE = image(LAYER)
MEDIA_TYPE = str(json.loads(IMAGE)["mediaType"])


@dataclass(slots=True)
class Shop:
    """A registry whose clock is set by hand."""

    store: Store
    now: float = 1_000_000.0
    repositories: Repositories = field(init=False)
    uploads: Uploads = field(init=False)
    collector: Collector = field(init=False)
    _numbers: int = 0

    def __post_init__(self) -> None:
        self.repositories = Repositories(self.store, Links(self.store, GRACE_SECONDS, lambda: self.now))
        self.uploads = Uploads(self.store, self.repositories, self._new_upload)
        self.collector = Collector(self.store, self.repositories, GRACE_SECONDS, lambda: self.now)

    async def push(self, repository: Repository, *contents: bytes) -> None:
        for content in contents:
            upload = await self.uploads.begin(repository)
            await self.uploads.append(repository, upload, once(content))
            await self.uploads.commit(repository, upload, Digest.of(content))

    async def push_image(self, repository: Repository, tag: str = "v1") -> Digest:
        await self.push(repository, b"{}", LAYER)
        return (await self.repositories.put_manifest(repository, Tag(tag), IMAGE, MEDIA_TYPE))[0]

    async def collect(self, after: float = A_GRACE) -> Report:
        self.now += after
        return await self.collector.collect()

    async def has(self, repository: Repository, content: bytes) -> bool:
        return await self.repositories.blob_size(repository, Digest.of(content)) is not None

    async def keeps(self, content: bytes) -> bool:
        return await self.store.size(paths.content(Digest.of(content))) is not None

    def _new_upload(self) -> UploadId:
        self._numbers += 1
        return UploadId(f"00000000-0000-0000-0000-{self._numbers:012}")


@pytest.fixture(params=KINDS)
def shop(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    store = open_store_at(*place_of(request.param, tmp_path, request, monkeypatch))
    yield Shop(store)
    if isinstance(store, FolderStore):
        store.close()


@pytest.fixture
def folder_shop(tmp_path: Path) -> Iterator[Shop]:
    store = FolderStore(tmp_path)
    yield Shop(store)
    store.close()


async def test_what_no_manifest_needs_goes_after_its_grace(shop: Shop) -> None:
    await shop.push_image(ONE)
    await shop.push(ONE, b"never needed")
    assert (await shop.collect(0.9 * GRACE_SECONDS)).links == 0
    assert await shop.has(ONE, b"never needed")
    assert (await shop.collect()).links == 1
    # Who reads it at the moment can do so to the end.
    assert not await shop.has(ONE, b"never needed")
    assert await shop.keeps(b"never needed")
    report = await shop.collect()
    assert (report.contents, report.bytes) == (1, len(b"never needed"))
    assert not await shop.keeps(b"never needed")
    for content in (b"{}", LAYER):
        assert await shop.has(ONE, content)
    assert not (await shop.collect()).says_something


async def test_a_tag_that_goes_takes_nothing_with_it(shop: Shop) -> None:
    """A manifest without a tag stays until it is deleted; then what it alone needed goes, and not what others need."""
    digest = await shop.push_image(ONE)
    await shop.push_image(OTHER)
    await shop.repositories.delete_tag(ONE, Tag("v1"))
    assert not (await shop.collect()).says_something
    await shop.repositories.delete_manifest(ONE, digest)
    assert (await shop.collect()).links == 2
    assert not await shop.has(ONE, LAYER)
    await shop.collect()
    assert await shop.has(OTHER, LAYER)
    assert (await shop.repositories.find(OTHER, Tag("v1"))).digest == digest


async def test_who_asks_can_count_on_the_answer(shop: Shop) -> None:
    await shop.push(ONE, b"{}", LAYER)
    shop.now += 1.1 * GRACE_SECONDS
    for content in (b"{}", LAYER):
        assert await shop.repositories.promised_blob_size(ONE, Digest.of(content)) == len(content)
    assert (await shop.collect(0.9 * GRACE_SECONDS)).links == 0
    await shop.repositories.put_manifest(ONE, Tag("v1"), IMAGE, MEDIA_TYPE)
    assert not (await shop.collect()).says_something


async def test_a_deleted_manifest_can_be_pulled_to_the_end(shop: Shop) -> None:
    digest = await shop.push_image(ONE)
    shop.now += A_GRACE
    found = await shop.repositories.find(ONE, digest)
    await shop.repositories.delete_manifest(ONE, digest)
    await shop.collect(0.5 * GRACE_SECONDS)
    assert await shop.repositories.read_manifest(found.digest) == IMAGE
    assert await shop.has(ONE, LAYER)


async def test_a_dry_run_only_tells(shop: Shop) -> None:
    await shop.push(ONE, b"never needed")
    shop.now += A_GRACE
    for _ in range(2):
        report = await shop.collector.collect(is_dry=True)
        assert (report.links, report.contents) == (1, 0)
    await shop.collector.collect()
    report = await shop.collector.collect(is_dry=True)
    assert (report.links, report.contents, report.waiting_contents) == (0, 0, 1)
    assert report.waiting_bytes == len(b"never needed")
    shop.now += A_GRACE
    report = await shop.collector.collect(is_dry=True)
    assert (report.contents, report.bytes, report.waiting_contents) == (1, len(b"never needed"), 0)
    assert await shop.keeps(b"never needed")


async def test_processes_take_turns(shop: Shop) -> None:
    assert await shop.collector.take_turn(3600.0) is not None
    other = Shop(shop.store, shop.now)
    assert await other.collector.take_turn(3600.0) is None
    other.now += 3600.0
    assert await other.collector.take_turn(3600.0) is not None


async def test_what_is_protected_stays(shop: Shop) -> None:
    await shop.push(ONE, b"in use", b"never needed")
    wanted = Digest.of(b"in use")
    collector = Collector(shop.store, shop.repositories, GRACE_SECONDS, lambda: shop.now, lambda each: each == wanted)
    for _ in range(3):
        shop.now += A_GRACE
        await collector.collect()
    assert await shop.has(ONE, b"in use")
    assert not await shop.keeps(b"never needed")


async def test_a_store_from_before_loses_nothing(shop: Shop) -> None:
    """Its links say no moment, and its manifests have no holders; what nothing needs there goes as well."""
    digest = await shop.push_image(ONE)
    await shop.push(ONE, b"never needed")
    for content in (b"{}", LAYER, b"never needed"):
        await shop.store.put(paths.blob(ONE, Digest.of(content)), b"")
    await shop.store.delete(paths.holder(digest, ONE))
    for _ in range(3):
        assert await shop.has(ONE, LAYER)
        assert await shop.repositories.read_manifest(digest) == IMAGE
        assert (await shop.collect()).failed == 0
    assert not await shop.keeps(b"never needed")
    assert await shop.keeps(IMAGE)


async def test_entries_of_what_is_not_there_go(shop: Shop) -> None:
    """As processes leave them that are killed between one write and the next."""
    digest, nobody = await shop.push_image(ONE), Digest.of(b"nobody's")
    false = [
        paths.holder(Digest.of(LAYER), OTHER),
        paths.user(ONE, Digest.of(LAYER), nobody),
        paths.tag_of(ONE, digest, Tag("gone")),
        paths.referrer(ONE, digest, nobody),
        paths.pulled(ONE, nobody),
    ]
    for path in false:
        await shop.store.put(path, b"{}")
    assert (await shop.collect()).entries == len(false)
    assert [await shop.store.size(path) for path in false] == [None] * len(false)
    assert await shop.store.size(paths.user(ONE, Digest.of(LAYER), digest)) is not None


async def test_what_is_no_name_stays_and_is_said(folder_shop: Shop, tmp_path: Path) -> None:
    await folder_shop.push_image(ONE)
    await folder_shop.push(ONE, b"never needed")
    strange = [
        tmp_path / paths.CONTENTS / "sha256" / "ab" / "lost+found",
        tmp_path / paths.holders(Digest.of(b"never needed")) / "Not:A:Name",
        tmp_path / paths.blobs(ONE) / "sha256" / ".nfs0001",
    ]
    for path in strange:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for _ in range(3):
        report = await folder_shop.collect()
        assert (report.strange, report.failed) == (3, 0)
    assert all(path.exists() for path in strange)
    # Whoever that name is of.
    assert await folder_shop.keeps(b"never needed")


class BrokenStore(FolderStore):
    """One file of it cannot be deleted."""

    broken = PurePosixPath()

    async def delete(self, path: PurePosixPath) -> bool:
        if path == self.broken:
            raise OSError(5, "input/output error")
        return await super().delete(path)


async def test_a_step_that_fails_stops_no_other(tmp_path: Path) -> None:
    store = BrokenStore(tmp_path)
    shop = Shop(store)
    await shop.push(ONE, b"stuck", b"never needed")
    store.broken = paths.blob(ONE, Digest.of(b"stuck"))
    report = await shop.collect()
    assert (report.links, report.failed) == (1, 1)
    store.broken = PurePosixPath()
    assert (await shop.collect()).links == 1
    store.close()


def test_the_program_says_what_would_go(tmp_path: Path) -> None:
    async def fill() -> None:
        store = FolderStore(tmp_path)
        await Shop(store).push(ONE, b"never needed")
        store.close()

    asyncio.run(fill())
    command = [sys.executable, "-m", "shoal_registry.collect", "--no-encryption", "--garbage-grace-seconds", "1"]
    said = subprocess.check_output([*command, "--store", tmp_path, "--dry-run"], text=True, timeout=60)
    assert "Would go: 0 contents of 0.0 MiB, 1 links" in said
    assert (tmp_path / paths.blob(ONE, Digest.of(b"never needed"))).exists()
    report = json.loads(subprocess.check_output([*command, "--store", tmp_path, "--json"], timeout=60))
    assert (report["links"], report["failed"]) == (1, 0)
    assert not (tmp_path / paths.blob(ONE, Digest.of(b"never needed"))).exists()
    missing = subprocess.run([*command, "--store", tmp_path / "typo"], capture_output=True, text=True, timeout=60)
    assert (missing.returncode, "There is no store" in missing.stderr) == (1, True)
