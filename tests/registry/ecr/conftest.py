"""ECR's API of a real registry, as its own client sees it."""

from collections.abc import AsyncIterator

import pytest
from shoal.registry import RegistryClient

from tests.ground.image_registry import ImageRegistry


@pytest.fixture
async def ecr(image_registry: ImageRegistry) -> AsyncIterator[RegistryClient]:
    async with RegistryClient(image_registry.address, image_registry.authority) as client:
        yield client
