"""The registry of `shoal up`: a task's image comes from it, whatever dies; and what happens while it is away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from shoal.client import Client
from shoal.v1.task_pb2 import Task

from tests.ground import pushed, work
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine
from tests.ground.waiting import wait_until

# Five tries, with pauses of up to 7.5 seconds in all between them.
GIVEN_UP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    cluster: Cluster
    engine: Engine
    client: Client
    base: str

    def image(self, tag: str) -> str:
        return pushed.push(self.cluster, self.engine, self.base, f"team/web:{tag}")

    async def task(self, image: str, *command: str) -> str:
        document = work.definition("from-the-registry", command or ("cat", "/mark"), image=image)
        (task,) = await work.run(self.client, await work.register(self.client, document))
        return task

    async def ended(self, task: str, timeout_seconds: float = 30.0) -> Task:
        return (await work.until_all(self.client, [task], "STOPPED", timeout_seconds))[task]

    async def runs(self, image: str) -> bool:
        """A task of it, to its end."""
        task = await self.ended(await self.task(image))
        return work.exit_codes({"": task}) == {"": 0}

    async def healthy(self) -> None:
        """`shoal up` returns when all is."""
        await asyncio.to_thread(self.cluster.up)


@pytest.fixture
async def place(cluster: Cluster, engine: Engine, busybox_image: str) -> AsyncIterator[Place]:
    async with cluster.client() as client:
        yield Place(cluster, engine, client, busybox_image)


async def test_a_task_runs_an_image_of_it_before_and_after_everything_was_killed(place: Place) -> None:
    image = place.image("restarts")
    assert await place.runs(image)
    before = {program: place.cluster.kill(program) for program in ("registry", "scheduler", "agent")}
    for program, pid in before.items():
        await wait_until(lambda name=program, old=pid: place.cluster.has_restarted(name, old), why=f"{program} runs")  # type: ignore[misc]
    await place.healthy()
    place.engine.docker("rmi", "--force", image)
    assert await place.runs(image)


async def test_while_it_is_away_images_that_are_here_run_and_others_say_why_not(place: Place) -> None:
    here, elsewhere = place.image("here"), place.image("elsewhere")
    assert await place.runs(here)
    certificate = place.cluster.layout.certificates / "registry.crt"
    certificate.rename(certificate.with_suffix(".away"))
    try:
        place.cluster.kill("registry")
        assert await place.runs(here)
        failed = await place.ended(await place.task(elsewhere), GIVEN_UP_SECONDS)
    finally:
        certificate.with_suffix(".away").rename(certificate)
    assert failed.stop_code == "TaskFailedToStart"
    said = f"the cluster's registry {place.cluster.context.registry} gives no token, temporarily: "
    assert failed.stopped_reason.startswith(f"CannotPullContainerError: {elsewhere}: {said}")
    await place.healthy()
    assert await place.runs(elsewhere)


async def test_what_is_not_in_it_is_said_in_ecs_words(place: Place) -> None:
    image = f"{place.cluster.context.registry}/team/nothing:v1"
    failed = await place.ended(await place.task(image))
    assert failed.stopped_reason.startswith(f"CannotPullContainerError: {image}: ")
    assert "There is no repository team/nothing" in failed.stopped_reason


def test_doctor_looks_at_it(place: Place) -> None:
    rows = [line.split() for line in place.cluster.shoal("doctor").stdout.splitlines()]
    assert ["ok", "registry", place.cluster.context.registry] in rows
