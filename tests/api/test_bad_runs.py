"""RunTask, StartTask and expressions that are wrong: an error with the path of the field, and nothing stored."""

import time
from typing import Any

import pytest
from shoal.v1 import (
    container_instance_pb2,
    resource_pb2,
    task_pb2,
)

from tests.api.conftest import INSTANCE
from tests.api.refusals import CPU_SECONDS_MAX, PARAMETER, is_refused
from tests.api.requests import register
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler

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
    "what becomes of it": ({"on_disconnect": "Keep"}, "onDisconnect"),
    "a client token": ({"client_token": "a b"}, "clientToken"),
    "overrides of nobody": (overridden(name="other"), f"{O0}.name"),
    "overrides without a name": (overridden(name=""), f"{O0}.name"),
    "cpu below 0": (overridden(cpu=-1), f"{O0}.cpu"),
    "memory below 0": (overridden(memory=-(2**31)), f"{O0}.memory"),
    "reservation below 0": (overridden(memory_reservation=-5), f"{O0}.memoryReservation"),
    "a variable": (overridden(environment=[resource_pb2.KeyValuePair(name="A=B")]), f"{O0}.environment[0].name"),
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
