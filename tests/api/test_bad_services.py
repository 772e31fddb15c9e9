"""CreateService, UpdateService and their like, and what they refuse: with the field, and with nothing stored."""

from typing import Any

import pytest
from google.protobuf.message import Message
from shoal import arn
from shoal.v1 import service_pb2 as pb

from tests.api.refusals import CPU_SECONDS_MAX, INVALID, PARAMETER, costs_less, lives, refused_with
from tests.api.services import Services, change, creation
from tests.fakes.scheduler import Scheduler

CONFIGURATION = "deploymentConfiguration"
BALANCER = {"targetGroupArn": "web", "containerName": "app", "containerPort": 80}
DAEMON: dict[str, Any] = {"schedulingStrategy": "DAEMON", "desiredCount": None}
SPREAD = {"type": "spread", "field": "attribute:ecs.availability-zone"}


def configuration(**fields: Any) -> dict[str, Any]:
    return {CONFIGURATION: fields}


def breaker(**fields: Any) -> dict[str, Any]:
    return configuration(deploymentCircuitBreaker={"enable": True, "rollback": True, **fields})


def alarms(**fields: Any) -> dict[str, Any]:
    return configuration(alarms={"enable": True, "rollback": True, "alarmNames": ["errors"], **fields})


def balancers(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"loadBalancers": list(listed)}


def registry(**fields: Any) -> dict[str, Any]:
    return {"serviceRegistries": [{"registryArn": "web", **fields}]}


# Of both requests.
COMMON: list[tuple[dict[str, Any], str]] = [
    ({"cluster": "-"}, "cluster"),
    ({"clientToken": "x" * 65}, "clientToken"),
    ({"desiredCount": -1}, "desiredCount"),
    ({"desiredCount": 5001}, "desiredCount"),
    ({"healthCheckGracePeriodSeconds": -1}, "healthCheckGracePeriodSeconds"),
    ({"propagateTags": "ALL"}, "propagateTags"),
    ({"availabilityZoneRebalancing": "ON"}, "availabilityZoneRebalancing"),
    ({"onDisconnect": "wait"}, "onDisconnect"),
    # What comes later.
    ({"deploymentController": {"type": "CODE_DEPLOY"}}, "deploymentController.type"),
    ({"deploymentController": {"type": "EXTERNAL"}}, "deploymentController.type"),
    ({"deploymentController": {"type": "NOMAD"}}, "deploymentController.type"),
    ({"capacityProviderStrategy": [{"capacityProvider": "spot"}]}, "capacityProviderStrategy"),
    ({"serviceConnectConfiguration": {"enabled": True}}, "serviceConnectConfiguration"),
    ({"serviceConnectConfiguration": {}}, "serviceConnectConfiguration"),
    ({"volumeConfigurations": [{}]}, "volumeConfigurations"),
    ({"vpcLatticeConfigurations": [{}]}, "vpcLatticeConfigurations"),
    ({"gatewayConnectors": [{}]}, "gatewayConnectors"),
    ({"monitoring": {}}, "monitoring"),
    (configuration(strategy="BLUE_GREEN"), f"{CONFIGURATION}.strategy"),
    (configuration(strategy="LINEAR"), f"{CONFIGURATION}.strategy"),
    (configuration(strategy="CANARY"), f"{CONFIGURATION}.strategy"),
    (configuration(strategy="rolling"), f"{CONFIGURATION}.strategy"),
    (configuration(lifecycleHooks=[{"targetType": "PAUSE"}]), f"{CONFIGURATION}.lifecycleHooks"),
    (configuration(linearConfiguration={}), f"{CONFIGURATION}.linearConfiguration"),
    (configuration(canaryConfiguration={}), f"{CONFIGURATION}.canaryConfiguration"),
    (configuration(earlySuccessCriteria={"enable": True}), f"{CONFIGURATION}.earlySuccessCriteria"),
    (balancers({**BALANCER, "advancedConfiguration": {}}), "loadBalancers[0].advancedConfiguration"),
    (balancers({"loadBalancerName": "old", "containerName": "app"}), "loadBalancers[0].loadBalancerName"),
    # How it is deployed.
    (configuration(minimumHealthyPercent=-1), f"{CONFIGURATION}.minimumHealthyPercent"),
    (configuration(minimumHealthyPercent=101), f"{CONFIGURATION}.minimumHealthyPercent"),
    (configuration(maximumPercent=99), f"{CONFIGURATION}.maximumPercent"),
    (configuration(maximumPercent=100, minimumHealthyPercent=100), f"{CONFIGURATION}.minimumHealthyPercent"),
    (configuration(bakeTimeInMinutes=-1), f"{CONFIGURATION}.bakeTimeInMinutes"),
    (configuration(bakeTimeInMinutes=1441), f"{CONFIGURATION}.bakeTimeInMinutes"),
    (configuration(progressTimeInMinutes=0), f"{CONFIGURATION}.progressTimeInMinutes"),
    (configuration(deploymentCircuitBreaker={"enable": True}), f"{CONFIGURATION}.deploymentCircuitBreaker.rollback"),
    (configuration(deploymentCircuitBreaker={"rollback": True}), f"{CONFIGURATION}.deploymentCircuitBreaker.enable"),
    (
        breaker(thresholdConfiguration={"type": "COUNT"}),
        f"{CONFIGURATION}.deploymentCircuitBreaker.thresholdConfiguration.value",
    ),
    (
        breaker(thresholdConfiguration={"type": "PERCENT", "value": 5}),
        f"{CONFIGURATION}.deploymentCircuitBreaker.thresholdConfiguration.type",
    ),
    (
        breaker(thresholdConfiguration={"type": "COUNT", "value": 0}),
        f"{CONFIGURATION}.deploymentCircuitBreaker.thresholdConfiguration.value",
    ),
    (alarms(alarmNames=[]), f"{CONFIGURATION}.alarms.alarmNames"),
    (alarms(alarmNames=["a", "a"]), f"{CONFIGURATION}.alarms.alarmNames[1]"),
    (alarms(alarmNames=[f"a{n}" for n in range(101)]), f"{CONFIGURATION}.alarms.alarmNames"),
    (alarms(), f"{CONFIGURATION}.alarms.alarmNames[0]"),
    # Where its tasks go.
    ({"placementConstraints": [{"type": "memberOf"}]}, "placementConstraints[0].expression"),
    ({"placementConstraints": [{"type": "memberOf", "expression": "a =="}]}, "placementConstraints[0].expression"),
    ({"placementConstraints": [{"type": "near"}]}, "placementConstraints[0].type"),
    ({"placementConstraints": [{"type": "distinctInstance"}] * 11}, "placementConstraints"),
    ({"placementStrategy": [{"type": "spread"}]}, "placementStrategy[0].field"),
    ({"placementStrategy": [SPREAD] * 6}, "placementStrategy"),
    (
        {"availabilityZoneRebalancing": "ENABLED", "placementStrategy": [{"type": "random"}]},
        "availabilityZoneRebalancing",
    ),
    (
        {"availabilityZoneRebalancing": "ENABLED", **configuration(maximumPercent=100, minimumHealthyPercent=50)},
        "availabilityZoneRebalancing",
    ),
    # How requests find them.
    (balancers({}), "loadBalancers[0].targetGroupArn"),
    (balancers({"targetGroupArn": "web"}), "loadBalancers[0].containerPort"),
    (balancers({**BALANCER, "containerName": "other"}), "loadBalancers[0].containerName"),
    (balancers({**BALANCER, "containerPort": 81}), "loadBalancers[0].containerPort"),
    (balancers({**BALANCER, "containerName": "side"}), "loadBalancers[0].containerPort"),
    (balancers({**BALANCER, "containerPort": 65_536}), "loadBalancers[0].containerPort"),
    (balancers(BALANCER, BALANCER), "loadBalancers[1].targetGroupArn"),
    (balancers(*[{**BALANCER, "targetGroupArn": f"t{n}"} for n in range(6)]), "loadBalancers"),
    (balancers(BALANCER), "loadBalancers[0].targetGroupArn"),
    ({"serviceRegistries": [{}]}, "serviceRegistries[0].registryArn"),
    ({"serviceRegistries": [{"registryArn": "a"}, {"registryArn": "b"}]}, "serviceRegistries"),
    (registry(containerName="app"), "serviceRegistries[0].containerPort"),
    (registry(containerPort=80), "serviceRegistries[0].containerName"),
    (registry(containerName="app", containerPort=81), "serviceRegistries[0].containerPort"),
    (registry(port=0), "serviceRegistries[0].port"),
]
CREATE: list[tuple[dict[str, Any], str]] = [
    ({"serviceName": None}, "serviceName"),
    ({"serviceName": "a b"}, "serviceName"),
    ({"serviceName": "x" * 256}, "serviceName"),
    ({"taskDefinition": None}, "taskDefinition"),
    ({"taskDefinition": "web:x"}, "taskDefinition"),
    ({"desiredCount": None}, "desiredCount"),
    ({"schedulingStrategy": "ONCE"}, "schedulingStrategy"),
    ({**DAEMON, "desiredCount": 1}, "desiredCount"),
    ({**DAEMON, "placementStrategy": [SPREAD]}, "placementStrategy"),
    ({**DAEMON, "availabilityZoneRebalancing": "ENABLED"}, "availabilityZoneRebalancing"),
    ({**DAEMON, **configuration(maximumPercent=150)}, f"{CONFIGURATION}.maximumPercent"),
    ({**DAEMON, **configuration(minimumHealthyPercent=100)}, f"{CONFIGURATION}.minimumHealthyPercent"),
    ({"launchType": "LAMBDA"}, "launchType"),
    ({"tags": [{"key": "aws:x"}]}, "tags[0].key"),
]
UPDATE: list[tuple[dict[str, Any], str]] = [
    ({"remove": ["tags"]}, "remove[0]"),
    ({"remove": ["placementStrategy"], "placementStrategy": [SPREAD]}, "remove[0]"),
    ({"serviceRevisionArn": "x", "taskDefinition": "web"}, "taskDefinition"),
    ({"serviceRevisionArn": "x", "remove": ["loadBalancers"]}, "loadBalancers"),
    ({"service": ""}, "service"),
]


def named(rows: list[tuple[dict[str, Any], str]]) -> list[str]:
    return [f"{number}-{field}" for number, (_, field) in enumerate(rows)]


@pytest.fixture
async def services(scheduler: Scheduler) -> Services:
    made = Services(scheduler)
    await made.register()
    return made


@pytest.mark.parametrize(("fields", "field"), [*CREATE, *COMMON], ids=named([*CREATE, *COMMON]))
async def test_a_creation_is_refused(services: Services, fields: dict[str, Any], field: str) -> None:
    before, request = services.scheduler.stored(), creation(**fields)
    send = services.stub.CreateService
    await costs_less(CPU_SECONDS_MAX, lambda: refused_with(send(request), INVALID, PARAMETER, field))
    assert services.scheduler.stored() == before
    await lives(services.scheduler)


@pytest.mark.parametrize(("fields", "field"), [*UPDATE, *COMMON], ids=named([*UPDATE, *COMMON]))
async def test_an_update_is_refused(services: Services, fields: dict[str, Any], field: str) -> None:
    await services.create_and_settle()
    before = services.scheduler.stored()
    await refused_with(services.stub.UpdateService(change(**fields)), INVALID, PARAMETER, field)
    assert services.scheduler.stored() == before


async def test_what_only_the_service_itself_contradicts_is_refused(services: Services) -> None:
    await services.create(serviceName="each", **DAEMON)
    await services.create_and_settle()
    before = services.scheduler.stored()
    for fields, field in (
        ({"service": "each", "desiredCount": 1}, "desiredCount"),
        ({"service": "each", "placementStrategy": [SPREAD]}, "placementStrategy"),
        ({"service": "each", **configuration(minimumHealthyPercent=100)}, f"{CONFIGURATION}.minimumHealthyPercent"),
        (configuration(maximumPercent=100), f"{CONFIGURATION}.minimumHealthyPercent"),
        ({"placementStrategy": [{"type": "random"}]}, "availabilityZoneRebalancing"),
    ):
        await refused_with(services.stub.UpdateService(change(**fields)), INVALID, PARAMETER, field)
    assert services.scheduler.stored() == before


REVISION, DEPLOYMENT = "serviceRevisionArns[0]", "serviceDeploymentArns[0]"


@pytest.mark.parametrize(
    ("method", "request_message", "field"),
    [
        ("DeleteService", pb.DeleteServiceRequest(), "service"),
        ("DescribeServices", pb.DescribeServicesRequest(), "services"),
        ("DescribeServices", pb.DescribeServicesRequest(services=["web"] * 101), "services"),
        ("DescribeServices", pb.DescribeServicesRequest(services=["web"], include=["ALL"]), "include"),
        ("ListServices", pb.ListServicesRequest(scheduling_strategy="ONCE"), "schedulingStrategy"),
        ("ListServices", pb.ListServicesRequest(launch_type="LAMBDA"), "launchType"),
        ("ListServices", pb.ListServicesRequest(resource_management_type="ECS"), "resourceManagementType"),
        ("ListServices", pb.ListServicesRequest(max_results=0), "maxResults"),
        ("ListServices", pb.ListServicesRequest(next_token="x"), "nextToken"),
        ("ListServiceDeployments", pb.ListServiceDeploymentsRequest(), "service"),
        ("ListServiceDeployments", pb.ListServiceDeploymentsRequest(service="web", status=["DONE"]), "status"),
        ("DescribeServiceDeployments", pb.DescribeServiceDeploymentsRequest(), "serviceDeploymentArns"),
        (
            "DescribeServiceDeployments",
            pb.DescribeServiceDeploymentsRequest(service_deployment_arns=["web"]),
            DEPLOYMENT,
        ),
        (
            "DescribeServiceDeployments",
            pb.DescribeServiceDeploymentsRequest(
                service_deployment_arns=[arn.service_revision_arn("default", "web", "1")]
            ),
            DEPLOYMENT,
        ),
        ("DescribeServiceRevisions", pb.DescribeServiceRevisionsRequest(service_revision_arns=["a/b"]), REVISION),
        ("StopServiceDeployment", pb.StopServiceDeploymentRequest(), "serviceDeploymentArn"),
        ("StopServiceDeployment", pb.StopServiceDeploymentRequest(service_deployment_arn="x"), "serviceDeploymentArn"),
        (
            "StopServiceDeployment",
            pb.StopServiceDeploymentRequest(
                service_deployment_arn=arn.service_deployment_arn("default", "web", "1"), stop_type="PAUSE"
            ),
            "stopType",
        ),
        ("UpdateTaskProtection", pb.UpdateTaskProtectionRequest(protection_enabled=True), "tasks"),
        ("UpdateTaskProtection", pb.UpdateTaskProtectionRequest(tasks=["x"]), "protectionEnabled"),
        (
            "UpdateTaskProtection",
            pb.UpdateTaskProtectionRequest(tasks=["x"] * 11, protection_enabled=True),
            "tasks",
        ),
        (
            "UpdateTaskProtection",
            pb.UpdateTaskProtectionRequest(tasks=["x"], protection_enabled=True, expires_in_minutes=2881),
            "expiresInMinutes",
        ),
        (
            "UpdateTaskProtection",
            pb.UpdateTaskProtectionRequest(tasks=["x"], protection_enabled=False, expires_in_minutes=1),
            "expiresInMinutes",
        ),
        ("GetTaskProtection", pb.GetTaskProtectionRequest(), "tasks"),
    ],
)
async def test_other_calls_are_refused(services: Services, method: str, request_message: Message, field: str) -> None:
    await services.create_and_settle()
    before = services.scheduler.stored()
    await refused_with(getattr(services.stub, method)(request_message), INVALID, PARAMETER, field)
    assert services.scheduler.stored() == before
