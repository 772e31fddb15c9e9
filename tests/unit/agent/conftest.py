"""An agent's session with a scheduler of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from shoal.certificates import Authority, ensure_authority
from shoal_agent.configuration import Configuration
from shoal_agent.fingerprint import Host, fingerprint
from shoal_agent.metrics.sampler import Sampler
from shoal_agent.session import Caller, Session

from tests.fakes.memory_engine import MemoryEngine
from tests.unit.agent.rig import CLUSTER, INSTANCE, Rig, quick
from tests.unit.agent.scheduler import Connect, FakeScheduler, credentials

HOST = Host(4, 8192, 100_000, ("GPU-1",), "Linux", "aarch64", "somewhere")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return ensure_authority(tmp_path / "authority", CLUSTER, datetime.now(UTC))


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


@pytest.fixture
def sampler(rig: Rig) -> Sampler:
    return Sampler(rig.around, rig.worker)


@pytest.fixture
def made() -> list[Session]:
    """The sessions that `connect` began."""
    return []


@pytest.fixture
async def connect(
    rig: Rig,
    scheduler: FakeScheduler,
    authority: Authority,
    tmp_path: Path,
    sampler: Sampler,
    made: list[Session],
) -> AsyncIterator[Connect]:
    running: list[asyncio.Task[None]] = []

    async def begin(*endpoints: str) -> asyncio.Task[None]:
        mine = credentials(authority, tmp_path, "agent", INSTANCE)
        caller = Caller(mine, 77, fingerprint(HOST, Configuration()), "2e")
        made.append(Session(endpoints or (scheduler.endpoint,), caller, rig.around, rig.worker, rig.watch, sampler))
        running.append(asyncio.create_task(made[-1].run()))
        return running[-1]

    yield begin
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
