"""What lies in a store: nothing that can be read without the master key, and how a registry starts on it."""

import asyncio
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.ground.image_registry import ImageRegistry
from tests.registry.client import BYTES, Client, digest_of
from tests.registry.conftest import RegistryFactory
from tests.registry.test_crashes import pull_all

MARKERS = [random.Random(seed).randbytes(24) for seed in range(6)]
# At the beginning, within chunks, across their ends, and last.
OFFSETS = [0, 1000, 64 * 1024 - 12, 300_000, 1024 * 1024 - 5, 1_500_000 - 24]


def session_of(registry: ImageRegistry, session: aiohttp.ClientSession, repository: str = "kept") -> Client:
    return Client(session, registry.url, registry.tls(), repository)


def layer() -> bytes:
    content = bytearray(random.Random(9).randbytes(1_500_000))
    for marker, offset in zip(MARKERS, OFFSETS, strict=True):
        content[offset : offset + len(marker)] = marker
    return bytes(content)


def program(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"shoal_registry.{name}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def master_key_of(registry: ImageRegistry) -> Path:
    return registry.folder / "tls" / "master.key"


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("options", [(), ("--no-encryption",)], ids=["encrypted", "plain"])
async def test_a_copy_of_the_store_holds_no_byte_of_a_layer(
    registry_factory: RegistryFactory, tmp_path: Path, options: tuple[str, ...]
) -> None:
    registry = registry_factory(*options)
    async with aiohttp.ClientSession() as session:
        client = session_of(registry, session)
        await client.push_image("v1", layer(), annotations={"secret": MARKERS[0].hex()})
        await client.call("PATCH", await client.begin(), layer(), BYTES)
        shutil.copytree(registry.store, tmp_path / "copy")
    wanted = [*MARKERS, MARKERS[0].hex().encode(), *(marker[:12] for marker in MARKERS)]
    contents = [path.read_bytes() for path in files_in(tmp_path / "copy")]
    found = {marker for marker in wanted for content in contents if marker in content}
    # The same search finds every one of them where nothing is encrypted.
    assert found == (set(wanted) if options else set())
    assert master_key_of(registry).exists() is not bool(options)


async def test_a_registry_does_not_start_without_its_key(registry_factory: RegistryFactory) -> None:
    registry = registry_factory()
    async with aiohttp.ClientSession() as session:
        digest = await session_of(registry, session).push_image("v1", layer())
    registry.end()
    copy = registry.folder / "copy-of-the-key"
    master_key_of(registry).rename(copy)
    assert_refused(registry, (), r"is not there\. Give the file that it was started with before")
    assert not master_key_of(registry).exists()
    assert_refused(registry, ("--master-key", str(registry.store / "key")), "lies in the store")
    registry.options = ("--master-key", str(copy))
    registry.start()
    async with aiohttp.ClientSession() as session:
        assert await pull_all(session_of(registry, session)) == {"v1": digest}


def assert_refused(registry: ImageRegistry, options: tuple[str, ...], said: str) -> None:
    refused = ImageRegistry(registry.folder, registry.certificates, options)
    with pytest.raises(RuntimeError, match=said):
        refused.start()


async def test_a_registry_that_loses_its_key_file_takes_nothing_more(registry_factory: RegistryFactory) -> None:
    """What only it knows the key of would be lost with it. What there is can be pulled."""
    registry = registry_factory()
    async with aiohttp.ClientSession() as session:
        client = session_of(registry, session)
        digest = await client.push_image("v1", layer())
        master_key_of(registry).rename(registry.folder / "away")
        refused = await client.call("PUT", await client.begin(), b"a blob", BYTES, digest=digest_of(b"a blob"))
        assert (refused.status, b"no master key" in refused.body) == (500, True)
        assert await pull_all(client) == {"v1": digest}
        (registry.folder / "away").rename(master_key_of(registry))
        await client.push_blob(b"a blob")


async def test_an_upload_that_was_not_kept_whole_is_refused(registry_factory: RegistryFactory) -> None:
    registry = registry_factory()
    async with aiohttp.ClientSession() as session:
        location = await session_of(registry, session).begin()
        await session_of(registry, session).call("PATCH", location, layer(), BYTES)
    registry.kill()
    # As a power failure leaves what was never promised to be kept.
    (data,) = registry.store.glob("uploads/*/data")
    stored = bytearray(data.read_bytes())
    stored[200_000:300_000] = bytes(100_000)
    data.write_bytes(stored)
    registry.start()
    async with aiohttp.ClientSession() as session:
        client = session_of(registry, session)
        refused = await client.call("PUT", location, headers={"Content-Length": "0"}, digest=digest_of(layer()))
        assert (refused.status, refused.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
        assert b"not kept whole" in refused.body
        assert not list(registry.store.glob("uploads/*/data"))
        await client.push_blob(layer())


async def test_a_plain_store_is_encrypted_from_a_moment_on(registry_factory: RegistryFactory) -> None:
    registry = registry_factory("--no-encryption")
    async with aiohttp.ClientSession() as session:
        before = await session_of(registry, session).push_image("before", layer())
    registry.end()
    assert_refused(registry, (), "--encrypt-from-now-on")
    registry.options = ("--encrypt-from-now-on",)
    registry.start()
    async with aiohttp.ClientSession() as session:
        client = session_of(registry, session)
        after = await client.push_image("after", MARKERS[1] * 100)
        assert await pull_all(client) == {"before": before, "after": after}
        stored = [path.read_bytes() for path in files_in(registry.store / "contents")]
        assert not [content for content in stored if MARKERS[1] * 100 in content]
        options = ("--store", registry.store, "--master-key", master_key_of(registry))
        scrub = await asyncio.to_thread(program, "scrub", *options)
        # Not the configuration, which was pushed once more.
        assert (scrub.returncode, "\n2 of them are not encrypted." in scrub.stdout) == (0, True), scrub
        encrypted = await asyncio.to_thread(program, "scrub", *options, "--encrypt")
        assert (encrypted.returncode, "All are whole" in encrypted.stdout) == (0, True), encrypted
        assert await pull_all(client) == {"before": before, "after": after}
    contents = [path.read_bytes() for path in files_in(registry.store)]
    assert not [marker for marker in MARKERS for content in contents if marker in content]
    registry.end()
    registry.options = ()
    registry.start()
    async with aiohttp.ClientSession() as session:
        assert await pull_all(session_of(registry, session)) == {"before": before, "after": after}


async def test_another_master_key_beside_two_registries(registry_factory: RegistryFactory) -> None:
    first = registry_factory()
    second = ImageRegistry(first.folder, first.certificates)
    second.start()
    options = ("--store", first.store, "--master-key", master_key_of(first))
    try:
        async with aiohttp.ClientSession() as session:
            one, two = session_of(first, session), session_of(second, session)
            tags = {"v1": await one.push_image("v1", layer())}
            location = await one.begin()
            await one.call("PATCH", location, b"half", BYTES)
            stored = {path: path.read_bytes() for path in files_of(first, layer())}
            pushing = asyncio.create_task(push_many(two, tags))
            rotated = await asyncio.to_thread(program, "master_key", *options, "rotate")
            assert rotated.returncode == 0, rotated
            await pushing
            changed = {path for path, before in stored.items() if path.read_bytes() != before}
            assert changed == {path for path in stored if "keys" in path.parts}
            for client in (one, two):
                assert await pull_all(client) == tags
            # The upload is of the former key still.
            refused = await asyncio.to_thread(program, "master_key", *options, "forget")
            assert (refused.returncode, "opens 1" in refused.stderr) == (1, True), refused
            closed = await two.call("PUT", location, b" a blob", BYTES, digest=digest_of(b"half a blob"))
            assert closed.status == 201
            forgotten = await asyncio.to_thread(program, "master_key", *options, "forget")
            assert forgotten.returncode == 0, forgotten
            shown = await asyncio.to_thread(program, "master_key", *options, "show")
            assert (len(shown.stdout.splitlines()), "current" in shown.stdout) == (1, True), shown
            for client in (one, two):
                assert await pull_all(client) == tags
    finally:
        second.end()
    first.end()
    first.start()
    async with aiohttp.ClientSession() as session:
        assert await pull_all(session_of(first, session)) == tags


def files_of(registry: ImageRegistry, content: bytes) -> list[Path]:
    """What is stored of it, and its key."""
    return [
        path for path in files_in(registry.store) if path.name.startswith(digest_of(content).removeprefix("sha256:"))
    ]


async def push_many(client: Client, tags: dict[str, str]) -> None:
    for number in range(10):
        tags[f"more-{number}"] = await client.push_image(f"more-{number}", os.urandom(100_000))


async def test_a_rotation_that_was_cut_off_goes_on(registry_factory: RegistryFactory) -> None:
    registry = registry_factory()
    async with aiohttp.ClientSession() as session:
        tags = {"v1": await session_of(registry, session).push_image("v1", layer())}
        options = ("--store", registry.store, "--master-key", master_key_of(registry))
        keys = files_in(registry.store / "keys")
        before = {path: path.read_bytes() for path in keys}
        assert program("master_key", *options, "rotate").returncode == 0
        # As if it had been killed after the others.
        keys[0].write_bytes(before[keys[0]])
        assert "opens 1" in program("master_key", *options, "show").stdout
        assert program("master_key", *options, "forget").returncode == 1
        assert program("master_key", *options, "rewrap").returncode == 0
        assert program("master_key", *options, "forget").returncode == 0
        assert await pull_all(session_of(registry, session)) == tags
