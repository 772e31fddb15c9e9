"""The gRPC server: every method of the contract with its handler and the role that may call it."""

from collections.abc import Mapping

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection
from shoal import rpc
from shoal.v1 import (
    agent_pb2,
    alarms_pb2,
    autoscaling_pb2,
    batch_pb2,
    cluster_pb2,
    metrics_pb2,
    rebalance_pb2,
    scheduler_pb2,
    services_pb2,
    traffic_pb2,
)

from shoal_scheduler.api import (
    agent_session,
    alarms,
    clusters,
    commands,
    control_plane,
    definitions,
    explain,
    image_pulls,
    instances,
    join_tokens,
    logs,
    metrics,
    schedulers,
    tags,
    tasks,
    usage,
    watch,
)
from shoal_scheduler.api.autoscaling.methods import AUTOSCALING_METHODS
from shoal_scheduler.api.batch.methods import BATCH_METHODS
from shoal_scheduler.api.calls import Handler, handlers_of
from shoal_scheduler.api.gate import Gate
from shoal_scheduler.api.rebalance import REBALANCING_METHODS
from shoal_scheduler.api.services import protection
from shoal_scheduler.api.services.methods import SERVICES_METHODS
from shoal_scheduler.api.sizes import check_elements
from shoal_scheduler.api.traffic.methods import INGRESS_METHODS, TRAFFIC_METHODS
from shoal_scheduler.standing import Standing

CLUSTER_METHODS: Mapping[str, Handler] = {
    "RegisterTaskDefinition": definitions.register,
    "DeregisterTaskDefinition": definitions.deregister,
    "DeleteTaskDefinitions": definitions.delete,
    "DescribeTaskDefinition": definitions.describe,
    "ListTaskDefinitions": definitions.list_all,
    "ListTaskDefinitionFamilies": definitions.list_families,
    "RunTask": tasks.run,
    "RunTasks": tasks.run_stream,
    "StartTask": tasks.start,
    "StopTask": tasks.stop,
    "DescribeTasks": tasks.describe,
    "ListTasks": tasks.list_all,
    "ExplainPlacement": explain.explain,
    "CreateCluster": clusters.create,
    "DescribeClusters": clusters.describe,
    "ListClusters": clusters.list_all,
    "UpdateCluster": clusters.update,
    "UpdateClusterSettings": clusters.update_settings,
    "DeleteCluster": clusters.delete,
    "ListContainerInstances": instances.list_all,
    "DescribeContainerInstances": instances.describe,
    "UpdateContainerInstancesState": instances.update_state,
    "DeregisterContainerInstance": instances.deregister,
    "PutAttributes": instances.put_attributes,
    "DeleteAttributes": instances.delete_attributes,
    "ListAttributes": instances.list_attributes,
    "TagResource": tags.tag,
    "UntagResource": tags.untag,
    "ListTagsForResource": tags.list_all,
    "Watch": watch.watch,
    "ListEvents": watch.list_all,
    "ReadLogs": logs.read,
    "ExecuteCommand": commands.execute,
    "PullImage": image_pulls.pull,
    "GetUsage": usage.get,
    "DescribeControlPlane": control_plane.describe,
}
AGENT_METHODS: Mapping[str, Handler] = {
    "Session": agent_session.session,
    "SendLogs": logs.send,
    "AttachCommand": commands.attach,
    "SendPull": image_pulls.send,
    "ProtectTask": protection.of_agent,
}
METRICS_METHODS: Mapping[str, Handler] = {
    "ListMetrics": metrics.list_all,
    "GetMetricStatistics": metrics.statistics_of,
    "PutMetricData": metrics.put,
    "DescribeUsage": metrics.describe_usage,
}
ALARMS_METHODS: Mapping[str, Handler] = {
    "PutMetricAlarm": alarms.put,
    "DescribeAlarms": alarms.describe,
    "DeleteAlarms": alarms.delete,
    "SetAlarmState": alarms.set_state,
    "EnableAlarmActions": alarms.enable,
    "DisableAlarmActions": alarms.disable,
    "DescribeAlarmHistory": alarms.history,
}
SCHEDULERS_METHODS: Mapping[str, Handler] = {
    "DescribeScheduler": schedulers.describe,
    "HandOver": schedulers.hand_over,
}

CLUSTER = cluster_pb2.DESCRIPTOR.services_by_name["Cluster"]
ALARMS = alarms_pb2.DESCRIPTOR.services_by_name["Alarms"]
AUTOSCALING = autoscaling_pb2.DESCRIPTOR.services_by_name["Autoscaling"]
BATCH = batch_pb2.DESCRIPTOR.services_by_name["Batch"]
REBALANCING = rebalance_pb2.DESCRIPTOR.services_by_name["Rebalancing"]
METRICS = metrics_pb2.DESCRIPTOR.services_by_name["Metrics"]
SERVICES = services_pb2.DESCRIPTOR.services_by_name["Services"]
AGENT_SESSION = agent_pb2.DESCRIPTOR.services_by_name["AgentSession"]
TRAFFIC = traffic_pb2.DESCRIPTOR.services_by_name["Traffic"]
INGRESS = traffic_pb2.DESCRIPTOR.services_by_name["Ingress"]
SCHEDULERS = scheduler_pb2.DESCRIPTOR.services_by_name["Schedulers"]

# Those that the leader serves.
LED = (CLUSTER, ALARMS, AUTOSCALING, BATCH, SERVICES, REBALANCING, TRAFFIC, INGRESS, METRICS, AGENT_SESSION)


def bounded_by_their_handlers(_message: Message) -> None:
    """Thousands of reports in a message of an agent are well; how much each may hold, its handler says."""


class Server:
    """Listens from the start; answers UNAVAILABLE, and NOT_SERVING to health checks, while another leads."""

    def __init__(self, listen: str, credentials: rpc.Credentials, gate: Gate) -> None:
        self._server = grpc.aio.server(options=rpc.server_options())
        self._health = health_aio.HealthServicer()

        async def standing() -> Standing:
            return gate.standing

        self._server.add_generic_rpc_handlers(
            (
                handlers_of(
                    CLUSTER,
                    gate.until_known,
                    "operator",
                    {**CLUSTER_METHODS, **join_tokens.methods(credentials.authority)},
                    check_elements,
                ),
                handlers_of(ALARMS, gate.until_known, "operator", ALARMS_METHODS, check_elements),
                handlers_of(BATCH, gate.until_known, "operator", BATCH_METHODS, check_elements),
                handlers_of(SERVICES, gate.until_known, "operator", SERVICES_METHODS, check_elements),
                handlers_of(REBALANCING, gate.until_known, "operator", REBALANCING_METHODS, check_elements),
                handlers_of(TRAFFIC, gate.until_known, "operator", TRAFFIC_METHODS, check_elements),
                handlers_of(INGRESS, gate.until_known, "ingress", INGRESS_METHODS, bounded_by_their_handlers),
                handlers_of(AUTOSCALING, gate.until_known, "operator", AUTOSCALING_METHODS, check_elements),
                handlers_of(METRICS, gate.until_known, "operator", METRICS_METHODS, check_elements),
                handlers_of(AGENT_SESSION, gate.until_known, "agent", AGENT_METHODS, bounded_by_their_handlers),
                handlers_of(SCHEDULERS, standing, "operator", SCHEDULERS_METHODS, check_elements),
            )
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        ours = (*LED, SCHEDULERS)
        names = (*(service.full_name for service in ours), "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self.port = self._server.add_secure_port(listen, rpc.server_credentials(credentials))

    async def start(self) -> None:
        await self.set_serving(False)
        await self._server.start()

    async def set_serving(self, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse
        value = status.SERVING if serving else status.NOT_SERVING
        for name in ("", *(each.full_name for each in LED)):
            await self._health.set(name, value)

    async def stop(self, grace_seconds: float) -> None:
        await self._server.stop(grace_seconds)
