"""What happens in one simulation: a cluster is used while things go wrong; then all is mended and must be well."""

import asyncio
import contextlib
from collections.abc import Collection
from functools import partial
from typing import Any

from shoal import arn
from shoal.client import Client
from shoal.errors import ShoalError
from shoal.v1 import task_definition_pb2, task_pb2

from tests.simulation.ring2.faults import Faults, mend
from tests.simulation.ring2.programs import CLUSTER
from tests.simulation.ring2.world import LINES_KEPT, Result, World, play

TROUBLE_SECONDS = 60.0
CONVERGENCE_SECONDS = 60.0
LOOK_SECONDS = 0.1
RUNS_MAX = 25
DEFINITIONS = {"web": "100000", "job": "60", "port": "100000"}


def run(
    seed: int,
    faults: bool = True,
    mutant: Any = None,
    only: Collection[str] = (),
    keep_lines: int | None = LINES_KEPT,
) -> Result:
    """One cluster's life. `mutant`: a context in which something of the programs is broken on purpose; `only`: the
    kinds of faults that may come, all if there are none."""

    async def story(world: World) -> None:
        world.begin()
        looking = world.loop.create_task(_look(world))
        user = world.client("user")
        using = world.on_host("user", _use(world, user))
        watching = world.on_host("judge", _watch(world, world.client("judge")))
        if faults:
            await Faults(world, only).run(TROUBLE_SECONDS)
        else:
            await asyncio.sleep(TROUBLE_SECONDS)
        world.trace.say("", "all is mended")
        mend(world)
        using.cancel()
        await _converge(world)
        for task in (looking, watching):
            task.cancel()

    return play(seed, story, mutant, keep_lines)


async def _look(world: World) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        world.checks.look()


async def _use(world: World, client: Client) -> None:
    for family, seconds in DEFINITIONS.items():
        await _until_done(partial(_register, client, family, seconds))
    chance, tokens = world.chance, 0
    while tokens < RUNS_MAX:
        await asyncio.sleep(chance.uniform(0.1, 4.0))
        checks = world.checks
        match chance.choices(("run", "stop", "describe"), (4, 2, 1))[0]:
            case "run":
                tokens += 1
                await _run_task(world, client, chance.choice(list(DEFINITIONS)), f"token-{tokens}")
            case "stop" if left := [each for each in checks.acknowledged if each not in checks.stopped]:
                await _stop_task(world, client, chance.choice(left))
            case _:
                with contextlib.suppress(ShoalError):
                    await _described(client)
    await asyncio.Event().wait()


async def _until_done(work: Any) -> None:
    while True:
        try:
            await work()
        except ShoalError:
            await asyncio.sleep(0.5)
        else:
            return


async def _register(client: Client, family: str, seconds: str) -> None:
    container = task_definition_pb2.ContainerDefinition(
        name="app", image="app", command=["sleep", seconds], memory=64, cpu=128, essential=True
    )
    if family == "port":
        container.port_mappings.add(container_port=80, host_port=8080)
    request = task_definition_pb2.RegisterTaskDefinitionRequest(family=family, container_definitions=[container])
    await client.cluster.RegisterTaskDefinition(request)


async def _run_task(world: World, client: Client, family: str, token: str) -> None:
    count = 1 if family == "port" else world.chance.randint(1, 4)
    queue = world.chance.random() < 0.3 and family != "port"  # of a port there is one on each host
    request = task_pb2.RunTaskRequest(
        cluster=CLUSTER, task_definition=family, count=count, client_token=token, queue=queue
    )
    world.checks.facts["asked"] += 1
    answers = []
    for _ in range(world.chance.choice((1, 1, 1, 2))):  # once more: the same tasks, not new ones
        with contextlib.suppress(ShoalError):
            answer = await client.cluster.RunTask(request)
            if answer.tasks:  # where nothing was placed, nothing is remembered either
                answers.append(sorted(arn.short(task.task_arn) for task in answer.tasks))
    for made in answers:
        world.checks.facts["acknowledged"] += 1
        world.checks.acknowledged.update(dict.fromkeys(made, family))
        if made != answers[0]:
            world.checks.violated(f"{token} made {answers[0]}, then {made}")


async def _stop_task(world: World, client: Client, task_id: str) -> None:
    with contextlib.suppress(ShoalError):
        await client.cluster.StopTask(task_pb2.StopTaskRequest(cluster=CLUSTER, task=task_id))
        world.checks.stopped.add(task_id)
        world.checks.facts["stopped"] += 1


async def _watch(world: World, client: Client) -> None:
    while True:
        try:
            async for answer in client.watch(CLUSTER):
                for event in answer.events:
                    if event.HasField("task"):
                        world.checks.on_status(arn.short(event.task.task_arn), event.task.last_status)
        except ShoalError:
            await asyncio.sleep(0.5)


async def _described(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for wanted in ("RUNNING", "STOPPED"):
        token = None
        while True:
            request = task_pb2.ListTasksRequest(cluster=CLUSTER, desired_status=wanted, next_token=token)
            page = await client.cluster.ListTasks(request)
            if page.task_arns:
                asked = task_pb2.DescribeTasksRequest(cluster=CLUSTER, tasks=page.task_arns)
                tasks = (await client.cluster.DescribeTasks(asked)).tasks
                found.update((arn.short(task.task_arn), task) for task in tasks)
            token = page.next_token
            if not token:
                break
    return found


async def _converge(world: World) -> None:
    """All must be as it is wanted in time, and stay so."""
    deadline, wrong = world.loop.now + CONVERGENCE_SECONDS, ["nobody answered"]
    judge = world.client("judge")
    while wrong and world.loop.now < deadline:
        await asyncio.sleep(1.0)
        looked = world.on_host("judge", _look_at_all(judge))
        try:
            async with asyncio.timeout(max(0.1, deadline - world.loop.now)):
                found = await looked
        except (ShoalError, TimeoutError) as error:
            wrong = [f"nobody answered: {error}"]
            continue
        wrong = world.checks.unconverged(found)
    for each in wrong:
        world.checks.violated(f"after {CONVERGENCE_SECONDS:.0f} s without trouble: {each}")


async def _look_at_all(client: Client) -> dict[str, Any]:
    return await _described(client)
