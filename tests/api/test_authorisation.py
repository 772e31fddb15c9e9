"""Every method of every service that the server offers, called with every kind of certificate.

The methods come from the server itself: one without a rule here fails.
"""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from shoal import rpc
from shoal.errors import from_rpc

from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler
from tests.ground.certificates import Certificates

OPERATOR = frozenset({"operator"})
AGENT = frozenset({"agent"})
INGRESS = frozenset({"ingress"})
EVERYONE = frozenset({"operator", "agent", "ingress", "scheduler", "etcd"})

OPERATORS_MAY = """
    RegisterTaskDefinition DeregisterTaskDefinition DeleteTaskDefinitions DescribeTaskDefinition ListTaskDefinitions
    ListTaskDefinitionFamilies RunTask RunTasks StartTask StopTask DescribeTasks ListTasks ExplainPlacement
    CreateCluster DescribeClusters ListClusters UpdateCluster UpdateClusterSettings DeleteCluster
    ListContainerInstances DescribeContainerInstances UpdateContainerInstancesState DeregisterContainerInstance
    PutAttributes DeleteAttributes ListAttributes TagResource UntagResource ListTagsForResource Watch ListEvents
    ReadLogs ExecuteCommand PullImage GetUsage DescribeControlPlane
    CreateJoinToken ListJoinTokens RevokeJoinToken RevokeContainerInstance
"""
METRICS = ("ListMetrics", "GetMetricStatistics", "PutMetricData", "DescribeUsage")
ALARMS = """
    PutMetricAlarm DescribeAlarms DeleteAlarms SetAlarmState EnableAlarmActions DisableAlarmActions DescribeAlarmHistory
"""
BATCH = """
    RegisterJobDefinition DeregisterJobDefinition DescribeJobDefinitions CreateComputeEnvironment
    UpdateComputeEnvironment DeleteComputeEnvironment DescribeComputeEnvironments CreateJobQueue UpdateJobQueue
    DeleteJobQueue DescribeJobQueues GetJobQueueSnapshot CreateConsumableResource UpdateConsumableResource
    DeleteConsumableResource DescribeConsumableResource ListConsumableResources ListJobsByConsumableResource
    SubmitJob DescribeJobs ListJobs CancelJob CancelJobs TerminateJob TerminateJobs
"""
REBALANCING = "PlanRebalance StartRebalance StopRebalance DescribeRebalances"
SERVICES = """
    CreateService UpdateService DeleteService DescribeServices ListServices DescribeServiceDeployments
    ListServiceDeployments StopServiceDeployment DescribeServiceRevisions UpdateTaskProtection GetTaskProtection
"""
TRAFFIC = """
    CreateTargetGroup ModifyTargetGroup DeleteTargetGroup DescribeTargetGroups DescribeTargetHealth
    CreateRule ModifyRule DeleteRule DescribeRules DiscoverInstances
"""
AUTOSCALING = """
    RegisterScalableTarget DescribeScalableTargets DeregisterScalableTarget PutScalingPolicy DescribeScalingPolicies
    DeleteScalingPolicy PutScheduledAction DescribeScheduledActions DeleteScheduledAction DescribeScalingActivities
"""
RULES = {
    **{f"/shoal.v1.Cluster/{name}": OPERATOR for name in OPERATORS_MAY.split()},
    **{f"/shoal.v1.Metrics/{name}": OPERATOR for name in METRICS},
    **{f"/shoal.v1.Alarms/{name}": OPERATOR for name in ALARMS.split()},
    **{f"/shoal.v1.Batch/{name}": OPERATOR for name in BATCH.split()},
    **{f"/shoal.v1.Rebalancing/{name}": OPERATOR for name in REBALANCING.split()},
    **{f"/shoal.v1.Services/{name}": OPERATOR for name in SERVICES.split()},
    **{f"/shoal.v1.Traffic/{name}": OPERATOR for name in TRAFFIC.split()},
    **{f"/shoal.v1.Ingress/{name}": INGRESS for name in ("WatchRoutes", "ReportTargets")},
    **{f"/shoal.v1.Autoscaling/{name}": OPERATOR for name in AUTOSCALING.split()},
    **{
        f"/shoal.v1.AgentSession/{name}": AGENT
        for name in ("Session", "SendLogs", "AttachCommand", "SendPull", "ProtectTask")
    },
    **{f"/shoal.v1.Schedulers/{name}": OPERATOR for name in ("DescribeScheduler", "HandOver")},
    **{f"/grpc.health.v1.Health/{name}": EVERYONE for name in ("Check", "List", "Watch")},
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": EVERYONE,
}
FAULTS = {"INTERNAL", "UNKNOWN", "UNIMPLEMENTED"}

# The library's health service has it in its contract only.
UNIMPLEMENTED = "/grpc.health.v1.Health/List"


async def offered(scheduler: Scheduler) -> Iterator[str]:
    """The paths of all methods, by the server's own reflection."""
    call = reflection_pb2_grpc.ServerReflectionStub(scheduler.channel()).ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    answer = await call.read()
    assert isinstance(answer, reflection_pb2.ServerReflectionResponse)
    await call.done_writing()
    pool = descriptor_pool.Default()
    services = [pool.FindServiceByName(each.name) for each in answer.list_services_response.service]
    return (f"/{service.full_name}/{method.name}" for service in services for method in service.methods)


async def outcome(channel: grpc.aio.Channel, path: str) -> tuple[str, str]:
    """The status and reason an empty message is answered with; OK as soon as there is any answer.

    On the wire all kinds of methods are alike: this client can speak to each.
    """
    send: Any = channel.unary_stream(path)
    call = send(b"", timeout=20)
    try:
        await call.read()
    except grpc.aio.AioRpcError as error:
        typed = from_rpc(error)
        return typed.code, typed.reason
    finally:
        call.cancel()
    return "OK", ""


async def test_each_method_has_a_rule(scheduler: Scheduler) -> None:
    assert set(await offered(scheduler)) == set(RULES)


@pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
@pytest.mark.parametrize("role", sorted(EVERYONE))
async def test_the_role_decides(scheduler: Scheduler, role: str, leads: bool) -> None:
    if not leads:
        scheduler.gate.close()
        scheduler.gate.standing.follows("another", "127.0.0.1:1")
    before = scheduler.stored()
    channel = scheduler.channel(role, "1f" * 16)
    for path, roles in RULES.items():
        code, reason = await outcome(channel, path)
        if role in roles:
            assert code not in {"PERMISSION_DENIED", "UNAUTHENTICATED"}, path
            assert code not in FAULTS or path == UNIMPLEMENTED, path
        else:
            assert (code, reason) == ("PERMISSION_DENIED", "AccessDeniedException"), path
    assert role == "operator" or scheduler.stored() == before


@pytest.mark.parametrize("who", ["another authority's", "no certificate", "no TLS"])
async def test_strangers_reach_nothing(scheduler: Scheduler, other_certificates: Certificates, who: str) -> None:
    options = rpc.channel_options()
    authority = scheduler.certificates.credentials("operator", "alice").authority
    other = other_certificates.credentials("operator", "alice")
    if who == "no TLS":
        channel = grpc.aio.insecure_channel(scheduler.address)
    elif who == "no certificate":
        channel = grpc.aio.secure_channel(scheduler.address, grpc.ssl_channel_credentials(authority), options)
    else:
        credentials = grpc.ssl_channel_credentials(authority, other.key, other.certificate)
        channel = grpc.aio.secure_channel(scheduler.address, credentials, options)
    scheduler.keep(channel)
    before = scheduler.stored()
    for path in RULES:
        assert (await outcome(channel, path))[0] == "UNAVAILABLE", path
    assert scheduler.stored() == before


async def test_a_client_refuses_another_authoritys_server(
    scheduler: Scheduler, other_certificates: Certificates
) -> None:
    channel = scheduler.keep(rpc.open_channel(scheduler.address, other_certificates.credentials("operator", "alice")))
    assert (await outcome(channel, "/shoal.v1.Cluster/ListTasks"))[0] == "UNAVAILABLE"


async def test_an_agent_speaks_for_its_own_instance_only(scheduler: Scheduler) -> None:
    """Whatever its message says: the certificate names the instance."""
    async with SimulatedAgent(scheduler.channel("agent", "2e" * 16), "1f" * 16):
        assert list(scheduler.plane.tables.sessions) == ["2e" * 16]


@pytest.mark.parametrize("name", ["a/b", "..", "a b", "%2e", "{{7*7}}"])
async def test_a_name_that_is_none_is_no_instance(scheduler: Scheduler, name: str) -> None:
    before = scheduler.stored()
    channel = scheduler.keep(rpc.open_channel(scheduler.address, scheduler.certificates.credentials("agent", name)))
    code, reason = await outcome(channel, "/shoal.v1.AgentSession/Session")
    assert (code, reason) == ("PERMISSION_DENIED", "AccessDeniedException")
    assert scheduler.stored() == before
