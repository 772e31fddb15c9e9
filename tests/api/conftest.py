"""A scheduler of its own for every test: the real server, mutual TLS, a store in memory."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler
from tests.ground.certificates import Certificates

INSTANCE = "1f" * 16


@pytest.fixture
async def scheduler(certificates: Certificates) -> AsyncIterator[Scheduler]:
    async with Scheduler(certificates) as running:
        yield running


@pytest.fixture
async def agent(scheduler: Scheduler) -> AsyncIterator[SimulatedAgent]:
    """One connected instance with 4 vCPUs and 16 GiB, whose tasks run until they are stopped."""
    async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE) as connected:
        yield connected


@pytest.fixture(scope="session")
def other_certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Of another authority, for another cluster of the same name."""
    return Certificates(tmp_path_factory.mktemp("others"))
