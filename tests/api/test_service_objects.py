"""Services through the running server: created, changed, described, listed, deleted."""

from typing import Any

import grpc
import pytest
from shoal import arn, awsjson
from shoal.v1 import agent_pb2, agent_pb2_grpc, alarms_pb2, alarms_pb2_grpc, cluster_pb2, resource_pb2, task_pb2
from shoal.v1 import service_pb2 as pb
from shoal_scheduler.model.service import Service
from shoal_scheduler.model.traffic import TargetGroup
from shoal_scheduler.state.records import PutRecord

from tests.api.conftest import INSTANCE
from tests.api.refusals import INVALID, PARAMETER, refused_with
from tests.api.services import Services, change, creation
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler

CONFLICT = grpc.StatusCode.ALREADY_EXISTS
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
NOT_FOUND = grpc.StatusCode.NOT_FOUND
BREAKER = {"enable": True, "rollback": True, "thresholdConfiguration": {"type": "COUNT", "value": 3}}


@pytest.fixture
async def services(scheduler: Scheduler) -> Services:
    made = Services(scheduler)
    await made.register()
    return made


async def test_a_service_is_described_as_it_was_made(scheduler: Scheduler, services: Services) -> None:
    answer = await services.stub.CreateService(
        creation(
            deploymentConfiguration={"deploymentCircuitBreaker": BREAKER, "minimumHealthyPercent": 50},
            placementConstraints=[{"type": "distinctInstance"}],
            placementStrategy=[{"type": "binpack", "field": "MEMORY"}],
            serviceRegistries=[{"registryArn": "web", "containerName": "app", "containerPort": 80}],
            healthCheckGracePeriodSeconds=30,
            propagateTags="SERVICE",
            enableExecuteCommand=True,
            role="arn:aws:iam::1:role/x",
            tags=[{"key": "team", "value": "blue"}],
            serviceConnectConfiguration={"enabled": False},
        )
    )
    assert [each.field for each in answer.warnings] == ["role"]
    found = await services.describe(arn.service_arn("default", "web"), include=["TAGS"])
    assert (found["status"], found["desiredCount"], found["runningCount"]) == ("ACTIVE", 2, 0)
    assert found["taskDefinition"] == arn.task_definition_arn("web", 1)
    assert found["deploymentConfiguration"] == {
        "deploymentCircuitBreaker": {"resetOnHealthyTask": True, **BREAKER},
        "maximumPercent": 200,
        "minimumHealthyPercent": 50,
        "strategy": "ROLLING",
        "bakeTimeInMinutes": 0,
        "progressTimeInMinutes": 30,
    }
    assert found["placementConstraints"] == [{"type": "distinctInstance"}]
    assert found["placementStrategy"] == [{"type": "binpack", "field": "memory"}]
    assert found["serviceRegistries"] == [{"registryArn": "web", "containerName": "app", "containerPort": 80}]
    assert (found["healthCheckGracePeriodSeconds"], found["propagateTags"]) == (30, "SERVICE")
    assert (found["availabilityZoneRebalancing"], found["createdBy"]) == ("DISABLED", "alice")
    assert found["tags"] == [{"key": "team", "value": "blue"}]
    (deployment,) = found["deployments"]
    assert (deployment["status"], deployment["rolloutState"]) == ("PRIMARY", "IN_PROGRESS")
    assert deployment["id"].startswith("ecs-svc/")
    kept = (await scheduler.reloaded()).records.get(Service, "default", "web")
    assert kept == scheduler.plane.tables.records.get(Service, "default", "web")


async def test_what_is_not_said_is_as_in_ecs(services: Services) -> None:
    found = await services.create()
    assert (found["schedulingStrategy"], found["propagateTags"], found["launchType"]) == ("REPLICA", "NONE", "EC2")
    assert found["availabilityZoneRebalancing"] == "ENABLED"
    assert found["deploymentConfiguration"]["minimumHealthyPercent"] == 100
    daemon = await services.create(serviceName="each", schedulingStrategy="DAEMON", desiredCount=None)
    assert daemon["availabilityZoneRebalancing"] == "DISABLED"
    assert daemon["deploymentConfiguration"]["minimumHealthyPercent"] == 0
    assert daemon["deploymentConfiguration"]["maximumPercent"] == 100


async def test_the_same_again_is_answered_with_what_is_there(scheduler: Scheduler, services: Services) -> None:
    await services.create(clientToken="one")
    first = await services.until(lambda it: it["pendingCount"] == 2)
    before = scheduler.stored()
    assert await services.create(clientToken="two") == first
    assert scheduler.stored() == before
    await services.register()
    error = await refused_with(services.stub.CreateService(creation(desiredCount=3)), CONFLICT, PARAMETER)
    assert "another desiredCount, taskDefinition" in error.message
    # A repeated call is answered, whatever has become of the service since.
    await services.update(desiredCount=7)
    again = creation(taskDefinition="web:1", clientToken="one")
    call = services.stub.CreateService(again)
    await refused_with(call, CONFLICT, "ClientException")  # another request: it names the revision
    answer = await services.stub.CreateService(creation(clientToken="one"))
    assert answer.service.desired_count == 7


async def test_counts_and_percents_make_no_deployment(services: Services) -> None:
    await services.create()
    before = await services.deployments()
    changed = await services.update(
        desiredCount=3,
        deploymentConfiguration={"maximumPercent": 150},
        placementStrategy=[{"type": "spread", "field": "attribute:ecs.availability-zone"}],
        enableExecuteCommand=True,
        propagateTags="TASK_DEFINITION",
        healthCheckGracePeriodSeconds=5,
        taskDefinition="web",
    )
    assert (changed["desiredCount"], changed["enableExecuteCommand"]) == (3, True)
    configuration = changed["deploymentConfiguration"]
    assert (configuration["maximumPercent"], configuration["minimumHealthyPercent"]) == (150, 100)
    assert [each["serviceDeploymentArn"] for each in await services.deployments()] == [
        each["serviceDeploymentArn"] for each in before
    ]
    removed = await services.update(remove=["placementStrategy"])
    assert "placementStrategy" not in removed


async def test_what_tasks_are_made_of_makes_a_deployment(scheduler: Scheduler, services: Services) -> None:
    await services.create(desiredCount=0)
    await services.register()
    await services.update(taskDefinition="web")
    await services.update(serviceRegistries=[{"registryArn": "web"}])
    await services.update(networkConfiguration={"awsvpcConfiguration": {"subnets": ["a"]}})
    await services.update(platformVersion="1.4.0")
    await services.update(remove=["serviceRegistries"])
    found = await services.deployments()
    assert len(found) == 6
    assert len({each["targetServiceRevisionArn"] for each in found}) == 6
    names = [each["targetServiceRevisionArn"] for each in reversed(found)]
    asked = pb.DescribeServiceRevisionsRequest(service_revision_arns=names)
    answer = await services.stub.DescribeServiceRevisions(asked)
    assert [arn.short(each.task_definition) for each in answer.service_revisions] == ["web:1"] + ["web:2"] * 5
    assert [len(each.service_registries) for each in answer.service_revisions] == [0, 0, 1, 1, 1, 0]
    described = await services.describe()
    assert described["taskDefinition"] == arn.task_definition_arn("web", 2)


async def test_a_deployment_can_be_forced_and_a_repeated_call_forces_it_once(services: Services) -> None:
    await services.create(desiredCount=0)
    for _ in range(2):
        await services.update(forceNewDeployment=True, clientToken="again")
    first, second = await services.deployments()
    assert first["targetServiceRevisionArn"] != second["targetServiceRevisionArn"]
    other = change(desiredCount=1, clientToken="again")
    await refused_with(services.stub.UpdateService(other), CONFLICT, "ClientException")


async def test_a_newer_deployment_takes_the_place_of_one_under_way(services: Services) -> None:
    await services.create()
    await services.update(forceNewDeployment=True)
    newest, before = await services.deployments()
    assert before["status"] == "STOPPED"
    assert "newer deployment" in before["statusReason"]
    assert await services.deployments(status=["STOPPED"]) == [before]
    listed = await services.deployments(createdAt={"before": newest["createdAt"]})
    assert all(each["createdAt"] < newest["createdAt"] for each in listed)
    request = pb.DescribeServiceDeploymentsRequest(service_deployment_arns=[newest["serviceDeploymentArn"]])
    (described,) = (await services.stub.DescribeServiceDeployments(request)).service_deployments
    assert [each.arn for each in described.source_service_revisions] == [before["targetServiceRevisionArn"]]
    assert described.target_service_revision.requested_task_count == 2


async def test_a_service_goes_back_to_a_revision_as_it_was(services: Services) -> None:
    await services.create(desiredCount=0)
    await services.register()
    await services.update(taskDefinition="web")
    _, first = await services.deployments()
    back = await services.update(serviceRevisionArn=first["targetServiceRevisionArn"])
    assert back["taskDefinition"] == arn.task_definition_arn("web", 1)
    newest = (await services.deployments())[0]
    assert newest["targetServiceRevisionArn"] == first["targetServiceRevisionArn"]
    missing = arn.service_revision_arn("default", "web", "0" * 24)
    call = services.stub.UpdateService(change(serviceRevisionArn=missing))
    await refused_with(call, NOT_FOUND, "ServiceNotFoundException")


async def test_a_deployment_is_stopped_once(services: Services) -> None:
    await services.create()
    first = (await services.deployments())[0]["serviceDeploymentArn"]
    rollback = pb.StopServiceDeploymentRequest(service_deployment_arn=first)
    error = await refused_with(services.stub.StopServiceDeployment(rollback), PRECONDITION, "ConflictException")
    assert "use ABORT" in error.message
    await services.update(forceNewDeployment=True)
    await refused_with(services.stub.StopServiceDeployment(rollback), PRECONDITION, "ConflictException")
    unknown = pb.StopServiceDeploymentRequest(
        service_deployment_arn=arn.service_deployment_arn("default", "web", "0" * 24)
    )
    call = services.stub.StopServiceDeployment(unknown)
    await refused_with(call, NOT_FOUND, "ServiceDeploymentNotFoundException")


async def test_a_service_that_wants_tasks_is_deleted_by_force_only(services: Services, agent: SimulatedAgent) -> None:
    await services.create()
    await services.until(lambda it: it["runningCount"] == 2)
    call = services.stub.DeleteService(pb.DeleteServiceRequest(service="web"))
    await refused_with(call, PRECONDITION, PARAMETER)
    assert (await services.delete(force=True))["status"] == "DRAINING"
    gone = await services.until(lambda it: it["status"] == "INACTIVE")
    assert (gone["runningCount"], gone["desiredCount"], "deployments" in gone) == (0, 0, False)
    assert set(agent.tasks.values()) == {"STOPPED"}
    assert (await services.delete())["status"] == "INACTIVE"
    listed = await services.stub.ListServices(pb.ListServicesRequest())
    assert list(listed.service_arns) == []
    update = services.stub.UpdateService(change(desiredCount=1))
    await refused_with(update, PRECONDITION, "ServiceNotActiveException")
    again = await services.create(desiredCount=0)
    assert (again["status"], len(await services.deployments())) == ("ACTIVE", 1)


async def test_its_tasks_are_listed_by_the_service(scheduler: Scheduler, services: Services, agent: Any) -> None:
    await services.create()
    await services.until(lambda it: it["runningCount"] == 2)
    for name, count in (("web", 2), (arn.service_arn("default", "web"), 2), ("other", 0)):
        listed = await scheduler.cluster.ListTasks(task_pb2.ListTasksRequest(service_name=name))
        assert len(listed.task_arns) == count
    described = await scheduler.cluster.DescribeTasks(
        task_pb2.DescribeTasksRequest(
            tasks=(await scheduler.cluster.ListTasks(task_pb2.ListTasksRequest(service_name="web"))).task_arns
        )
    )
    (deployment,) = (await services.describe())["deployments"]
    assert {(each.group, each.started_by) for each in described.tasks} == {("service:web", deployment["id"])}
    (cluster,) = (await scheduler.cluster.DescribeClusters(cluster_pb2.DescribeClustersRequest())).clusters
    assert cluster.active_services_count == 1


async def test_tasks_of_services_are_protected_for_a_while(
    scheduler: Scheduler, services: Services, agent: SimulatedAgent
) -> None:
    await services.create()
    await services.until(lambda it: it["runningCount"] == 2)
    names = list((await scheduler.cluster.ListTasks(task_pb2.ListTasksRequest(service_name="web"))).task_arns)
    alone = await scheduler.cluster.RunTask(task_pb2.RunTaskRequest(task_definition="web"))
    request = pb.UpdateTaskProtectionRequest(
        tasks=[names[0], alone.tasks[0].task_arn, "0" * 32], protection_enabled=True, expires_in_minutes=5
    )
    answer = await services.stub.UpdateTaskProtection(request)
    assert [(each.task_arn, each.protection_enabled) for each in answer.protected_tasks] == [(names[0], True)]
    assert [each.reason for each in answer.failures] == ["TASK_NOT_VALID", "MISSING"]
    got = await services.stub.GetTaskProtection(pb.GetTaskProtectionRequest(tasks=names))
    by_name = {each.task_arn: each for each in got.protected_tasks}
    assert [by_name[name].protection_enabled for name in names] == [True, False]
    assert by_name[names[0]].expiration_date == answer.protected_tasks[0].expiration_date
    await services.stub.UpdateTaskProtection(pb.UpdateTaskProtectionRequest(tasks=names, protection_enabled=False))
    got = await services.stub.GetTaskProtection(pb.GetTaskProtectionRequest(tasks=names))
    assert not any(each.protection_enabled for each in got.protected_tasks)


async def test_a_task_protects_itself_by_its_agent(
    scheduler: Scheduler, services: Services, agent: SimulatedAgent
) -> None:
    await services.create(desiredCount=1)
    await services.until(lambda it: it["runningCount"] == 1)
    (task,) = agent.tasks
    stub = agent_pb2_grpc.AgentSessionStub(scheduler.channel("agent", INSTANCE))
    other = agent_pb2_grpc.AgentSessionStub(scheduler.channel("agent", "2e" * 16))
    asked = agent_pb2.ProtectTaskRequest(task_id=task)
    assert not (await stub.ProtectTask(asked)).protected_task.protection_enabled
    wanted = agent_pb2.ProtectTaskRequest(task_id=task, protection_enabled=True, expires_in_minutes=5)
    assert (await other.ProtectTask(wanted)).failure.reason == "MISSING"
    assert (await stub.ProtectTask(wanted)).protected_task.protection_enabled
    got = await services.stub.GetTaskProtection(pb.GetTaskProtectionRequest(tasks=[task]))
    assert [each.protection_enabled for each in got.protected_tasks] == [True]
    wanted.expires_in_minutes = 2881
    await refused_with(stub.ProtectTask(wanted), INVALID, PARAMETER, "expiresInMinutes")
    (alone,) = (await scheduler.cluster.RunTask(task_pb2.RunTaskRequest(task_definition="web"))).tasks
    wanted = agent_pb2.ProtectTaskRequest(task_id=arn.short(alone.task_arn), protection_enabled=True)
    assert (await stub.ProtectTask(wanted)).failure.reason == "TASK_NOT_VALID"


async def test_tags_are_changed_by_the_methods_of_the_cluster(scheduler: Scheduler, services: Services) -> None:
    await services.create()
    name, tags = arn.service_arn("default", "web"), [resource_pb2.Tag(key="floor", value="2")]
    await scheduler.cluster.TagResource(resource_pb2.TagResourceRequest(resource_arn=name, tags=tags))
    assert (await services.describe(include=["TAGS"]))["tags"] == [{"key": "floor", "value": "2"}]
    assert "tags" not in await services.describe()


async def test_services_come_in_pages_and_by_kind(services: Services) -> None:
    for number in range(3):
        await services.create(serviceName=f"s{number}", desiredCount=0)
    await services.create(serviceName="each", schedulingStrategy="DAEMON", desiredCount=None, launchType="EXTERNAL")
    first = await services.stub.ListServices(pb.ListServicesRequest(max_results=2))
    rest = await services.stub.ListServices(pb.ListServicesRequest(next_token=first.next_token))
    assert [arn.short(each) for each in (*first.service_arns, *rest.service_arns)] == ["each", "s0", "s1", "s2"]
    by_strategy = pb.ListServicesRequest(scheduling_strategy="DAEMON")
    by_type = pb.ListServicesRequest(launch_type="EXTERNAL")
    for wanted in (by_strategy, by_type):
        only = await services.stub.ListServices(wanted)
        assert [arn.short(each) for each in only.service_arns] == ["each"]
    missing = await services.stub.DescribeServices(pb.DescribeServicesRequest(services=["s1", "nobody"]))
    assert [each.service_name for each in missing.services] == ["s1"]
    assert [(each.arn, each.reason) for each in missing.failures] == [(arn.service_arn("default", "nobody"), "MISSING")]


async def test_target_groups_have_to_be_there(scheduler: Scheduler, services: Services) -> None:
    balancer = {"targetGroupArn": "web", "containerName": "app", "containerPort": 80}
    call = services.stub.CreateService(creation(loadBalancers=[balancer]))
    await refused_with(call, INVALID, PARAMETER, "loadBalancers[0].targetGroupArn")
    alarm = {"alarms": {"enable": True, "rollback": True, "alarmNames": ["errors"]}}
    call = services.stub.CreateService(creation(deploymentConfiguration=alarm))
    await refused_with(call, INVALID, PARAMETER, "deploymentConfiguration.alarms.alarmNames[0]")
    group = TargetGroup(name="web", cluster="default", created_at=1)
    scheduler.plane.tables.apply([PutRecord(group)], scheduler.plane.tables.revision)
    found = await services.create(loadBalancers=[balancer], desiredCount=0)
    assert arn.target_group_name(found["loadBalancers"][0]["targetGroupArn"]) == "web"
    assert (await services.update(remove=["loadBalancers"])).get("loadBalancers") is None
    assert len(await services.deployments()) == 2


async def test_an_alarm_that_is_gone_keeps_nobody_from_scaling(scheduler: Scheduler, services: Services) -> None:
    stub = alarms_pb2_grpc.AlarmsStub(scheduler.channel())
    document = {"AlarmName": "errors", "Namespace": "shop", "MetricName": "Errors", "Statistic": "Sum", "Period": 60}
    condition = {"EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanThreshold"}
    alarm, _ = awsjson.to_message({**document, **condition}, alarms_pb2.PutMetricAlarmRequest)
    await stub.PutMetricAlarm(alarm)
    alarms = {"alarms": {"enable": True, "rollback": True, "alarmNames": ["errors"]}}
    await services.create(desiredCount=0, deploymentConfiguration=alarms)
    await stub.DeleteAlarms(alarms_pb2.DeleteAlarmsRequest(alarm_names=["errors"]))
    assert (await services.update(desiredCount=1))["desiredCount"] == 1
    again = change(deploymentConfiguration={"alarms": {**alarms["alarms"], "rollback": False}})
    call = services.stub.UpdateService(again)
    await refused_with(call, INVALID, PARAMETER, "deploymentConfiguration.alarms.alarmNames[0]")


async def test_a_cluster_with_services_is_not_deleted(scheduler: Scheduler, services: Services) -> None:
    await services.create(desiredCount=0)
    call = scheduler.cluster.DeleteCluster(cluster_pb2.DeleteClusterRequest(cluster="default"))
    await refused_with(call, PRECONDITION, "ClusterContainsServicesException")


async def test_a_described_service_is_created_as_it_stands(services: Services) -> None:
    """Under another name; what only answers have is passed over."""
    found = await services.create(desiredCount=0)
    again = {**found, "serviceName": "copy"}
    request, warnings = awsjson.to_message(again, pb.CreateServiceRequest)
    assert warnings == []
    copy = awsjson.to_document((await services.stub.CreateService(request)).service)
    for member in ("deploymentConfiguration", "desiredCount", "taskDefinition", "schedulingStrategy"):
        assert copy[member] == found[member]
