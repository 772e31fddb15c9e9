"""A real session of an agent with a scheduler of the test's own, over real gRPC with TLS both ways."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from shoal.certificates import Authority, ensure_authority, ensure_certificate
from shoal.rpc import Credentials, Identity
from shoal_agent.configuration import Configuration
from shoal_agent.fingerprint import Host, fingerprint
from shoal_agent.images.held import HeldImages
from shoal_agent.interruption import HostInterruption
from shoal_agent.metrics.sampler import Sampler
from shoal_agent.session import Caller, Session

from tests.fakes.memory_engine import MemoryEngine
from tests.unit.agent.rig import CLUSTER, INSTANCE, Rig, quick
from tests.unit.agent.scheduler import FakeScheduler

HOST = Host(4, 8192, 100_000, ("GPU-1",), "Linux", "aarch64", "somewhere")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return ensure_authority(tmp_path / "authority", CLUSTER, datetime.now(UTC))


def credentials(authority: Authority, folder: Path, role: str, name: str) -> Credentials:
    issued = ensure_certificate(authority, folder, role, Identity(CLUSTER, role, name), datetime.now(UTC))
    return Credentials.load(authority.path, issued.certificate, issued.key)


@pytest.fixture
async def scheduler(authority: Authority, tmp_path: Path) -> AsyncIterator[FakeScheduler]:
    made = FakeScheduler(credentials(authority, tmp_path, "scheduler", "one"))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    quick(monkeypatch)
    made = Rig(tmp_path / "state", MemoryEngine(), Configuration())
    made.collects = False
    await made.start()
    yield made
    await made.crash()


Connect = Callable[..., Awaitable[asyncio.Task[None]]]


@pytest.fixture
def made() -> list[Session]:
    """The sessions that `connect` began."""
    return []


@pytest.fixture
def sampler(rig: Rig) -> Sampler:
    return Sampler(rig.around, rig.worker)


@pytest.fixture
async def connect(
    rig: Rig, scheduler: FakeScheduler, authority: Authority, tmp_path: Path, made: list[Session], sampler: Sampler
) -> AsyncIterator[Connect]:
    running: list[asyncio.Task[None]] = []

    async def begin(
        *endpoints: str, images: HeldImages | None = None, interruption: HostInterruption | None = None
    ) -> asyncio.Task[None]:
        mine = credentials(authority, tmp_path, "agent", INSTANCE)
        caller = Caller(mine, 77, fingerprint(HOST, Configuration()), "2e")
        addresses = endpoints or (scheduler.endpoint,)
        made.append(Session(addresses, caller, rig.around, rig.worker, rig.watch, sampler, images, interruption))
        running.append(asyncio.create_task(made[-1].run()))
        return running[-1]

    yield begin
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
