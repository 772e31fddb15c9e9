"""The standard services beside ours, and the control plane's description of itself."""

from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from shoal.v1 import cluster_pb2

from tests.fakes.scheduler import Scheduler

SERVICES = {"shoal.v1.Cluster", "shoal.v1.AgentSession", "grpc.health.v1.Health"}
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_describes_the_control_plane(scheduler: Scheduler) -> None:
    answer = await scheduler.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
    assert answer.protocol_version == 1
    assert (answer.epoch, answer.store_version) == (scheduler.plane.epoch, "memory")
    assert answer.store_revision == scheduler.plane.tables.revision
    assert answer.now_millis > 0


async def test_health_follows_the_lead(scheduler: Scheduler) -> None:
    stub = health_pb2_grpc.HealthStub(scheduler.channel())
    for name in ("", "shoal.v1.Cluster", "shoal.v1.AgentSession"):
        assert (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    await scheduler.server.set_serving(False)
    assert (await watch.read()).status == NOT_SERVING
    watch.cancel()


async def test_reflection_names_the_services(scheduler: Scheduler) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(scheduler.channel())
    call: Any = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    answer = await call.read()
    assert {service.name for service in answer.list_services_response.service} > SERVICES
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol="shoal.v1.Cluster"))
    assert (await call.read()).file_descriptor_response.file_descriptor_proto
    await call.done_writing()
