"""Damage in a store: found, never served as if it were whole, said, and healed by a push."""

import asyncio
import json
import random
from pathlib import Path

import aiohttp
import pytest
from shoal_registry.scrubbing import Pace, Scrub
from shoal_registry.storage import paths
from shoal_registry.storage.folder import FolderStore
from shoal_registry.storage.listing import paths_in
from shoal_registry.storage.protection import Wanted, protected

from tests.ground.certificates import Certificates
from tests.ground.image_registry import ImageRegistry
from tests.ground.waiting import wait_until
from tests.registry.client import digest_of
from tests.registry.conftest import RegistryFactory
from tests.registry.stores import open_store_at, place_of
from tests.registry.test_at_rest import files_of, master_key_of, program, session_of
from tests.registry.test_crashes import pull_all
from tests.registry.test_encrypted import content_path

LAYER = random.Random(4).randbytes(700_000)
OPTIONS = pytest.mark.parametrize("options", [(), ("--no-encryption",)], ids=["encrypted", "plain"])


def spoil(registry: ImageRegistry, content: bytes) -> None:
    """A bit of what is stored of it, in its last third."""
    (path,) = [path for path in files_of(registry, content) if "contents" in path.parts]
    stored = bytearray(path.read_bytes())
    stored[len(stored) * 2 // 3] ^= 4
    path.write_bytes(stored)


def scrub(registry: ImageRegistry, *more: str) -> tuple[int, str]:
    protection = registry.options if registry.options else ("--master-key", master_key_of(registry))
    done = program("scrub", "--store", registry.store, *protection, *more)
    assert "Traceback" not in done.stderr, done
    return done.returncode, done.stdout


@OPTIONS
async def test_a_scrub_finds_what_is_damaged(registry_factory: RegistryFactory, options: tuple[str, ...]) -> None:
    registry = registry_factory(*options)
    async with aiohttp.ClientSession() as session:
        client = session_of(registry, session, "team/web")
        digest = await client.push_image("v1", LAYER, b"whole")
        other = session_of(registry, session, "team/other")
        await other.call("POST", f"blobs/uploads/?mount={digest_of(LAYER)}&from=team/web")
        assert scrub(registry)[0] == 0
        spoil(registry, LAYER)
        status, said = scrub(registry)
        assert (status, f"DAMAGED {digest_of(LAYER)}" in said) == (1, True), said
        assert "used in team/web: v1" in said
        assert "used in team/other: no tag" in said
        # Clients look whether it is there before they push.
        assert (await client.call("HEAD", f"blobs/{digest_of(LAYER)}")).status == 404
        assert (await client.call("GET", f"manifests/{digest}")).status == 200
        report = json.loads(scrub(registry, "--json")[1])
        assert (report["contents"], [each["digest"] for each in report["damaged"]]) == (3, [digest_of(LAYER)])
        await client.push_blob(LAYER)
        assert await pull_all(client) == {"v1": digest}
        assert (await other.call("GET", f"blobs/{digest_of(LAYER)}")).body == LAYER
        assert scrub(registry)[0] == 0
        assert not any_set_aside(registry.store)


@OPTIONS
async def test_what_is_damaged_is_never_served_as_whole(
    registry_factory: RegistryFactory, options: tuple[str, ...]
) -> None:
    """The pull breaks off; then the registry no longer says that it has it, and a push heals it."""
    registry = registry_factory(*options)
    async with aiohttp.ClientSession() as session:
        client = session_of(registry, session)
        digest = await client.push_image("v1", LAYER)
        spoil(registry, LAYER)
        with pytest.raises(aiohttp.ClientError):
            await client.call("GET", f"blobs/{digest_of(LAYER)}")
        await wait_until(lambda: any_set_aside(registry.store), why="the blob set aside")
        assert (await client.call("HEAD", f"blobs/{digest_of(LAYER)}")).status == 404
        await client.push_image("v1", LAYER)
        assert await pull_all(client) == {"v1": digest}


@OPTIONS
async def test_a_damaged_manifest_is_pushed_again(registry_factory: RegistryFactory, options: tuple[str, ...]) -> None:
    registry = registry_factory(*options)
    async with aiohttp.ClientSession() as session:
        client = session_of(registry, session)
        manifest = await client.image(LAYER)
        digest = await client.push_manifest("v1", manifest)
        spoil(registry, json.dumps(manifest).encode())
        answer = await client.call("GET", "manifests/v1")
        assert (answer.status, answer.codes) == (500, ["INTERNAL"])
        assert b"damaged" in answer.body
        await wait_until(lambda: any_set_aside(registry.store), why="the manifest set aside")
        assert (await client.call("GET", "manifests/v1")).status == 404
        await client.push_manifest("v1", manifest)
        assert await pull_all(client) == {"v1": digest}


def any_set_aside(store: Path) -> bool:
    return any(store.glob("damaged/*/content"))


async def test_a_registry_scrubs_by_itself(registry_factory: RegistryFactory) -> None:
    registry = registry_factory("--scrub-days", "0.00001")
    async with aiohttp.ClientSession() as session:
        client = session_of(registry, session)
        await client.push_blob(LAYER)
        spoil(registry, LAYER)
        await wait_until(lambda: any_set_aside(registry.store), why="the blob set aside")
        await wait_until(lambda: has_report_of(registry.store, digest_of(LAYER)), why="the blob in the log")


def has_report_of(store: Path, digest: str) -> bool:
    return any(digest in path.read_text() for path in store.glob("damaged/*/finding"))


async def test_a_content_whose_key_is_not_there_is_not_damaged(registry_factory: RegistryFactory) -> None:
    """A scrub with a key file that lacks a former key takes nothing away."""
    registry = registry_factory()
    async with aiohttp.ClientSession() as session:
        client = session_of(registry, session)
        await client.push_blob(LAYER)
        (key,) = [path for path in files_of(registry, LAYER) if "keys" in path.parts]
        before = key.read_bytes()
        key.write_bytes(bytes(8) + before[8:])
        status, said = scrub(registry)
        assert (status, f"CANNOT BE READ {digest_of(LAYER)}" in said) == (1, True), said
        key.write_bytes(before)
        assert scrub(registry)[0] == 0


async def test_keys_go_with_their_contents(registry_factory: RegistryFactory) -> None:
    registry = registry_factory("--garbage-grace-seconds", "0.5", "--collect-every", "0.2")
    async with aiohttp.ClientSession() as session:
        client = session_of(registry, session)
        digest = await client.push_image("v1", LAYER)
        await client.push_blob(b"of no manifest")
        await wait_until(lambda: not files_of(registry, b"of no manifest"), why="the blob collected, with its key")
        assert await pull_all(client) == {"v1": digest}


async def test_keys_that_a_crash_left_go(tmp_path: Path) -> None:
    """Not before it is certain that nobody is about to write their contents."""
    folder, clock = FolderStore(tmp_path / "store"), [1_000_000.0]
    store = await protected(folder, Wanted(tmp_path / "master.key"))
    path = content_path(LAYER)
    await store.put(path, LAYER)
    (kept,) = [each async for each in paths_in(folder, paths.KEYS)]
    spare = paths.content_key(content_path(b"never written"), bytes(16))
    beside = paths.content_key(path, bytes(16))
    for each in (spare, beside):
        await folder.put(each, b"a key")
    scrub = Scrub(store, folder, lambda: clock[0])
    for later, left in [(0, {kept, spare, beside}), (60, {kept, spare, beside}), (7200, {kept})]:
        clock[0] += later
        await scrub.run(Pace(None))
        assert {each async for each in paths_in(folder, paths.KEYS)} == left
    assert await store.read(path) == LAYER
    folder.close()


def test_a_scrub_of_nothing_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    done = program("scrub", "--store", tmp_path / "store", "--master-key", tmp_path / "master.key")
    assert (done.returncode, "There is nothing in the store" in done.stderr) == (1, True), done
    assert not (tmp_path / "master.key").exists()


async def test_in_a_bucket(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, certificates: Certificates
) -> None:
    """Nothing in it can be read; another master key, a scrub, and a push that heals, as in a folder."""
    place, key = place_of("s3", tmp_path, request, monkeypatch), tmp_path / "master.key"
    registry = ImageRegistry(tmp_path / "registry", certificates, ("--store", place[0], "--master-key", str(key)))
    options = ("--store", place[0], "--master-key", key)
    registry.start()
    try:
        async with aiohttp.ClientSession() as session:
            client, bucket, path = session_of(registry, session), open_store_at(*place), content_path(LAYER)
            digest = await client.push_image("v1", LAYER)
            rotated = await asyncio.to_thread(program, "master_key", *options, "rotate")
            forgotten = await asyncio.to_thread(program, "master_key", *options, "forget")
            assert (rotated.returncode, forgotten.returncode) == (0, 0), (rotated, forgotten)
            stored = await bucket.read(path) or b""
            assert not [at for at in range(0, len(LAYER) - 16, 5_000) if LAYER[at : at + 16] in stored]
            await bucket.put(path, stored[:-1] + bytes([stored[-1] ^ 1]))
            scrubbed = await asyncio.to_thread(program, "scrub", *options)
            assert (scrubbed.returncode, f"DAMAGED {digest_of(LAYER)}" in scrubbed.stdout) == (1, True), scrubbed
            assert await bucket.size(paths.damaged(paths.digest_of(path)) / "content") == len(stored)
            assert (await client.call("HEAD", f"blobs/{digest_of(LAYER)}")).status == 404
            await client.push_blob(LAYER)
            assert await pull_all(client) == {"v1": digest}
            healed = await asyncio.to_thread(program, "scrub", *options)
            assert healed.returncode == 0, healed
    finally:
        registry.end()
