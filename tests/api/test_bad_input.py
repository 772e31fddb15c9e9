"""Fields that are wrong, through the running server: a typed error with the field's path, and nothing stored."""

import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from shoal.v1 import (
    cluster_pb2,
    container_instance_pb2,
    event_pb2,
    log_pb2,
    resource_pb2,
    task_definition_pb2,
    task_pb2,
)

from tests.api.conftest import INSTANCE
from tests.api.refusals import refused_with
from tests.api.requests import definition, register
from tests.api.wire import call, named
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PARAMETER = "InvalidParameterException"

# Of client and server together, encryption included.
CPU_SECONDS_MAX = 0.1


async def is_refused(scheduler: Scheduler, method: str, request: Message, reason: str, path: str) -> None:
    send = getattr(scheduler.cluster, method)
    before = scheduler.stored()
    started = time.process_time()
    await refused_with(send(request), INVALID, reason, path)
    assert time.process_time() - started < CPU_SECONDS_MAX
    assert scheduler.stored() == before
    assert scheduler.over_committed() == []
    await scheduler.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())


# Task definitions

Container = task_definition_pb2.ContainerDefinition
KeyValuePair = resource_pb2.KeyValuePair
PortMapping = task_definition_pb2.PortMapping
C0 = "containerDefinitions[0]"


def containers(**fields: Any) -> dict[str, Any]:
    """A definition's first container with these fields."""
    return {"container_definitions": [Container(**{"name": "app", "image": "busybox", "memory": 32, **fields})]}


def ports(*mappings: PortMapping) -> dict[str, Any]:
    return containers(port_mappings=mappings)


def mounted(path: str) -> dict[str, Any]:
    volume = task_definition_pb2.Volume(name="v", host=task_definition_pb2.HostVolumeProperties(source_path=path))
    return {**containers(mount_points=[_mount("/data")]), "volumes": [volume]}


def _mount(path: str) -> task_definition_pb2.MountPoint:
    return task_definition_pb2.MountPoint(source_volume="v", container_path=path)


def depending(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Containers of which each waits for another."""
    depends = task_definition_pb2.ContainerDependency
    return {
        "container_definitions": [
            Container(name=name, image="busybox", memory=32, depends_on=[depends(container_name=on, condition="START")])
            for name, on in pairs
        ]
    }


def _amounts() -> Iterator[tuple[str, dict[str, Any], str]]:
    for text in ("-1", "0", "NaN", "1e-9", "1e18", "1Gi ", "１２", "", "9" * 5000, "1 vCPU\n"):
        yield f"task cpu {text[:10]!r}", {"cpu": text}, "cpu"
        yield f"task memory {text[:10]!r}", {"memory": text}, "memory"
    for number in (-1, -(2**31), 2**31 - 1):
        yield f"cpu {number}", containers(cpu=number), f"{C0}.cpu"
        yield f"memory {number}", containers(memory=number), f"{C0}.memory"
    yield "limit below request", containers(memory=16, memory_reservation=64), f"{C0}.memory"


def _ports() -> Iterator[tuple[str, dict[str, Any], str]]:
    at = f"{C0}.portMappings[0]"
    for number in (-1, 65_536, 2**31 - 1):
        yield f"container port {number}", ports(PortMapping(container_port=number)), f"{at}.containerPort"
        yield f"host port {number}", ports(PortMapping(container_port=80, host_port=number)), f"{at}.hostPort"
    twice = ports(PortMapping(container_port=80, host_port=80), PortMapping(container_port=81, host_port=80))
    yield "a port twice", twice, f"{C0}.portMappings[1].hostPort"
    yield "a protocol", ports(PortMapping(container_port=80, protocol="sctp ")), f"{at}.protocol"
    yield "a range reversed", ports(PortMapping(container_port_range="90-80")), f"{at}.containerPortRange"


IMAGES = ("", "../x", "a@sha256:short", "Upper/Case", "registry:99999/x", "x" * 10_000, "a b", "a\x1b[2J", "/x", "x:")


def _containers() -> Iterator[tuple[str, dict[str, Any], str]]:
    for image in IMAGES:
        yield f"image {image[:20]!r}", containers(image=image), f"{C0}.image"
    for name in ("", "A=B", "A\0B", "A\nB"):
        variables = containers(environment=[KeyValuePair(name=name, value="x")])
        yield f"variable {name!r}", variables, f"{C0}.environment[0].name"
    yield "a value with NUL", containers(environment=[KeyValuePair(name="A", value="\0")]), f"{C0}.environment[0].value"
    yield "a command with NUL", containers(command=["a\0"]), f"{C0}.command[0]"
    yield "stop timeout 10^9", containers(stop_timeout=10**9), f"{C0}.stopTimeout"
    yield "stop timeout -1", containers(stop_timeout=-1), f"{C0}.stopTimeout"
    check = task_definition_pb2.HealthCheck(command=["CMD", "true"], interval=0)
    yield "health check every 0 s", containers(health_check=check), f"{C0}.healthCheck.interval"
    limit = task_definition_pb2.Ulimit(name="nofile", soft_limit=-2, hard_limit=-2)
    yield "ulimit -2", containers(ulimits=[limit]), f"{C0}.ulimits[0].softLimit"
    yield "a cycle", depending(("a", "b"), ("b", "a")), "containerDefinitions"
    yield "on itself", depending(("a", "a")), f"{C0}.dependsOn[0].containerName"
    yield "on nobody", depending(("a", "z")), f"{C0}.dependsOn[0].containerName"
    for path in ("relative", "/a/../../etc", "a/../../etc", "/a\n"):
        yield f"host path {path!r}", mounted(path), "volumes[0].host.sourcePath"
    yield "mounted over the root", containers(mount_points=[_mount("/")]), f"{C0}.mountPoints[0].containerPath"


def _wholes() -> Iterator[tuple[str, dict[str, Any], str]]:
    yield "no family", {"family": ""}, "family"
    yield "no containers", {"container_definitions": []}, "containerDefinitions"
    many = [Container(name=f"c{n}", image="busybox", memory=8) for n in range(11)]
    yield "eleven containers", {"container_definitions": many}, "containerDefinitions"
    yield "none essential", containers(essential=False), "containerDefinitions"
    yield "a network mode", {"network_mode": "{{7*7}}"}, "networkMode"
    yield "a namespace", {"pid_mode": "hosts"}, "pidMode"
    yield "a compatibility", {"requires_compatibilities": ["EC2", "MARS"]}, "requiresCompatibilities[1]"
    constraint = task_definition_pb2.TaskDefinitionPlacementConstraint(type="memberOf", expression="attribute:a ==")
    yield "an expression", {"placement_constraints": [constraint]}, "placementConstraints[0].expression"
    yield "too large", containers(docker_labels={f"k{n}": "x" * 1000 for n in range(100)}), ""


DEFINITIONS = {
    case: (fields, path) for rows in (_amounts(), _ports(), _containers(), _wholes()) for case, fields, path in rows
}


@pytest.mark.parametrize("case", DEFINITIONS)
async def test_task_definitions(scheduler: Scheduler, case: str) -> None:
    fields, path = DEFINITIONS[case]
    request = definition()
    for name in fields:
        request.ClearField(name)  # type: ignore[arg-type]
    request.MergeFrom(type(request)(**fields))
    await is_refused(scheduler, "RegisterTaskDefinition", request, "ClientException", path)


# Names

NAMES = {
    "a space": " ",
    "a dot": ".",
    "two dots": "..",
    "long": "x" * 300,
    "right to left": "web\u202ebew",
    "zero width": "we\u200bb",
    "homoglyph": "w\u0435b",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "newline": "web\n",
    "NUL": "we\0b",
    "escape": "\x1b[2Jweb",
    "template": "{{7*7}}",
    "script": "<script>alert(1)</script>",
    "path": "../../etc/passwd",
    "slash": "a/b",
}


@pytest.mark.parametrize("case", NAMES)
async def test_names(scheduler: Scheduler, agent: SimulatedAgent, case: str) -> None:
    await register(scheduler)
    name = NAMES[case]
    run = task_pb2.RunTaskRequest
    create = cluster_pb2.CreateClusterRequest(cluster_name=name)
    await is_refused(scheduler, "CreateCluster", create, PARAMETER, "clusterName")
    await is_refused(scheduler, "RegisterTaskDefinition", definition(name), "ClientException", "family")
    started_by = run(task_definition="web", started_by=name)
    if case != "slash":
        await is_refused(scheduler, "RunTask", started_by, PARAMETER, "startedBy")
        if case not in ("a dot", "two dots", "path"):
            await is_refused(scheduler, "RunTask", run(task_definition="web", group=name), PARAMETER, "group")
    await is_refused(scheduler, "ListTasks", task_pb2.ListTasksRequest(cluster=name), PARAMETER, "cluster")
    attribute = resource_pb2.Attribute(name=name, target_id=INSTANCE)
    if case not in ("a dot", "two dots", "slash", "path"):
        request = container_instance_pb2.PutAttributesRequest(attributes=[attribute])
        await is_refused(scheduler, "PutAttributes", request, PARAMETER, "attributes[0].name")


TAGS = ("", "aws:x", "AWS:x", "x" * 129, "a\n", "\x1b[2J", "{{7*7}}", "<script>", "we\u200bb", "web\u202e", "a\0")


@pytest.mark.parametrize("key", TAGS)
async def test_tag_keys(scheduler: Scheduler, agent: SimulatedAgent, key: str) -> None:
    await register(scheduler)
    tags = [resource_pb2.Tag(key="good", value="x"), resource_pb2.Tag(key=key, value="x")]
    arn = "arn:shoal:ecs:local:000000000000:cluster/default"
    for method, request in (
        ("RunTask", task_pb2.RunTaskRequest(task_definition="web", tags=tags)),
        ("RegisterTaskDefinition", definition(tags=tags)),
        ("CreateCluster", cluster_pb2.CreateClusterRequest(cluster_name="blue", tags=tags)),
        ("TagResource", resource_pb2.TagResourceRequest(resource_arn=arn, tags=tags)),
    ):
        await is_refused(scheduler, method, request, PARAMETER, "tags[1].key")


async def test_names_that_begin_alike_are_not_alike(scheduler: Scheduler) -> None:
    """No prefix of a name reaches another's things."""
    for name in ("a", "a-b", "a_b", "A"):
        await scheduler.cluster.CreateCluster(cluster_pb2.CreateClusterRequest(cluster_name=name))
        await register(scheduler, name)
    await scheduler.cluster.DeleteCluster(cluster_pb2.DeleteClusterRequest(cluster="a"))
    listed = await scheduler.cluster.ListClusters(cluster_pb2.ListClustersRequest())
    assert [arn.rsplit("/")[-1] for arn in listed.cluster_arns] == ["A", "a-b", "a_b", "default"]
    request = task_definition_pb2.ListTaskDefinitionsRequest(family_prefix="a")
    arns = (await scheduler.cluster.ListTaskDefinitions(request)).task_definition_arns
    assert [arn.rsplit("/")[-1] for arn in arns] == ["a:1"]


# RunTask and StartTask

Constraint, Strategy = task_pb2.PlacementConstraint, task_pb2.PlacementStrategy
Override = task_pb2.ContainerOverride


def overridden(**fields: Any) -> dict[str, Any]:
    override = Override(**{"name": "app", **fields})
    return {"overrides": task_pb2.TaskOverride(container_overrides=[override])}


def constrained(*expressions: str) -> dict[str, Any]:
    return {"placement_constraints": [Constraint(type="memberOf", expression=each) for each in expressions]}


O0 = "overrides.containerOverrides[0]"
RUNS: dict[str, tuple[dict[str, Any], str]] = {
    "no definition": ({"task_definition": ""}, "taskDefinition"),
    "a definition's name": ({"task_definition": "web:latest"}, "taskDefinition"),
    "a definition's number": ({"task_definition": "web:99999999999"}, "taskDefinition"),
    **{f"count {count}": ({"count": count}, "count") for count in (0, -1, 10_001, 2**31 - 1, -(2**31))},
    "six strategies": ({"placement_strategy": [Strategy(type="random")] * 6}, "placementStrategy"),
    "a strategy": ({"placement_strategy": [Strategy(type="Spread")]}, "placementStrategy[0].type"),
    "binpack on nothing": ({"placement_strategy": [Strategy(type="binpack")]}, "placementStrategy[0].field"),
    "eleven constraints": (
        {"placement_constraints": [Constraint(type="distinctInstance")] * 11},
        "placementConstraints",
    ),
    "a constraint": ({"placement_constraints": [Constraint(type="x")]}, "placementConstraints[0].type"),
    "the second expression": (
        {"placement_constraints": [Constraint(type="distinctInstance"), Constraint(type="memberOf", expression="(")]},
        "placementConstraints[1].expression",
    ),
    "a launch type": ({"launch_type": "MOON"}, "launchType"),
    "propagation": ({"propagate_tags": "SERVICE"}, "propagateTags"),
    "a client token": ({"client_token": "a b"}, "clientToken"),
    "overrides of nobody": (overridden(name="other"), f"{O0}.name"),
    "overrides without a name": (overridden(name=""), f"{O0}.name"),
    "cpu below 0": (overridden(cpu=-1), f"{O0}.cpu"),
    "memory below 0": (overridden(memory=-(2**31)), f"{O0}.memory"),
    "reservation below 0": (overridden(memory_reservation=-5), f"{O0}.memoryReservation"),
    "a variable": (overridden(environment=[KeyValuePair(name="A=B")]), f"{O0}.environment[0].name"),
    "too many characters": (overridden(command=["x" * 9000]), "overrides"),
    "overridden twice": (
        {"overrides": task_pb2.TaskOverride(container_overrides=[Override(name="app")] * 2)},
        "overrides.containerOverrides[1].name",
    ),
    "task cpu": ({"overrides": task_pb2.TaskOverride(cpu="-1")}, "overrides.cpu"),
    "task memory": ({"overrides": task_pb2.TaskOverride(memory="1e9")}, "overrides.memory"),
    "too large": ({"reference_id": "x" * 300_000}, ""),
}


@pytest.mark.parametrize("case", RUNS)
async def test_run_task(scheduler: Scheduler, agent: SimulatedAgent, case: str) -> None:
    await register(scheduler)
    fields, path = RUNS[case]
    request = task_pb2.RunTaskRequest(**{"task_definition": "web", **fields})
    await is_refused(scheduler, "RunTask", request, PARAMETER, path)


STARTS: dict[str, tuple[list[str], str]] = {
    "nowhere": ([], "containerInstances"),
    "eleven": ([f"{n:032x}" for n in range(11)], "containerInstances"),
    "twice": ([INSTANCE, INSTANCE], "containerInstances[1]"),
}


@pytest.mark.parametrize("case", STARTS)
async def test_start_task(scheduler: Scheduler, agent: SimulatedAgent, case: str) -> None:
    await register(scheduler)
    instances, path = STARTS[case]
    request = task_pb2.StartTaskRequest(task_definition="web", container_instances=instances)
    await is_refused(scheduler, "StartTask", request, PARAMETER, path)


# Expressions

EXPRESSIONS = {
    "100 KB": "attribute:a == " + "b" * 100_000,
    "nesting 10,000": "(" * 10_000 + "attribute:a exists" + ")" * 10_000,
    "nesting 900": "(" * 900 + "attribute:a exists" + ")" * 900,
    "negations 900": "! " * 900 + "attribute:a exists",
    "negations with tabs": "not\t" * 400 + "attribute:a exists",
    "open": "(attribute:a exists",
    "no argument": "attribute:a ==",
    "ordering a text": "attribute:a > 3",
    "a number as text": "runningTasksCount == many",
    "a number too long": "runningTasksCount == " + "9" * 500,
    "a version as text": "agentVersion >= latest",
    "a date as text": "registeredAt > yesterday",
    "an unknown subject": "hostname == a",
    "code": "__import__('os').system('id')",
    "division": "runningTasksCount == 1/0",
    "a pattern that needs memory": "attribute:a =~ '(\\pL{900})'",
    "a pattern repeated twice": "attribute:a =~ 'a{1000}{1000}'",
    "a pattern that is none": "attribute:a =~ '['",
    "a script": "<script>",
    "an escape": "\x1b[2J",
    "a long list": "attribute:a in [" + ",".join(["b"] * 10_000) + "]",
}


@pytest.mark.parametrize("case", EXPRESSIONS)
async def test_expressions(scheduler: Scheduler, agent: SimulatedAgent, case: str) -> None:
    text = EXPRESSIONS[case]
    request = container_instance_pb2.ListContainerInstancesRequest(filter=text)
    await is_refused(scheduler, "ListContainerInstances", request, PARAMETER, "filter")
    await register(scheduler)
    run = task_pb2.RunTaskRequest(task_definition="web", **constrained("attribute:a exists", text))
    await is_refused(scheduler, "RunTask", run, PARAMETER, "placementConstraints[1].expression")


async def test_a_catastrophic_pattern_is_an_ordinary_one(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    attribute = resource_pb2.Attribute(name="a", value="a" * 127 + "b", target_id=INSTANCE)
    put = container_instance_pb2.PutAttributesRequest(attributes=[attribute])
    await scheduler.cluster.PutAttributes(put)
    started = time.process_time()
    request = container_instance_pb2.ListContainerInstancesRequest(filter="attribute:a =~ '(a+)+$'")
    assert not (await scheduler.cluster.ListContainerInstances(request)).container_instance_arns
    assert time.process_time() - started < CPU_SECONDS_MAX


# Pages

PAGED: tuple[tuple[str, type[Message]], ...] = (
    ("ListTasks", task_pb2.ListTasksRequest),
    ("ListClusters", cluster_pb2.ListClustersRequest),
    ("ListTaskDefinitions", task_definition_pb2.ListTaskDefinitionsRequest),
    ("ListTaskDefinitionFamilies", task_definition_pb2.ListTaskDefinitionFamiliesRequest),
    ("ListContainerInstances", container_instance_pb2.ListContainerInstancesRequest),
    ("ListAttributes", container_instance_pb2.ListAttributesRequest),
    ("ListEvents", event_pb2.ListEventsRequest),
)
TOKENS = (
    "x",
    "A" * 1_000_000,
    "{}",
    "e30=",
    "bnVsbA==",
    "W10=",
    "eyJhZnRlciI6IDF9",
    "../..",
    "\u202e",
    "=" * 4,
    "\x1b",
)


@pytest.mark.parametrize(("method", "request_type"), PAGED)
async def test_pages(scheduler: Scheduler, method: str, request_type: type[Any]) -> None:
    for number in (-1, 0, 1001, 2**31 - 1, -(2**31)):
        await is_refused(scheduler, method, request_type(max_results=number), PARAMETER, "maxResults")
    for token in TOKENS:
        await is_refused(scheduler, method, request_type(next_token=token), PARAMETER, "nextToken")
    huge = call(scheduler.channel(), method, named(request_type, "max_results", 10**18))
    await refused_with(huge, INVALID, PARAMETER, "maxResults")


# The rest

Describe = container_instance_pb2.DescribeContainerInstancesRequest
Update = container_instance_pb2.UpdateContainerInstancesStateRequest
Setting = cluster_pb2.ClusterSetting
ATTRIBUTE = resource_pb2.Attribute
MANY = ["x"] * 1001

OTHERS: dict[str, tuple[str, Message, str]] = {
    "describe no tasks": ("DescribeTasks", task_pb2.DescribeTasksRequest(), "tasks"),
    "describe 1001 tasks": ("DescribeTasks", task_pb2.DescribeTasksRequest(tasks=MANY), "tasks"),
    "describe no instances": ("DescribeContainerInstances", Describe(), "containerInstances"),
    "describe 1001 instances": ("DescribeContainerInstances", Describe(container_instances=MANY), "containerInstances"),
    "describe 1001 clusters": ("DescribeClusters", cluster_pb2.DescribeClustersRequest(clusters=MANY), "clusters"),
    "describe no definition": (
        "DescribeTaskDefinition",
        task_definition_pb2.DescribeTaskDefinitionRequest(),
        "taskDefinition",
    ),
    "deregister without a number": (
        "DeregisterTaskDefinition",
        task_definition_pb2.DeregisterTaskDefinitionRequest(task_definition="web"),
        "taskDefinition",
    ),
    "delete no definitions": (
        "DeleteTaskDefinitions",
        task_definition_pb2.DeleteTaskDefinitionsRequest(),
        "taskDefinitions",
    ),
    "delete eleven definitions": (
        "DeleteTaskDefinitions",
        task_definition_pb2.DeleteTaskDefinitionsRequest(task_definitions=MANY[:11]),
        "taskDefinitions",
    ),
    "stop nothing": ("StopTask", task_pb2.StopTaskRequest(), "task"),
    "stop with a long reason": ("StopTask", task_pb2.StopTaskRequest(task="0" * 32, reason="x" * 1025), "reason"),
    "list a status": ("ListTasks", task_pb2.ListTasksRequest(desired_status="running"), "desiredStatus"),
    "list on nothing": ("ListTasks", task_pb2.ListTasksRequest(container_instance="x"), "containerInstance"),
    "list definitions by status": (
        "ListTaskDefinitions",
        task_definition_pb2.ListTaskDefinitionsRequest(status="GONE"),
        "status",
    ),
    "list definitions sideways": (
        "ListTaskDefinitions",
        task_definition_pb2.ListTaskDefinitionsRequest(sort="SIDEWAYS"),
        "sort",
    ),
    "list families by status": (
        "ListTaskDefinitionFamilies",
        task_definition_pb2.ListTaskDefinitionFamiliesRequest(status="x"),
        "status",
    ),
    "list instances by status": (
        "ListContainerInstances",
        container_instance_pb2.ListContainerInstancesRequest(status="x"),
        "status",
    ),
    "drain none": ("UpdateContainerInstancesState", Update(status="DRAINING"), "containerInstances"),
    "drain eleven": (
        "UpdateContainerInstancesState",
        Update(container_instances=MANY[:11], status="DRAINING"),
        "containerInstances",
    ),
    "drain to a status": ("UpdateContainerInstancesState", Update(container_instances=["x"], status="x"), "status"),
    "drain to no status": ("UpdateContainerInstancesState", Update(container_instances=["x"]), "status"),
    "deregister nothing": (
        "DeregisterContainerInstance",
        container_instance_pb2.DeregisterContainerInstanceRequest(),
        "containerInstance",
    ),
    "put no attributes": ("PutAttributes", container_instance_pb2.PutAttributesRequest(), "attributes"),
    "put an attribute on nothing": (
        "PutAttributes",
        container_instance_pb2.PutAttributesRequest(attributes=[ATTRIBUTE(name="a", value="b")]),
        "attributes[0].targetId",
    ),
    "put a value": (
        "PutAttributes",
        container_instance_pb2.PutAttributesRequest(attributes=[ATTRIBUTE(name="a", value="\x1b", target_id="x")]),
        "attributes[0].value",
    ),
    "attributes of something else": (
        "ListAttributes",
        container_instance_pb2.ListAttributesRequest(target_type="task"),
        "targetType",
    ),
    "tag with nothing": ("TagResource", resource_pb2.TagResourceRequest(resource_arn="arn"), "tags"),
    "untag nothing": ("UntagResource", resource_pb2.UntagResourceRequest(resource_arn="arn"), "tagKeys"),
    "tags of nothing": ("ListTagsForResource", resource_pb2.ListTagsForResourceRequest(), "resourceArn"),
    "a setting": (
        "CreateCluster",
        cluster_pb2.CreateClusterRequest(cluster_name="blue", settings=[Setting(name="x", value="enabled")]),
        "settings[0].name",
    ),
    "a setting's value": (
        "UpdateClusterSettings",
        cluster_pb2.UpdateClusterSettingsRequest(settings=[Setting(name="containerInsights", value="x")]),
        "settings[0].value",
    ),
    "a logging": (
        "UpdateCluster",
        cluster_pb2.UpdateClusterRequest(
            configuration=cluster_pb2.ClusterConfiguration(
                execute_command_configuration=cluster_pb2.ExecuteCommandConfiguration(logging="x")
            )
        ),
        "configuration.executeCommandConfiguration.logging",
    ),
    "a cluster of 1 MB": (
        "CreateCluster",
        cluster_pb2.CreateClusterRequest(cluster_name="blue", capacity_providers=["x" * 1_000_000]),
        "",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
async def test_other_methods(scheduler: Scheduler, agent: SimulatedAgent, case: str) -> None:
    method, request, path = OTHERS[case]
    await is_refused(scheduler, method, request, PARAMETER, path)


async def test_logs(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    request = log_pb2.ReadLogsRequest
    for wanted, path in (
        (request(), "task"),
        (request(task="x", tail=-1), "tail"),
        (request(task="x", since=-(2**63)), "since"),
    ):
        await refused_with(scheduler.cluster.ReadLogs(wanted).read(), INVALID, PARAMETER, path)


async def test_no_more_than_a_hundred_attributes(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    for start in range(0, 110, 10):
        attributes = [ATTRIBUTE(name=f"a{n}", target_id=INSTANCE) for n in range(start, start + 10)]
        put = scheduler.cluster.PutAttributes(container_instance_pb2.PutAttributesRequest(attributes=attributes))
        if start < 100:
            await put
        else:
            before = scheduler.stored()
            await refused_with(put, grpc.StatusCode.RESOURCE_EXHAUSTED, "AttributeLimitExceededException")
            assert scheduler.stored() == before
