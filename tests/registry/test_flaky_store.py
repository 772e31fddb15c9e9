"""A bucket that is too busy, fails after it has done it, or hangs up: what was acknowledged is there, and whole."""

import asyncio
import random
from pathlib import Path

import aiohttp
import pytest

from tests.ground.flaky import Flaky
from tests.ground.repeats import TEN
from tests.ground.s3 import S3Server
from tests.registry.client import CONFIG, LAYER, Client, descriptor, image_manifest
from tests.registry.conftest import RegistryFactory
from tests.registry.stores import place_of
from tests.registry.test_crashes import pull_all, push_in_chunks

IMAGES = 4


@pytest.mark.parametrize("repeat", TEN)
async def test_images_are_pushed_and_pulled_whole(
    repeat: int,
    registry_factory: RegistryFactory,
    s3_server: S3Server,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place, chance = place_of("s3", tmp_path, request, monkeypatch), random.Random(repeat)
    async with Flaky("127.0.0.1", s3_server.port, repeat) as flaky, aiohttp.ClientSession() as session:
        monkeypatch.setenv("AWS_ENDPOINT_URL", flaky.endpoint)
        registry = await asyncio.to_thread(registry_factory, "--store", place[0])
        client = Client(session, registry.url, registry.tls(), "flaky")

        async def push(number: int) -> str:
            layers = [b"shared by all", *(chance.randbytes(300_000) for _ in range(2))]
            for content in (b"{}", *layers):
                await push_in_chunks(client, content)
            described = [descriptor(layer, LAYER) for layer in layers]
            return await client.push_manifest(f"v{number}", image_manifest(descriptor(b"{}", CONFIG), described))

        pushed = await asyncio.gather(*(push(number) for number in range(IMAGES)))
        assert await pull_all(client) == {f"v{number}": digest for number, digest in enumerate(pushed)}
        assert flaky.failed
