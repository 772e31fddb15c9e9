"""Definitions and tasks through the public client, in one line each."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shoal import arn, awsjson
from shoal.client import Client
from shoal.v1 import task_definition_pb2, task_pb2
from shoal.v1.task_pb2 import Task

from tests.ground.images import BUSYBOX
from tests.ground.waiting import wait_until

DESCRIBE_MAX = 100
AWAY = ("AGENT", "INSTANCE:IMPAIRED")


def definition(family: str, command: Sequence[str], **container: Any) -> dict[str, Any]:
    """One small container that runs `command`; `container` adds fields to it."""
    fields = {"name": family, "image": BUSYBOX, "cpu": 8, "memory": 16, "command": list(command), **container}
    return {"family": family, "networkMode": "none", "containerDefinitions": [fields]}


async def register(client: Client, document: Mapping[str, Any]) -> str:
    """As family:revision."""
    request, _ = awsjson.to_message(document, task_definition_pb2.RegisterTaskDefinitionRequest)
    answer = await client.cluster.RegisterTaskDefinition(request)
    return arn.short(answer.task_definition.task_definition_arn)


async def run(client: Client, definition: str, count: int = 1, **fields: Any) -> list[str]:
    """The ids of its tasks, all of which were placed. `fields` are of the request.

    While no agent is connected, or its engine is away, the cluster refuses, and who wants the tasks asks again.
    """

    async def ask() -> task_pb2.RunTaskResponse:
        request = task_pb2.RunTaskRequest(task_definition=definition, count=count, **fields)
        answer: task_pb2.RunTaskResponse = await client.cluster.RunTask(request)
        return answer

    def is_final(answer: task_pb2.RunTaskResponse) -> bool:
        return not answer.failures or any(failure.reason not in AWAY for failure in answer.failures)

    answer = await wait_until(ask, is_final, 30.0, "an agent is connected")
    assert not answer.failures, answer.failures
    return [
        f"{each.prefix}{number:08x}" for each in answer.task_id_ranges for number in range(each.first, each.last + 1)
    ]


def spread() -> list[task_pb2.PlacementStrategy]:
    """Evenly over the instances."""
    return [task_pb2.PlacementStrategy(type="spread", field="instanceId")]


async def describe(client: Client, ids: Iterable[str]) -> dict[str, Task]:
    """By id; who is not known is not there."""
    wanted, found = list(ids), {}
    for at in range(0, len(wanted), DESCRIBE_MAX):
        request = task_pb2.DescribeTasksRequest(tasks=wanted[at : at + DESCRIBE_MAX])
        answer = await client.cluster.DescribeTasks(request)
        found.update({arn.short(task.task_arn): task for task in answer.tasks})
    return found


async def until_all(client: Client, ids: Sequence[str], status: str, timeout_seconds: float = 30.0) -> dict[str, Task]:
    """Waits until every one of them has that last status."""

    async def statuses() -> dict[str, str]:
        return {id_: task.last_status for id_, task in (await describe(client, ids)).items()}

    def all_there(seen: dict[str, str]) -> bool:
        return len(seen) == len(set(ids)) and set(seen.values()) <= {status}

    await wait_until(statuses, all_there, timeout_seconds, f"{len(ids)} tasks {status}")
    return await describe(client, ids)


async def until_healthy(client: Client, ids: Sequence[str], timeout_seconds: float = 60.0) -> dict[str, Task]:
    """Waits until the health checks of every one of them, and of all its containers, have succeeded."""

    async def healths() -> set[str]:
        tasks = (await describe(client, ids)).values()
        return {task.health_status for task in tasks} | {it.health_status for task in tasks for it in task.containers}

    def all_healthy(seen: set[str]) -> bool:
        return seen == {"HEALTHY"}

    await wait_until(healths, all_healthy, timeout_seconds, f"{len(ids)} tasks HEALTHY")
    return await describe(client, ids)


async def stop(client: Client, ids: Iterable[str]) -> None:
    await asyncio.gather(*(client.cluster.StopTask(task_pb2.StopTaskRequest(task=id_)) for id_ in ids))


def docker_ids(tasks: Mapping[str, Task]) -> dict[str, str]:
    """The engine's id of each task's first container."""
    return {id_: task.containers[0].runtime_id for id_, task in tasks.items()}


def exit_codes(tasks: Mapping[str, Task]) -> dict[str, int | None]:
    """None where no exit code is known."""
    first = {id_: task.containers[0] for id_, task in tasks.items()}
    return {id_: each.exit_code if each.HasField("exit_code") else None for id_, each in first.items()}
