"""Where memory and disks end."""

import asyncio
import contextlib
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.conftest import demand
from tests.ground.certificates import Certificates
from tests.ground.image_registry import ImageRegistry
from tests.ground.waiting import wait_until
from tests.registry.client import BYTES, Client, digest_of
from tests.registry.conftest import RegistryFactory
from tests.registry.stores import files_at, place_of

MIB = 1024 * 1024
BLOB_MIB = 48
PUSHERS = 4


async def test_no_blob_is_ever_in_memory(registry_factory: RegistryFactory) -> None:
    """Four at a time are pushed and pulled; all of them would be 192 MiB."""
    registry = registry_factory()
    before = psutil.Process(registry.pid).memory_info().rss
    async with aiohttp.ClientSession() as session:
        client = Client(session, registry.url, registry.tls(), "large")
        await asyncio.gather(*(push_and_pull(client, number) for number in range(PUSHERS)))
    assert peak_bytes(registry.pid) - before < 80 * MIB


@pytest.mark.slow
async def test_a_gibibyte_goes_to_a_bucket_and_back(
    registry_factory: RegistryFactory,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In parts, of which few are in memory; and nothing is left of the upload."""
    place = place_of("s3", tmp_path, request, monkeypatch)
    registry = await asyncio.to_thread(registry_factory, "--store", place[0])
    before = psutil.Process(registry.pid).memory_info().rss
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(None, sock_read=120)) as session:
        await push_and_pull(Client(session, registry.url, registry.tls(), "large"), 1, 1024)
    assert peak_bytes(registry.pid) - before < 120 * MIB
    assert not {each for each in files_at(*place) if each.startswith("uploads/")}


async def push_and_pull(client: Client, number: int, size_mib: int = BLOB_MIB) -> None:
    piece = bytes([number]) * MIB
    hashing = hashlib.sha256()
    for _ in range(size_mib):
        hashing.update(piece)
    digest = f"sha256:{hashing.hexdigest()}"

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(size_mib):
            yield piece

    answer = await client.call("PATCH", await client.begin(), stream(), BYTES)
    assert answer.status == 202
    assert (await client.call("PUT", answer.headers["Location"], digest=digest)).status == 201
    url = f"{client.url}/v2/{client.repository}/blobs/{digest}"
    async with client.session.get(url, ssl=client.tls) as pulled:
        size = 0
        async for part in pulled.content.iter_chunked(MIB):
            assert part == piece[: len(part)]
            size += len(part)
    assert size == size_mib * MIB


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.fixture
def small_registry(
    request: pytest.FixtureRequest, tmp_path: Path, certificates: Certificates
) -> Iterator[ImageRegistry]:
    """Its store has 4 MiB. Options of its command line can be the parameter."""
    demand("" if os.geteuid() == 0 else "a small disk of the test's own needs root")
    registry = ImageRegistry(tmp_path, certificates, getattr(request, "param", ()))
    registry.store.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", registry.store], check=True)
    try:
        registry.start()
        yield registry
    finally:
        registry.end()
        subprocess.run(["umount", registry.store], check=True)


async def test_a_full_disk(small_registry: ImageRegistry) -> None:
    """Is said so; what is stored stays readable; once there is room again, the same upload goes on."""
    async with aiohttp.ClientSession() as session:
        client = Client(session, small_registry.url, small_registry.tls(), "small")
        await client.push_image("v1", b"layer")
        filler = await client.begin()
        assert (await client.call("PATCH", filler, b"x" * 2 * MIB, BYTES)).status == 202
        content, location = os.urandom(3 * MIB), await client.begin()
        refused = await client.call("PATCH", location, content, BYTES)
        assert (refused.status, refused.codes) == (507, ["INSUFFICIENT_STORAGE"])
        assert "Retry-After" in refused.headers
        assert (await client.call("GET", f"blobs/{digest_of(b'layer')}")).body == b"layer"
        assert (await client.call("DELETE", filler)).status == 204
        status = await client.call("GET", location)
        written = int(status.headers["Range"].removeprefix("0-")) + 1
        answer = await client.call("PUT", location, content[written:], BYTES, digest=digest_of(content))
        assert answer.status == 201
        assert (await client.call("GET", f"blobs/{digest_of(content)}")).body == content


SHORT_GRACES = ("--garbage-grace-seconds", "2", "--collect-every", "0.2")


@pytest.mark.parametrize("small_registry", [SHORT_GRACES], indirect=True)
async def test_collecting_makes_room_on_a_full_disk(small_registry: ImageRegistry) -> None:
    """Although there is none to note that nothing leads to a content."""
    async with aiohttp.ClientSession() as session:
        client = Client(session, small_registry.url, small_registry.tls(), "small")
        await client.push_image("v1", b"layer")
        await client.push_blob(os.urandom(2 * MIB))
        filler = small_registry.store / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        content = os.urandom(MIB)

        async def push() -> int:
            """At once: what comes of it is dropped if not all of it does."""
            answer = await client.call("POST", "blobs/uploads/", content, BYTES, digest=digest_of(content))
            return answer.status

        def is_pushed(status: int) -> bool:
            return status == 201

        pushed: int = await wait_until(push, is_pushed, why="room for another blob", timeout_seconds=60)
        assert pushed == 201
        assert (await client.call("GET", f"blobs/{digest_of(b'layer')}")).body == b"layer"
