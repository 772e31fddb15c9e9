"""A host that is silent for longer than the session deadline, and returns: real programs and containers, one host."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from shoal import arn
from shoal.client import Client
from shoal.v1 import container_instance_pb2

from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine
from tests.ground.waiting import wait_until

SLEEPER = work.definition("lost-sleeper", ["sleep", "600"], stopTimeout=1)
DEADLINE_SECONDS = 15.0

# What a loaded machine may take beyond what the programs themselves take.
PATIENCE_SECONDS = 30.0


@contextmanager
def paused(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def run(client: Client, *kinds: str) -> list[str]:
    """One task for each; "" says nothing of host loss."""
    definition = await work.register(client, SLEEPER)
    ids = [(await work.run(client, definition, on_disconnect=kind or None))[0] for kind in kinds]
    await work.until_all(client, ids, "RUNNING")
    return ids


def containers_of(engine: Engine, task_id: str) -> list[str]:
    """Ids of those that run."""
    return engine.docker("ps", "--quiet", "--no-trunc", "--filter", f"label=shoal.task={task_id}").split()


async def heir_of(client: Client, task_id: str) -> str:
    task = (await work.describe(client, [task_id]))[task_id]
    return arn.short(task.replaced_by)


async def until_guarded(client: Client) -> None:
    """Until the agent has said that its watchdog runs."""
    request = container_instance_pb2.ListContainerInstancesRequest(filter="attribute:shoal.watchdog == true")

    async def found() -> int:
        return len((await client.cluster.ListContainerInstances(request)).container_instance_arns)

    def is_there(count: int) -> bool:
        return count == 1

    await wait_until(found, is_there)


@pytest.fixture(scope="module")
def guarded(ground: Path, engine: Engine, busybox_image: str) -> Iterator[Cluster]:
    """A cluster of its own, whose agent has a watchdog."""
    made = Cluster(ground / "guarded", engine.host, engine)
    made.layout.root.mkdir(parents=True)
    made.layout.agent_config.write_text("watchdog = true\n")
    made.up()
    yield made
    made.end()


async def test_tasks_of_a_hung_agent_are_replaced_and_its_copies_end(guarded: Cluster, engine: Engine) -> None:
    async with guarded.client() as client:
        await until_guarded(client)
        kept, exclusive, plain = await run(client, "keep", "exclusive", "")
        before = work.docker_ids(await work.describe(client, [plain]))
        with paused(guarded.pid("agent")):
            since = time.monotonic()
            lost = await work.until_all(client, [kept], "STOPPED", DEADLINE_SECONDS + PATIENCE_SECONDS)
            assert time.monotonic() - since > DEADLINE_SECONDS - 4  # it had been heard up to a heartbeat before
            assert lost[kept].stop_code == "HostLost"
            heir = await heir_of(client, kept)
            assert (await work.describe(client, [heir]))[heir].last_status == "PROVISIONING"
            assert (await work.describe(client, [plain]))[plain].last_status == "RUNNING"
            assert containers_of(engine, kept)
            taken = await work.until_all(client, [exclusive], "STOPPED", DEADLINE_SECONDS + PATIENCE_SECONDS)
            assert taken[exclusive].stop_code == "HostLost"
            assert not containers_of(engine, exclusive)  # though its agent hangs
        heirs = [heir, await heir_of(client, exclusive)]
        await work.until_all(client, heirs, "RUNNING", PATIENCE_SECONDS)
        await wait_until(lambda: not containers_of(engine, kept), timeout_seconds=PATIENCE_SECONDS)
        assert work.docker_ids(await work.describe(client, [plain])) == before
        assert containers_of(engine, plain) == [before[plain]]
        await work.stop(client, [plain, *heirs])
        await work.until_all(client, [plain, *heirs], "STOPPED")


async def test_an_agent_that_nobody_hears_ends_what_must_not_run_twice(guarded: Cluster, engine: Engine) -> None:
    async with guarded.client() as client:
        stopping, kept, plain = await run(client, "stop", "keep", "")
        before = work.docker_ids(await work.describe(client, [kept, plain]))
        with paused(guarded.pid("scheduler")):
            since = time.monotonic()
            await wait_until(
                lambda: not containers_of(engine, stopping), timeout_seconds=DEADLINE_SECONDS + PATIENCE_SECONDS
            )
            assert time.monotonic() - since > DEADLINE_SECONDS - 4
        ended = await work.until_all(client, [stopping], "STOPPED", PATIENCE_SECONDS)
        assert ended[stopping].stop_code == "HostLost"
        assert "No scheduler has heard this instance" in ended[stopping].stopped_reason
        assert work.exit_codes(ended) == {stopping: 137}
        heir = await heir_of(client, stopping)
        await work.until_all(client, [heir], "RUNNING", PATIENCE_SECONDS)
        assert work.docker_ids(await work.until_all(client, [kept, plain], "RUNNING")) == before
        await work.stop(client, [kept, plain, heir])
        await work.until_all(client, [kept, plain, heir], "STOPPED")
