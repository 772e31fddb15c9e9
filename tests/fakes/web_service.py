"""A service `web` of two tasks on a scheduler, made as callers make one."""

from shoal import awsjson
from shoal.v1 import service_pb2, services_pb2_grpc, task_definition_pb2

from tests.fakes.scheduler import Scheduler

DEFINITION = {"family": "web", "containerDefinitions": [{"name": "app", "image": "busybox", "memory": 64}]}


async def make_web_service(scheduler: Scheduler) -> None:
    definition, _ = awsjson.to_message(DEFINITION, task_definition_pb2.RegisterTaskDefinitionRequest)
    await scheduler.cluster.RegisterTaskDefinition(definition)
    request = service_pb2.CreateServiceRequest(service_name="web", task_definition="web", desired_count=2)
    await services_pb2_grpc.ServicesStub(scheduler.channel()).CreateService(request)
