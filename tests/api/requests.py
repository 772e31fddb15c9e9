"""Requests that are well formed, for tests to send or to spoil."""

from typing import Any

from shoal.v1 import task_definition_pb2, task_pb2

from tests.fakes.scheduler import Scheduler


def definition(family: str = "web", **more: Any) -> task_definition_pb2.RegisterTaskDefinitionRequest:
    container = task_definition_pb2.ContainerDefinition(name="app", image="busybox", cpu=16, memory=32)
    return task_definition_pb2.RegisterTaskDefinitionRequest(family=family, container_definitions=[container], **more)


async def register(scheduler: Scheduler, family: str = "web", **more: Any) -> str:
    """The ARN of a new revision."""
    answer = await scheduler.cluster.RegisterTaskDefinition(definition(family, **more))
    arn: str = answer.task_definition.task_definition_arn
    return arn


async def run(scheduler: Scheduler, count: int = 1, **more: Any) -> task_pb2.RunTaskResponse:
    request = task_pb2.RunTaskRequest(**{"task_definition": "web", "count": count, **more})
    answer: task_pb2.RunTaskResponse = await scheduler.cluster.RunTask(request)
    return answer
