"""The engine in memory answers random sequences of calls as a real one does, whatever they ask."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from shoal_agent.engine.docker import DockerEngine

from tests.conformance.sequences import Play, sequence
from tests.fakes.memory_engine import MemoryEngine

pytestmark = pytest.mark.engine

AT_ONCE = 6
FIRST_FEW = range(30)
THOUSAND = range(1000)


@pytest.fixture
async def docker(docker_host: str) -> AsyncIterator[DockerEngine]:
    made = DockerEngine(docker_host)
    yield made
    await made.close()


@pytest.mark.parametrize("seeds", [FIRST_FEW, pytest.param(THOUSAND, marks=pytest.mark.slow)], ids=len)
async def test_random_sequences_are_answered_alike(docker: DockerEngine, busybox_image: str, seeds: range) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def difference(seed: int) -> str:
        async with room:
            calls = sequence(seed, busybox_image)
            real = await Play(docker, busybox_image).answers(calls)
            fake = await Play(MemoryEngine(images=(busybox_image,)), busybox_image).answers(calls)
        pairs = zip(real, fake, strict=True)
        return next((f"seed {seed}: {one} is not {other}" for one, other in pairs if one != other), "")

    # All of them, to their end: a call that is given up may still take effect.
    found = [each for each in await asyncio.gather(*map(difference, seeds)) if each]
    assert not found, "\n".join(found)
