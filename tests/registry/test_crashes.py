"""A registry that is killed while images are pushed: what has a tag is whole, and what was acknowledged is there."""

import asyncio
import contextlib
import json
import random
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from tests.ground.image_registry import ImageRegistry
from tests.ground.repeats import TEN
from tests.ground.waiting import wait_until
from tests.registry.client import BYTES, CONFIG, LAYER, Answer, Client, descriptor, digest_of, image_manifest
from tests.registry.conftest import RegistryFactory
from tests.registry.stores import files_at, place_of

KILLS = {"folder": 3, "s3": 2}
PUSHERS = 3
PULLERS = 2
# Collecting goes on all the time, of what is older than a busy machine needs for one image.
COLLECTING = ("--collect-every", "0.2", "--garbage-grace-seconds", "60", "--upload-grace-seconds", "60")
SHORT_GRACES = ("--collect-every", "0.2", "--garbage-grace-seconds", "0.5", "--upload-grace-seconds", "0.5")
# The hexadecimal digits of a digest, or an upload's id.
_MANIFEST = re.compile(r"repositories/[^/]+/_manifests/sha256/([^/]+)$")
_OF_SOMETHING = re.compile(
    r"(?:contents/sha256/../|(?:holders|unheld)/sha256/|repositories/[^/]+/_[btup]\w*/sha256/|uploads/)([^/]+)"
)


@dataclass(slots=True)
class Seen:
    """`acknowledged` are the digests of tags; `deleting`, those that somebody tried to delete."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    deleting: set[str] = field(default_factory=set)
    pulls: int = 0

    @property
    def expected(self) -> dict[str, str]:
        return {tag: digest for tag, digest in self.acknowledged.items() if digest not in self.deleting}


@pytest.mark.parametrize("repeat", TEN)
@pytest.mark.parametrize("kind", ["folder", pytest.param("s3", marks=pytest.mark.slow)])
async def test_every_visible_tag_pulls_whole(
    kind: str,
    repeat: int,
    registry_factory: RegistryFactory,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whenever it is killed, beside pushes, pulls, deletes and collections; and in the end nothing else is left."""
    place = place_of(kind, tmp_path, request, monkeypatch)
    registry, chance, seen = registry_factory(*COLLECTING, "--store", place[0]), random.Random(repeat), Seen()
    for kill in range(KILLS[kind]):
        await live_until_killed(registry, f"{repeat}-{kill}", chance, seen)
        registry.start()
        async with aiohttp.ClientSession() as session:
            tags = await pull_all(Client(session, registry.url, registry.tls(), "pushed"))
        assert seen.expected.items() <= tags.items()
    assert seen.pulls
    registry.end()
    registry.options = *SHORT_GRACES, "--store", place[0]
    registry.start()
    async with aiohttp.ClientSession() as session:
        client = Client(session, registry.url, registry.tls(), "pushed")

        def is_nothing(left: set[str]) -> bool:
            return not left

        left: set[str] = await wait_until(
            partial(left_over, client, place),
            is_nothing,
            timeout_seconds=300,
            why="nothing left of what was killed",
        )
        assert not left
        tags = await pull_all(client)
    assert seen.expected.items() <= tags.items()


async def live_until_killed(registry: ImageRegistry, prefix: str, chance: random.Random, seen: Seen) -> None:
    async with aiohttp.ClientSession() as session:
        client = Client(session, registry.url, registry.tls(), "pushed")
        lives = [
            *(keep_pushing(client, f"{prefix}-{number}", random.Random(number), seen) for number in range(PUSHERS)),
            *(keep_pulling(client, random.Random(f"{prefix} {number}"), seen) for number in range(PULLERS)),
            keep_deleting(client, random.Random(prefix), seen),
        ]
        tasks = [asyncio.create_task(life) for life in lives]
        # So that the strike hits a registry that is busy, at a point that chance chooses.
        before = len(seen.acknowledged)
        await wait_until(lambda: len(seen.acknowledged) > before, timeout_seconds=120, why="the first image pushed")
        await asyncio.sleep(chance.uniform(0, 1))
        registry.kill()
        for each in tasks:
            each.cancel()
        await asyncio.wait(tasks)
        for each in tasks:
            if not each.cancelled():
                each.result()


async def keep_pushing(client: Client, prefix: str, chance: random.Random, seen: Seen) -> None:
    """Images of some layers, one of which all share; a tag that moves; ends when the registry does."""
    with contextlib.suppress(aiohttp.ClientError, ConnectionError):
        for number in range(10_000):
            layers = [b"shared by all", *(chance.randbytes(chance.randrange(300_000)) for _ in range(3))]
            for content in (b"{}", *layers):
                await push_in_chunks(client, content)
            described = [descriptor(layer, LAYER) for layer in layers]
            manifest = image_manifest(descriptor(b"{}", CONFIG), described, annotations={"of": f"{prefix}-{number}"})
            seen.acknowledged[f"{prefix}-{number}"] = await client.push_manifest(f"{prefix}-{number}", manifest)
            await client.push_manifest("latest", manifest)


async def keep_pulling(client: Client, chance: random.Random, seen: Seen) -> None:
    with contextlib.suppress(aiohttp.ClientError, ConnectionError):
        while True:
            if not (expected := seen.expected):
                await asyncio.sleep(0.01)
                continue
            tag, digest = chance.choice(list(expected.items()))
            try:
                assert await pull(client, tag) == digest
            except AssertionError:
                # Somebody deleted it meanwhile.
                assert digest in seen.deleting
            seen.pulls += 1


async def keep_deleting(client: Client, chance: random.Random, seen: Seen) -> None:
    """One of three of those that are pushed."""
    with contextlib.suppress(aiohttp.ClientError, ConnectionError):
        while True:
            if len(seen.expected) * 2 < len(seen.deleting) + 2:
                await asyncio.sleep(0.01)
                continue
            digest = chance.choice(list(seen.expected.values()))
            seen.deleting.add(digest)
            assert (await client.call("DELETE", f"manifests/{digest}")).status in (202, 404)


async def left_over(client: Client, place: tuple[str, str]) -> set[str]:
    """What no manifest needs, and what tells of what is not there. Keys that fit nothing are removed by a scrub."""
    files = files_at(*place)
    names = {found[1] for each in files if (found := _MANIFEST.match(each))}
    for name in tuple(names):
        manifest = (await client.call("GET", f"manifests/sha256:{name}")).json
        names |= {each["digest"].partition(":")[2] for each in (manifest["config"], *manifest["layers"])}
    return {each for each in files if (found := _OF_SOMETHING.match(each)) and found[1] not in names}


async def push_in_chunks(client: Client, content: bytes) -> None:
    location, half = await client.begin(), len(content) // 2
    await client.call("PATCH", location, content[:half], BYTES)
    answer = await client.call("PUT", location, content[half:], BYTES, digest=digest_of(content))
    assert answer.status == 201


async def pull_all(client: Client) -> dict[str, str]:
    """The digest of each tag, after everything was compared with its own digest."""
    tags = (await client.call("GET", "tags/list")).json["tags"]
    return {tag: await pull(client, tag) for tag in tags}


async def pull(client: Client, tag: str) -> str:
    """Its digest. Whatever is missing, or is not what it says, fails."""
    manifest = await client.call("GET", f"manifests/{tag}")
    assert (manifest.status, digest_of(manifest.body)) == (200, manifest.headers.get("Docker-Content-Digest"))
    for each in (manifest.json["config"], *manifest.json["layers"]):
        blob = await client.call("GET", f"blobs/{each['digest']}")
        assert (blob.status, digest_of(blob.body), len(blob.body)) == (200, each["digest"], each["size"])
    return digest_of(manifest.body)


async def test_an_upload_goes_on_after_a_kill(registry_factory: RegistryFactory) -> None:
    registry, content = registry_factory(), random.Random(1).randbytes(3_000_000)
    async with aiohttp.ClientSession() as session:
        client = Client(session, registry.url, registry.tls(), "resumed")
        location = await client.begin()
        assert (await client.call("PATCH", location, content[:1_700_000], BYTES)).status == 202
    registry.kill()
    registry.start()
    async with aiohttp.ClientSession() as session:
        client = Client(session, registry.url, registry.tls(), "resumed")
        status = await client.call("GET", location)
        assert (status.status, status.headers["Range"]) == (204, "0-1699999")
        rest = BYTES | {"Content-Range": f"1700000-{len(content) - 1}"}
        assert (await client.call("PATCH", location, content[1_700_000:], rest)).status == 202
        assert (await client.call("PUT", location, digest=digest_of(content))).status == 201
        assert (await client.call("GET", f"blobs/{digest_of(content)}")).body == content


async def test_what_came_before_a_connection_broke_is_kept(registry_factory: RegistryFactory) -> None:
    registry, content = registry_factory(), b"z" * 2_500_000

    async def breaks_off() -> object:
        yield content[:1_500_000]
        raise ConnectionError("unplugged")

    async with aiohttp.ClientSession() as session:
        client = Client(session, registry.url, registry.tls(), "resumed")
        location = await client.begin()
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            await client.call("PATCH", location, breaks_off(), BYTES)

        async def append_nothing() -> Answer:
            return await client.call("PATCH", location, b"", BYTES)

        # Until the registry has noticed, the upload is still that connection's.
        def is_free(seen: Answer) -> bool:
            return seen.status == 202

        answer: Answer = await wait_until(append_nothing, is_free, why="the upload free again")
        arrived = int(answer.headers["Range"].removeprefix("0-")) + 1
        assert 1 < arrived <= 1_500_000
        closed = await client.call("PUT", location, content[arrived:], BYTES, digest=digest_of(content))
        assert closed.status == 201


async def test_an_abandoned_upload_is_dropped_after_its_grace(registry_factory: RegistryFactory) -> None:
    registry = registry_factory("--upload-grace-seconds", "0.5")
    async with aiohttp.ClientSession() as session:
        client = Client(session, registry.url, registry.tls(), "abandoned")
        location = await client.begin()
        await client.call("PATCH", location, b"half of it", BYTES)
        await wait_until(lambda: not list((registry.store / "uploads").iterdir()), why="the upload dropped")
        assert (await client.call("GET", location)).status == 404


async def test_a_restart_changes_nothing(registry_factory: RegistryFactory) -> None:
    registry = registry_factory()
    async with aiohttp.ClientSession() as session:
        client = Client(session, registry.url, registry.tls(), "kept")
        digest = await client.push_image("v1", b"layer")
    registry.end()
    registry.start()
    async with aiohttp.ClientSession() as session:
        client = Client(session, registry.url, registry.tls(), "kept")
        assert await pull_all(client) == {"v1": digest}
        assert json.loads((await client.call("GET", "tags/list")).body)["tags"] == ["v1"]
