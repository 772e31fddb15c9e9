"""Is the cluster on this machine well? Asked by `up` while it waits, and by `doctor`."""

import asyncio
import contextlib
import http.client
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal import errors
from shoal.cli import engine_http

if TYPE_CHECKING:
    from shoal.client import Client
    from shoal.context import Context
    from shoal.supervisor.settings import Settings
    from shoal.v1.container_instance_pb2 import ContainerInstance

PROBE_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Place:
    """A host to be. prefix: of the names of its programs, engine and agent."""

    docker_host: str
    instance_id: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """What is lacking, in words, for each part; empty when it is well."""

    engine: str
    etcd: str
    scheduler: str
    registry: str
    agent: str
    engine_version: str = ""
    instance: "ContainerInstance | None" = None
    place: Place | None = None

    @property
    def lacking(self) -> str:
        """The first thing that is lacking, in the order in which they come up; empty when all is well."""
        return self.engine or self.etcd or self.scheduler or self.registry or self.agent

    @property
    def culprit(self) -> str:
        """The program whose log should say why."""
        prefix = self.place.prefix if self.place is not None else ""
        if self.engine:
            return f"{prefix}engine" if prefix else "dockerd"
        parts = {"etcd": self.etcd, "scheduler": self.scheduler, "registry": self.registry}
        return next((name for name, lacks in parts.items() if lacks), f"{prefix}agent")


async def probe(places: Sequence[Place], settings: "Settings", context: "Context", client: "Client") -> Health:
    """Of the first place where something is lacking, or of the last."""
    for place in places:
        health = await _probe(place, settings, context, client)
        if health.lacking:
            break
    return health


async def _probe(place: Place, settings: "Settings", context: "Context", client: "Client") -> Health:
    engine, version = await asyncio.to_thread(_engine, place.docker_host)
    scheduler = await serving(context)
    # Where a leader serves, its store does; and etcd logs a complaint about whoever only knocks.
    etcd = await _etcd(settings) if scheduler else ""
    registry = await asyncio.to_thread(registry_lacks, context)
    instance = None if scheduler else await _instance(client, settings.cluster, place.instance_id)
    agent = "" if instance is not None else f"the {place.prefix}agent has not registered yet"
    return Health(engine, etcd, scheduler, registry, agent, version, instance, place)


def registry_lacks(context: "Context") -> str:
    """Empty if it answers as an image registry does, in the cluster's name, or if there is none."""
    if context.registry is None:
        return ""
    try:
        trust = ssl.create_default_context(cafile=str(context.authority))
        connection = http.client.HTTPSConnection(context.registry, timeout=PROBE_TIMEOUT_SECONDS, context=trust)
        with contextlib.closing(connection):
            connection.request("GET", "/v2/")
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"the image registry at {context.registry} does not answer yet: {error}"
    # Whoever it is may have to say first who they are.
    return "" if status in (200, 401) else f"the image registry at {context.registry} answers with {status}"


async def serving(context: "Context") -> str:
    """Asks the standard health service; empty if a leader serves, else what is wrong."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from shoal.rpc import Credentials, open_channel

    credentials = Credentials.load(context.authority, context.certificate, context.key)
    said = "the scheduler does not answer yet"
    for endpoint in context.endpoints:
        channel = open_channel(endpoint, credentials)
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=PROBE_TIMEOUT_SECONDS
            )
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return ""
            said = "the scheduler is not leader yet"
        except grpc.aio.AioRpcError as error:
            said = f"the scheduler does not answer yet: {error.details()}"
        finally:
            await channel.close()
    return said


async def _instance(client: "Client", cluster: str, instance_id: str) -> "ContainerInstance | None":
    """That instance, once its agent is connected, has found the engine, and it takes tasks."""
    from shoal.v1 import container_instance_pb2

    request = container_instance_pb2.DescribeContainerInstancesRequest(
        cluster=cluster,
        container_instances=[instance_id],
        include=["CONTAINER_INSTANCE_HEALTH"],
    )
    with contextlib.suppress(errors.ShoalError):
        answer = await client.cluster.DescribeContainerInstances(request, timeout=PROBE_TIMEOUT_SECONDS)
        for instance in answer.container_instances:
            well = instance.health_status.overall_status != "IMPAIRED"
            if instance.agent_connected and well and instance.status in ("ACTIVE", "DRAINING"):
                return instance
    return None


def _engine(docker_host: str) -> tuple[str, str]:
    try:
        return "", str(engine_http.version(docker_host, PROBE_TIMEOUT_SECONDS)["Version"])
    except engine_http.EngineError as error:
        return f"the engine at {error}", ""


async def _etcd(settings: "Settings") -> str:
    """Empty if most of its members listen."""
    listen = sum([await _listens(port) for port, _ in settings.members.values()])
    if listen > len(settings.members) // 2:
        return ""
    if len(settings.members) == 1:
        return "etcd does not listen yet"
    return f"only {listen} of etcd's {len(settings.members)} members listen yet"


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
