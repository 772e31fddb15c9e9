"""Several processes that serve one port: each takes its share, and another takes its place when it dies."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.ground.certificates import Certificates
from tests.ground.image_registry import ROOT, ImageRegistry
from tests.ground.waiting import block_until, wait_until
from tests.registry.client import BYTES, Client, digest_of
from tests.registry.conftest import RegistryFactory

WORKERS = 2
PATHS = os.pathsep.join(str(ROOT / part) for part in ("proto", "registry"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[ImageRegistry]:
    made = ImageRegistry(tmp_path_factory.mktemp("workers"), certificates, ("--workers", str(WORKERS)))
    made.start()
    yield made
    made.end()


def workers_of(registry: ImageRegistry) -> list[psutil.Process]:
    return psutil.Process(registry.pid).children()


@contextlib.asynccontextmanager
async def connected(registry: ImageRegistry, repository: str) -> AsyncIterator[Client]:
    """A new connection for every call: any of the workers may get it."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield Client(session, registry.url, registry.tls(), repository)


def serving(registry: ImageRegistry) -> list[psutil.Process]:
    """Those that listen."""
    return [each for each in workers_of(registry) if any(one.status == "LISTEN" for one in each.net_connections("tcp"))]


async def test_an_upload_goes_from_worker_to_worker(registry: ImageRegistry) -> None:
    await wait_until(lambda: len(serving(registry)) == WORKERS, why="all workers listening")
    async with connected(registry, "shared") as client:
        for number in range(6):
            content = bytes([number]) * 300_000
            location = await client.begin()
            for start in range(0, len(content), 100_000):
                piece = content[start : start + 100_000]
                said = BYTES | {"Content-Range": f"{start}-{start + len(piece) - 1}"}
                assert (await client.call("PATCH", location, piece, said)).status == 202
            assert (await client.call("PUT", location, digest=digest_of(content))).status == 201
            assert (await client.call("GET", f"blobs/{digest_of(content)}")).body == content


async def test_images_are_pushed_to_all_at_once(registry: ImageRegistry) -> None:
    """Of the same layers, under the same tags: what has a tag in the end is one of them, and whole."""
    async with connected(registry, "shared") as client:

        async def push(number: int) -> list[str]:
            layers = b"shared", f"of {number}".encode()
            return [await client.push_image(tag, *layers) for tag in ("latest", f"v{number}", "latest")]

        pushed = await asyncio.gather(*map(push, range(8)))
        digests = {tag: (await client.call("GET", f"manifests/{tag}")) for tag in ("latest", "v0", "v7")}
        assert digest_of(digests["latest"].body) in {each for of_one in pushed for each in of_one}
        assert digest_of(digests["v7"].body) == pushed[7][1]
        for each in digests["latest"].json["layers"]:
            assert digest_of((await client.call("GET", f"blobs/{each['digest']}")).body) == each["digest"]


async def test_a_worker_that_dies_is_replaced(registry: ImageRegistry) -> None:
    await wait_until(lambda: len(serving(registry)) == WORKERS, why="all workers listening")
    killed = workers_of(registry)[0]
    killed.kill()
    async with connected(registry, "kept") as client:
        # The others go on; the kernel may still have given a connection to the one that died.
        digest: str = await wait_until(partial(client.push_image, "v1", b"layer"), why="a push")
        assert digest
    await wait_until(lambda: len(serving(registry)) == WORKERS, why="another worker listening")
    assert killed.pid not in {each.pid for each in workers_of(registry)}


@pytest.mark.parametrize("end", [ImageRegistry.end, ImageRegistry.kill])
def test_workers_end_with_who_started_them(
    registry_factory: RegistryFactory, end: Callable[[ImageRegistry], None]
) -> None:
    registry = registry_factory("--workers", str(WORKERS))
    block_until(lambda: len(serving(registry)) == WORKERS, why="all workers listening")
    workers = workers_of(registry)
    assert len(workers) == WORKERS
    end(registry)
    block_until(lambda: not any(each.is_running() for each in workers), why="all workers gone")


def test_what_never_starts_is_not_tried_for_ever(tmp_path: Path) -> None:
    absent, store = tmp_path / "absent", tmp_path / "store"
    options = {"--listen": "127.0.0.1:0", "--store": store, "--certificate": absent, "--key": absent, "--workers": 2}
    command = [sys.executable, "-m", "shoal_registry", *(str(each) for option in options.items() for each in option)]
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": PATHS}, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "No such file" in ended.stderr
