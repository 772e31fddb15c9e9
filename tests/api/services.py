"""A task definition and calls about services, for tests of services to build on."""

from collections.abc import Callable
from typing import Any

from shoal import awsjson
from shoal.v1 import service_pb2 as pb
from shoal.v1 import services_pb2_grpc, task_definition_pb2

from tests.fakes.scheduler import Scheduler
from tests.ground.waiting import wait_until

# Simulated agents know no digests.
_AS_TAGGED = {"versionConsistency": "disabled"}
WEB: dict[str, Any] = {
    "family": "web",
    "containerDefinitions": [
        {
            "name": "app",
            "image": "registry.example.com/web:1",
            "cpu": 16,
            "memory": 32,
            "portMappings": [{"containerPort": 80}],
            **_AS_TAGGED,
        },
        {"name": "side", "image": "busybox", "cpu": 16, "memory": 32, **_AS_TAGGED},
    ],
}


def message(document: dict[str, Any], message_type: Any) -> Any:
    return awsjson.to_message(document, message_type, strict=True)[0]


def creation(**fields: Any) -> pb.CreateServiceRequest:
    """Of service web, two tasks; `fields` go over that, and None takes one out."""
    document = {"serviceName": "web", "taskDefinition": "web", "desiredCount": 2, **fields}
    given = {name: value for name, value in document.items() if value is not None}
    request: pb.CreateServiceRequest = message(given, pb.CreateServiceRequest)
    return request


def change(**fields: Any) -> pb.UpdateServiceRequest:
    request: pb.UpdateServiceRequest = message({"service": "web", **fields}, pb.UpdateServiceRequest)
    return request


class Services:
    """Calls of one scheduler, with AWS JSON in and out."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.stub = services_pb2_grpc.ServicesStub(scheduler.channel())

    async def register(self, **fields: Any) -> str:
        """The name of the new revision of definition web."""
        request = message({**WEB, **fields}, task_definition_pb2.RegisterTaskDefinitionRequest)
        definition = (await self.scheduler.cluster.RegisterTaskDefinition(request)).task_definition
        return f"{definition.family}:{definition.revision}"

    async def create(self, **fields: Any) -> dict[str, Any]:
        return awsjson.to_document((await self.stub.CreateService(creation(**fields))).service)

    async def update(self, **fields: Any) -> dict[str, Any]:
        return awsjson.to_document((await self.stub.UpdateService(change(**fields))).service)

    async def delete(self, **fields: Any) -> dict[str, Any]:
        request = message({"service": "web", **fields}, pb.DeleteServiceRequest)
        return awsjson.to_document((await self.stub.DeleteService(request)).service)

    async def describe(self, name: str = "web", **fields: Any) -> dict[str, Any]:
        request = message({"services": [name], **fields}, pb.DescribeServicesRequest)
        (found,) = (await self.stub.DescribeServices(request)).services
        return awsjson.to_document(found)

    async def deployments(self, name: str = "web", **fields: Any) -> list[dict[str, Any]]:
        """The newest first."""
        request = message({"service": name, **fields}, pb.ListServiceDeploymentsRequest)
        answer = await self.stub.ListServiceDeployments(request)
        return [awsjson.to_document(each) for each in answer.service_deployments]

    async def create_and_settle(self, **fields: Any) -> None:
        """A service without tasks, at which nothing is left to be done."""
        await self.create(desiredCount=0, **fields)
        name = fields.get("serviceName", "web")
        await self.until(lambda it: it["deployments"][0]["rolloutState"] == "COMPLETED", name)
        await wait_until(lambda: self.scheduler.plane.tables.is_unsettled, lambda unsettled: not unsettled)

    async def until(self, condition: Callable[[dict[str, Any]], bool], name: str = "web") -> dict[str, Any]:
        """Until the service, as it is described, is so."""
        return await wait_until(lambda: self.describe(name), condition)
