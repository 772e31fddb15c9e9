"""Several registries on one store, as on several hosts: what one began another goes on with, and none loses a thing."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import aiohttp
import pytest

from tests.ground.certificates import Certificates
from tests.ground.image_registry import ImageRegistry
from tests.ground.waiting import wait_until
from tests.registry.client import BYTES, Answer, Client, digest_of
from tests.registry.stores import KINDS, place_of

MIB = 1024 * 1024


Registries: TypeAlias = tuple[ImageRegistry, ImageRegistry]


@contextlib.contextmanager
def started(place: tuple[str, str], folder: Path, certificates: Certificates, *options: str) -> Iterator[Registries]:
    """They have their keys in common."""
    keys = "--master-key", str(folder / "master.key"), "--token-key", str(folder / "token.key")
    of_both = "--store", place[0], *keys, *options
    one, other = (ImageRegistry(folder / name, certificates, of_both) for name in ("one", "other"))
    try:
        for each in (one, other):
            each.start()
        yield one, other
    finally:
        for each in (one, other):
            each.end()


@pytest.fixture(scope="module", params=KINDS)
def registries(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Registries]:
    folder = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as monkeypatch:
        place = place_of(request.param, folder, request, monkeypatch)
        with started(place, folder, certificates) as both:
            yield both


@contextlib.asynccontextmanager
async def clients(registries: Registries) -> AsyncIterator[tuple[Client, Client]]:
    async with aiohttp.ClientSession() as session:
        one, other = (Client(session, each.url, each.tls(), "shared") for each in registries)
        yield one, other


async def test_one_goes_on_with_what_another_began(registries: Registries) -> None:
    """Piece by piece in turns, of lengths that fit nothing; whoever is asked then has the whole."""
    content, start = random.Random(1).randbytes(3 * MIB + 7), 0
    async with clients(registries) as (one, other):
        location = await one.begin()
        for number, length in enumerate((1, MIB - 1, 70_000, MIB + 5)):
            client, piece = (one, other)[number % 2], content[start : start + length]
            said = BYTES | {"Content-Range": f"{start}-{start + length - 1}"}
            answer = await client.call("PATCH", location, piece, said)
            assert (answer.status, answer.headers["Range"]) == (202, f"0-{start + length - 1}")
            start += length
        status = await one.call("GET", location)
        assert (status.status, status.headers["Range"]) == (204, f"0-{start - 1}")
        answer = await one.call("PUT", location, content[start:], BYTES, digest=digest_of(content))
        assert answer.status == 201
        for client in (one, other):
            assert (await client.call("GET", f"blobs/{digest_of(content)}")).body == content
            assert (await client.call("GET", location)).status == 404


async def test_both_are_pushed_to_at_once(registries: Registries) -> None:
    """The same layers under the same tags: each tag means one image that was pushed for it, and that is whole."""
    layer = random.Random(2).randbytes(300_000)
    async with clients(registries) as both:

        async def push(client: Client, number: int) -> str:
            return await client.push_image("latest", layer, annotations={"number": str(number)})

        pushed = await asyncio.gather(*(push(client, number) for client in both for number in range(3)))
        seen = [await client.call("GET", "manifests/latest") for client in both]
        assert seen[0].body == seen[1].body
        assert digest_of(seen[0].body) in pushed
        for client in both:
            for digest in pushed:
                manifest = (await client.call("GET", f"manifests/{digest}")).json
                for each in (manifest["config"], *manifest["layers"]):
                    assert digest_of((await client.call("GET", f"blobs/{each['digest']}")).body) == each["digest"]


async def test_two_write_to_one_upload(registries: Registries) -> None:
    """The second is told to wait; what the first sent is whole."""
    async with clients(registries) as (one, other):
        location, goes_on = await one.begin(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"x" * 2 * MIB
            await goes_on.wait()
            yield b"y"

        writing = asyncio.create_task(one.call("PATCH", location, slow(), BYTES))

        async def refused() -> Answer:
            return await other.call("PATCH", location, b"", BYTES)

        def is_refused(answer: Answer) -> bool:
            return answer.status == 409

        await wait_until(refused, is_refused, why="the first writing")
        goes_on.set()
        assert (await writing).headers["Range"] == f"0-{2 * MIB}"
        whole = b"x" * 2 * MIB + b"y"
        assert (await other.call("PUT", location, digest=digest_of(whole))).status == 201


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_abandoned_is_dropped_once(
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By whichever comes first; neither minds the other."""
    place, grace = place_of(kind, tmp_path, request, monkeypatch), ("--upload-grace-seconds", "2")
    with started(place, tmp_path, certificates, *grace) as registries:
        async with clients(registries) as both:
            locations = [await client.begin() for client in both * 3]
            for location in locations:
                await both[0].call("PATCH", location, b"half of it", BYTES)

            async def status_of(location: str) -> int:
                return (await both[1].call("GET", location)).status

            for location in locations:
                await wait_until(partial(status_of, location), (404).__eq__, why="the upload dropped")
