"""A registry that is killed while images are pushed: what has a tag is whole, and what was acknowledged is there."""

import asyncio
import contextlib
import json
import random
from functools import partial

import aiohttp
import pytest

from tests.ground.repeats import TEN
from tests.ground.waiting import wait_until
from tests.registry.client import BYTES, CONFIG, LAYER, Answer, Client, descriptor, digest_of, image_manifest
from tests.registry.conftest import RegistryFactory

KILLS = 3
PUSHERS = 4


@pytest.mark.parametrize("repeat", TEN)
async def test_every_visible_tag_pulls_whole(registry_factory: RegistryFactory, repeat: int) -> None:
    registry, chance = registry_factory(), random.Random(repeat)
    acknowledged: dict[str, str] = {}
    for kill in range(KILLS):
        async with aiohttp.ClientSession() as session:
            client = Client(session, registry.url, registry.tls(), "pushed")
            pushers = [
                asyncio.create_task(keep_pushing(client, f"{kill}-{number}", random.Random(number), acknowledged))
                for number in range(PUSHERS)
            ]
            # So that the strike hits a registry that is busy, at a point that chance chooses.
            await wait_until(partial(has_more, acknowledged, len(acknowledged)), why="the first image pushed")
            await asyncio.sleep(chance.uniform(0, 0.5))
            registry.kill()
            for each in pushers:
                each.cancel()
            await asyncio.wait(pushers)
        registry.start()
        async with aiohttp.ClientSession() as session:
            tags = await pull_all(Client(session, registry.url, registry.tls(), "pushed"))
        assert acknowledged.items() <= tags.items()
    assert not list((registry.store / "temporary").glob("*/*"))


def has_more(acknowledged: dict[str, str], before: int) -> bool:
    return len(acknowledged) > before


async def keep_pushing(client: Client, prefix: str, chance: random.Random, acknowledged: dict[str, str]) -> None:
    """Images of some layers, one of which all share; a tag that moves; ends when the registry does."""
    with contextlib.suppress(aiohttp.ClientError, ConnectionError):
        for number in range(10_000):
            layers = [b"shared by all", *(chance.randbytes(chance.randrange(300_000)) for _ in range(3))]
            for content in (b"{}", *layers):
                await push_in_chunks(client, content)
            described = [descriptor(layer, LAYER) for layer in layers]
            manifest = image_manifest(descriptor(b"{}", CONFIG), described, annotations={"of": f"{prefix}-{number}"})
            acknowledged[f"{prefix}-{number}"] = await client.push_manifest(f"{prefix}-{number}", manifest)
            await client.push_manifest("latest", manifest)


async def push_in_chunks(client: Client, content: bytes) -> None:
    location, half = await client.begin(), len(content) // 2
    await client.call("PATCH", location, content[:half], BYTES)
    answer = await client.call("PUT", location, content[half:], BYTES, digest=digest_of(content))
    assert answer.status == 201


async def pull_all(client: Client) -> dict[str, str]:
    """The digest of each tag, after everything was compared with its own digest."""
    found = {}
    for tag in (await client.call("GET", "tags/list")).json["tags"]:
        manifest = await client.call("GET", f"manifests/{tag}")
        assert (manifest.status, digest_of(manifest.body)) == (200, manifest.headers["Docker-Content-Digest"])
        found[tag] = digest_of(manifest.body)
        for each in (manifest.json["config"], *manifest.json["layers"]):
            blob = await client.call("GET", f"blobs/{each['digest']}")
            assert (blob.status, digest_of(blob.body), len(blob.body)) == (200, each["digest"], each["size"])
    return found


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
