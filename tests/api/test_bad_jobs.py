"""SubmitJob, and what it refuses: with the field, at little cost, and with nothing stored."""

from typing import Any

import pytest
from google.protobuf.message import Message
from shoal.v1 import job_pb2

from tests.api.batch import FLIP, SEVERAL, Batch, submission
from tests.api.refusals import CPU_SECONDS_MAX, INVALID, costs_less, lives, refused, refused_with
from tests.fakes.scheduler import Scheduler

NOBODY = "00000000-0000-4000-8000-000000000000"


def overrides(**fields: Any) -> dict[str, Any]:
    return {"containerOverrides": fields}


def containers(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"jobDefinition": "several", "ecsPropertiesOverride": {"taskProperties": [{"containers": list(listed)}]}}


def rules(*listed: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"retryStrategy": {"attempts": 2, "evaluateOnExit": list(listed), **fields}}


ARRAY = {"arrayProperties": {"size": 4}}
RULE = {"action": "RETRY", "onExitCode": "1"}
CONDITION = "retryStrategy.evaluateOnExit[0]"
TASK = "ecsPropertiesOverride.taskProperties"

ROWS: list[tuple[dict[str, Any], str]] = [
    ({"jobName": ""}, "jobName"),
    ({"jobName": "-x"}, "jobName"),
    ({"jobName": "x" * 129}, "jobName"),
    ({"jobQueue": ""}, "jobQueue"),
    ({"jobDefinition": ""}, "jobDefinition"),
    ({"shareIdentifier": "a"}, "shareIdentifier"),
    ({"nodeOverrides": {}}, "nodeOverrides"),
    ({"eksPropertiesOverride": {}}, "eksPropertiesOverride"),
    ({"schedulingPriorityOverride": -1}, "schedulingPriorityOverride"),
    ({"schedulingPriorityOverride": 10_000}, "schedulingPriorityOverride"),
    ({"schedulingPriorityOverride": 2**31 - 1}, "schedulingPriorityOverride"),
    ({"arrayProperties": {}}, "arrayProperties.size"),
    ({"arrayProperties": {"size": 1}}, "arrayProperties.size"),
    ({"arrayProperties": {"size": -1}}, "arrayProperties.size"),
    ({"arrayProperties": {"size": 0}}, "arrayProperties.size"),
    ({"arrayProperties": {"size": 1_000_001}}, "arrayProperties.size"),
    ({"arrayProperties": {"size": 2, "maxConcurrent": -1}}, "arrayProperties.maxConcurrent"),
    ({"dependsOn": [{"jobId": f"{n:08x}{NOBODY[8:]}"} for n in range(21)]}, "dependsOn"),
    ({"dependsOn": [{}]}, "dependsOn[0].jobId"),
    ({"dependsOn": [{"jobId": "one"}]}, "dependsOn[0].jobId"),
    ({"dependsOn": [{"jobId": f"{NOBODY}:1"}]}, "dependsOn[0].jobId"),
    ({"dependsOn": [{"jobId": NOBODY}, {"jobId": NOBODY}]}, "dependsOn[1].jobId"),
    ({"dependsOn": [{"jobId": NOBODY, "type": "n_to_n"}]}, "dependsOn[0].type"),
    ({"dependsOn": [{"jobId": NOBODY, "type": "N_TO_N"}]}, "dependsOn[0].type"),
    ({"dependsOn": [{"type": "SEQUENTIAL"}]}, "dependsOn[0].type"),
    ({**ARRAY, "dependsOn": [{"jobId": NOBODY, "type": "SEQUENTIAL"}]}, "dependsOn[0].jobId"),
    ({**ARRAY, "dependsOn": [{"type": "N_TO_N"}]}, "dependsOn[0].jobId"),
    ({"parameters": {"": "x"}}, "parameters"),
    ({"parameters": {"a": "\0"}}, "parameters.a"),
    (overrides(command=["a\0"]), "containerOverrides.command[0]"),
    (overrides(environment=[{"value": "x"}]), "containerOverrides.environment[0].name"),
    (overrides(environment=[{"name": "A=", "value": "x"}]), "containerOverrides.environment[0].name"),
    (overrides(environment=[{"name": "AWS_BATCH_JOB_ID", "value": "x"}]), "containerOverrides.environment[0].name"),
    (overrides(vcpus=0), "containerOverrides.vcpus"),
    (overrides(memory=-1), "containerOverrides.memory"),
    (overrides(instanceType="m5"), "containerOverrides.instanceType"),
    (
        overrides(resourceRequirements=[{"type": "VCPU", "value": "two"}]),
        "containerOverrides.resourceRequirements[0].value",
    ),
    (
        overrides(resourceRequirements=[{"type": "MEMORY", "value": "1"}] * 2),
        "containerOverrides.resourceRequirements[1].type",
    ),
    (
        overrides(resourceRequirements=[{"type": "MEMORY", "value": "64"}, {"type": "GPU", "value": "x"}]),
        "containerOverrides.resourceRequirements[1].value",
    ),
    (
        overrides(resourceRequirements=[{"type": "GPU", "value": "1"}] * 2),
        "containerOverrides.resourceRequirements[1].type",
    ),
    ({"ecsPropertiesOverride": {"taskProperties": [{}]}}, "ecsPropertiesOverride"),
    ({"jobDefinition": "several", **overrides(command=["x"])}, "containerOverrides"),
    ({"jobDefinition": "several", "ecsPropertiesOverride": {"taskProperties": [{}, {}]}}, TASK),
    (containers({}), f"{TASK}[0].containers[0].name"),
    (containers({"name": "other"}), f"{TASK}[0].containers[0].name"),
    (containers({"name": "main"}, {"name": "main"}), f"{TASK}[0].containers[1].name"),
    ({"timeout": {}}, "timeout.attemptDurationSeconds"),
    ({"timeout": {"attemptDurationSeconds": 59}}, "timeout.attemptDurationSeconds"),
    ({"retryStrategy": {"attempts": 0}}, "retryStrategy.attempts"),
    ({"retryStrategy": {"attempts": 11}}, "retryStrategy.attempts"),
    ({"retryStrategy": {"hostLosses": 101}}, "retryStrategy.hostLosses"),
    (rules(*[RULE] * 6), "retryStrategy.evaluateOnExit"),
    (rules({"onExitCode": "1"}), f"{CONDITION}.action"),
    (rules({**RULE, "action": "STOP"}), f"{CONDITION}.action"),
    (rules({"action": "RETRY"}), CONDITION),
    (rules({"action": "RETRY", "onExitCode": "x"}), f"{CONDITION}.onExitCode"),
    (rules({"action": "RETRY", "onReason": "*" * 100 + "a"}), f"{CONDITION}.onReason"),
    (rules({"action": "RETRY", "onReason": "a" * 20_000}), f"{CONDITION}.onReason"),
    ({"tags": {"aws:x": "y"}}, 'tags["aws:x"]'),
    ({"clientToken": "x" * 65}, "clientToken"),
    (overrides(command=["x" * 31_000]), ""),
    ({"parameters": {"out": "x" * 20_000}, **overrides(command=["Ref::out"] * 2)}, "containerOverrides.command"),
    (
        {"consumableResourcePropertiesOverride": {"consumableResourceList": [{"consumableResource": "licence"}]}},
        "consumableResourcePropertiesOverride.consumableResourceList[0].quantity",
    ),
]


@pytest.fixture
async def batch(scheduler: Scheduler) -> Batch:
    made = Batch(scheduler)
    await made.prepare(FLIP, SEVERAL)
    return made


@pytest.mark.parametrize(("fields", "field"), ROWS, ids=[f"{number}-{field}" for number, (_, field) in enumerate(ROWS)])
async def test_a_submission_is_refused(batch: Batch, fields: dict[str, Any], field: str) -> None:
    before, request = batch.scheduler.stored(), submission(**fields)
    send = batch.stub.SubmitJob
    await costs_less(CPU_SECONDS_MAX, lambda: refused_with(send(request), INVALID, "ClientException", field))
    assert batch.scheduler.stored() == before
    await lives(batch.scheduler)


async def test_what_is_not_there_is_named(batch: Batch) -> None:
    array = await batch.submit(**ARRAY)
    before = batch.scheduler.stored()
    for fields, named in (
        ({"jobQueue": "nowhere"}, "jobQueue"),
        ({"jobDefinition": "nothing"}, "jobDefinition"),
        ({"jobDefinition": "flip:7"}, "jobDefinition"),
        ({"dependsOn": [{"jobId": NOBODY}]}, "dependsOn[0].jobId"),
        ({"arrayProperties": {"size": 5}, "dependsOn": [{"jobId": array, "type": "N_TO_N"}]}, "dependsOn[0].type"),
    ):
        error = await refused(batch.stub.SubmitJob(submission(**fields)))
        assert named in error.message
    assert batch.scheduler.stored() == before


@pytest.mark.parametrize(
    ("method", "request_message", "field"),
    [
        ("DescribeJobs", job_pb2.DescribeJobsRequest(), "jobs"),
        ("DescribeJobs", job_pb2.DescribeJobsRequest(jobs=[NOBODY] * 101), "jobs"),
        ("CancelJob", job_pb2.CancelJobRequest(reason="x"), "jobId"),
        ("CancelJob", job_pb2.CancelJobRequest(job_id=NOBODY), "reason"),
        ("TerminateJob", job_pb2.TerminateJobRequest(job_id=NOBODY, reason="x" * 1025), "reason"),
        ("CancelJobs", job_pb2.CancelJobsRequest(reason="x"), "jobs"),
        ("TerminateJobs", job_pb2.TerminateJobsRequest(jobs=[NOBODY] * 51, reason="x"), "jobs"),
        ("TerminateJobs", job_pb2.TerminateJobsRequest(jobs=[NOBODY]), "reason"),
    ],
)
async def test_other_calls_are_refused(batch: Batch, method: str, request_message: Message, field: str) -> None:
    before = batch.scheduler.stored()
    await refused_with(getattr(batch.stub, method)(request_message), INVALID, "ClientException", field)
    assert batch.scheduler.stored() == before


async def test_a_child_that_is_not_there_is_named(batch: Batch) -> None:
    array, single = await batch.submit(**ARRAY), await batch.submit()
    for job, said in ((f"{array}:4", "0 to 3"), (f"{single}:0", "no array"), (f"{array}:x", "0 to 3")):
        error = await refused(batch.stub.CancelJob(job_pb2.CancelJobRequest(job_id=job, reason="x")))
        assert said in error.message
