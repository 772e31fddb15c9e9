"""One registry for the tests of a module, and a client of it."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import aiohttp
import pytest

from tests.ground.certificates import Certificates
from tests.ground.distribution import Distribution
from tests.ground.image_registry import ImageRegistry
from tests.registry.client import Client

Tried = ImageRegistry | Distribution
REGISTRY_VARIABLE = "SHOAL_TEST_REGISTRY"
RegistryFactory = Callable[..., ImageRegistry]


@pytest.fixture
def registry_factory(tmp_path: Path, certificates: Certificates) -> Iterator[RegistryFactory]:
    """Starts registries, each with a store of its own; further options of the command line may be given."""
    made: list[ImageRegistry] = []

    def make(*options: str) -> ImageRegistry:
        made.append(ImageRegistry(tmp_path / f"registry{len(made)}", certificates, options))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.end()


@pytest.fixture(scope="module")
def image_registry(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[ImageRegistry]:
    registry = ImageRegistry(tmp_path_factory.mktemp("registry"), certificates)
    registry.start()
    yield registry
    registry.end()


@pytest.fixture(scope="module")
def tried(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """What conformance is asked of: this project's registry, unless the environment names the one to compare with."""
    if os.environ.get(REGISTRY_VARIABLE) != "distribution":
        yield request.getfixturevalue("image_registry")
        return
    registry = Distribution(tmp_path_factory.mktemp("distribution"), request.getfixturevalue("certificates"))
    registry.start()
    yield registry
    registry.end()


_NUMBERS = count()


@pytest.fixture
async def client(tried: Tried) -> AsyncIterator[Client]:
    """Of the shared registry; its repository is no other test's."""
    async with aiohttp.ClientSession() as session:
        yield Client(session, tried.url, tried.tls(), f"test/number-{next(_NUMBERS)}")
