"""Jobs through the running server: submitted, described, listed, cancelled, terminated."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from shoal.v1 import job_definition_pb2, job_pb2, job_queue_pb2

from tests.api.batch import SEVERAL, Batch, message, submission
from tests.api.refusals import INVALID, refused, refused_with
from tests.fakes.scheduler import Scheduler

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def batch(scheduler: Scheduler) -> Batch:
    """Without instances: what is submitted waits."""
    made = Batch(scheduler)
    await made.prepare()
    return made


async def test_a_job_is_described_as_it_will_run(batch: Batch) -> None:
    overrides = {
        "environment": [{"name": "A", "value": "1"}],
        "resourceRequirements": [{"type": "MEMORY", "value": "64"}],
    }
    job = await batch.submit(
        parameters={"out": "b.png"},
        containerOverrides=overrides,
        retryStrategy={"attempts": 3, "evaluateOnExit": [{"action": "exit", "onExitCode": "3*"}]},
        timeout={"attemptDurationSeconds": 60},
        tags={"a": "b"},
    )
    (found,) = await batch.describe(job, NOBODY)
    assert (found["jobId"], found["jobName"], found["status"]) == (job, "one", "RUNNABLE")
    assert found["jobArn"].endswith(f":job/{job}")
    assert found["jobQueue"].endswith(":job-queue/pictures")
    assert found["jobDefinition"].endswith(":job-definition/flip:1")
    assert found["parameters"] == {"in": "default.png", "out": "b.png"}
    assert found["container"]["command"] == ["flip", "default.png", "b.png"]
    assert found["container"]["environment"] == [{"name": "A", "value": "1"}]
    sizes = {each["type"]: each["value"] for each in found["container"]["resourceRequirements"]}
    assert sizes == {"VCPU": "0.25", "MEMORY": "64"}
    assert found["retryStrategy"]["evaluateOnExit"] == [{"action": "EXIT", "onExitCode": "3*"}]
    assert (found["retryStrategy"]["attempts"], found["retryStrategy"]["hostLosses"]) == (3, 10)
    assert (found["timeout"], found["tags"]) == ({"attemptDurationSeconds": 60}, {"a": "b"})
    assert (found["isCancelled"], found["isTerminated"]) == (False, False)


async def test_each_of_several_containers_is_described(batch: Batch) -> None:
    several = message(SEVERAL, job_definition_pb2.RegisterJobDefinitionRequest)
    await batch.stub.RegisterJobDefinition(several)
    changes = {"taskProperties": [{"containers": [{"name": "side", "command": ["echo", "Ref::x"]}]}]}
    job = await batch.submit(jobDefinition="several", parameters={"x": "1"}, ecsPropertiesOverride=changes)
    (found,) = await batch.describe(job)
    (task,) = found["ecsProperties"]["taskProperties"]
    assert {each["name"]: each.get("command") for each in task["containers"]} == {"main": None, "side": ["echo", "1"]}
    refusal = await refused_with(
        batch.stub.SubmitJob(submission(jobDefinition="several", containerOverrides={"command": ["x"]})),
        INVALID,
        "ClientException",
        "containerOverrides",
    )
    assert "ecsPropertiesOverride" in refusal.message


async def test_an_array_and_its_children(batch: Batch) -> None:
    array = await batch.submit(arrayProperties={"size": 3, "maxConcurrent": 2})
    parent, child = await batch.describe(array, f"{array}:2", f"{array}:3", f"{array}:x")
    assert (parent["status"], parent["arrayProperties"]["size"]) == ("PENDING", 3)
    assert parent["arrayProperties"]["statusSummary"]["RUNNABLE"] == 3
    assert parent["arrayProperties"]["maxConcurrent"] == 2
    assert (child["jobId"], child["status"]) == (f"{array}:2", "RUNNABLE")
    assert (child["arrayProperties"]["index"], child["arrayProperties"]["size"]) == (2, 3)


async def test_a_million_children_are_listed_page_by_page(batch: Batch) -> None:
    array = await batch.submit(arrayProperties={"size": 1_000_000})
    ids: list[str] = []
    token: str | None = None
    started = time.process_time()
    for _ in range(3):
        page = {"nextToken": token} if token else {}
        found, token = await batch.list(arrayJobId=array, jobStatus="RUNNABLE", maxResults=300, **page)
        ids += [each["jobId"] for each in found]
    assert ids == [f"{array}:{index}" for index in range(900)]
    assert token
    for status in ("PENDING", "RUNNING", "SUCCEEDED", "FAILED"):
        assert (await batch.list(arrayJobId=array, jobStatus=status))[0] == []
    assert time.process_time() - started < 2.0


async def test_jobs_are_listed_by_queue_and_status(batch: Batch) -> None:
    await batch.create_queue("other")
    jobs = [await batch.submit(jobName=name) for name in ("a", "b", "c")]
    await batch.submit(jobQueue="other")
    first, token = await batch.list(jobQueue="pictures", jobStatus="RUNNABLE", maxResults=2)
    rest, last = await batch.list(jobQueue="pictures", jobStatus="RUNNABLE", maxResults=2, nextToken=token)
    assert sorted(each["jobId"] for each in (*first, *rest)) == sorted(jobs)
    assert [len(first), len(rest), last] == [2, 1, ""]
    times = [each["createdAt"] for each in (*first, *rest)]
    assert times == sorted(times, reverse=True)
    assert (await batch.list(jobQueue="pictures"))[0] == []  # RUNNING, unless another status is asked for


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        ("JOB_NAME", ["FLIP-A"], ["flip-a"]),
        ("JOB_NAME", ["flip*"], ["flip-a", "flip-b"]),
        ("JOB_NAME", ["flip"], []),
        ("JOB_DEFINITION", ["flip"], ["flip-a", "flip-b", "other"]),
        ("JOB_DEFINITION", ["flip:1"], ["flip-a", "flip-b", "other"]),
        ("JOB_DEFINITION", ["arn:shoal:batch:local:000000000000:job-definition/flip:2"], []),
        ("JOB_DEFINITION", ["fl*"], ["flip-a", "flip-b", "other"]),
        ("AFTER_CREATED_AT", ["0"], ["flip-a", "flip-b", "other"]),
        ("BEFORE_CREATED_AT", ["0"], []),
    ],
)
async def test_a_filter_takes_jobs_of_any_status(
    batch: Batch, name: str, values: Sequence[str], found: Sequence[str]
) -> None:
    for each in ("flip-a", "flip-b", "other"):
        await batch.submit(jobName=each)
    listed, _ = await batch.list(jobQueue="pictures", filters=[{"name": name, "values": list(values)}])
    assert sorted(each["jobName"] for each in listed) == list(found)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "jobQueue"),
        ({"jobQueue": "pictures", "arrayJobId": NOBODY}, "arrayJobId"),
        ({"jobQueue": "pictures", "jobStatus": "DONE"}, "jobStatus"),
        ({"jobQueue": "pictures", "filters": [{"name": "NAME", "values": ["x"]}]}, "filters[0].name"),
        ({"jobQueue": "pictures", "filters": [{"name": "JOB_NAME"}]}, "filters[0].values"),
        (
            {"jobQueue": "pictures", "filters": [{"name": "AFTER_CREATED_AT", "values": ["x"]}]},
            "filters[0].values[0]",
        ),
        ({"jobQueue": "pictures", "nextToken": "x"}, "nextToken"),
        ({"jobQueue": "pictures", "maxResults": 0}, "maxResults"),
        ({"jobQueue": "pictures", "multiNodeJobId": "x"}, "multiNodeJobId"),
    ],
)
async def test_what_cannot_be_listed(batch: Batch, fields: dict[str, Any], field: str) -> None:
    await refused_with(batch.list(**fields), INVALID, "ClientException", field)


async def test_one_token_is_one_job(batch: Batch) -> None:
    jobs = await asyncio.gather(*(batch.submit(clientToken="t") for _ in range(200)))
    assert len(set(jobs)) == 1
    error = await refused(batch.stub.SubmitJob(submission(clientToken="t", jobName="other")))
    assert "clientToken" in error.message
    request = job_definition_pb2.DeregisterJobDefinitionRequest(job_definition="flip:1")
    await batch.stub.DeregisterJobDefinition(request)
    assert await batch.submit(clientToken="t") == jobs[0]


async def test_jobs_are_cancelled_and_terminated_together(batch: Batch) -> None:
    first, second = await batch.submit(), await batch.submit(arrayProperties={"size": 10})
    asked = job_pb2.CancelJobsRequest(jobs=[first, NOBODY, first], reason="enough")
    answer = await batch.stub.CancelJobs(asked)
    assert list(answer.successful) == [first]
    assert [(each.job, each.code) for each in answer.errors] == [(NOBODY, "ClientException")]
    await batch.stub.TerminateJobs(job_pb2.TerminateJobsRequest(jobs=[second], reason="too much"))
    one, array = await batch.describe(first, second)
    assert (one["status"], one["statusReason"], one["isCancelled"]) == ("FAILED", "enough", True)
    assert (array["status"], array["isTerminated"]) == ("FAILED", True)
    assert array["arrayProperties"]["statusSummary"]["FAILED"] == 10
    failed, _ = await batch.list(arrayJobId=second, jobStatus="FAILED")
    assert len(failed) == 10
    await batch.stub.CancelJob(job_pb2.CancelJobRequest(job_id=first, reason="again"))  # over is over, as in AWS
    assert (await batch.describe(first))[0]["statusReason"] == "enough"


async def test_what_waits_for_what_is_described(batch: Batch) -> None:
    flip = await batch.submit(arrayProperties={"size": 2})
    depends_on = [{"jobId": flip, "type": "N_TO_N"}, {"type": "SEQUENTIAL"}]
    sums = await batch.submit(arrayProperties={"size": 2}, dependsOn=depends_on)
    first, second = await batch.describe(flip, sums)
    assert first["dependants"] == [{"jobId": sums, "type": "N_TO_N"}]
    assert second["dependsOn"] == depends_on
    assert second["arrayProperties"]["statusSummary"]["PENDING"] == 2


async def test_likely_mistakes_are_told_with_what_there_is(batch: Batch) -> None:
    error = await refused(batch.stub.SubmitJob(submission(jobQueue="picture")))
    assert error.code == grpc.StatusCode.NOT_FOUND.name
    assert "pictures" in error.message
    error = await refused(batch.stub.SubmitJob(submission(jobDefinition="flip:7")))
    assert "flip has revisions up to 1" in error.message
    request = job_queue_pb2.UpdateJobQueueRequest(job_queue="pictures", state="DISABLED")
    await batch.stub.UpdateJobQueue(request)
    error = await refused(batch.stub.SubmitJob(submission()))
    assert "pictures is DISABLED" in error.message


async def test_why_a_job_waits_is_told_where_it_is_described_and_in_the_queue(batch: Batch) -> None:
    first = await batch.submit(jobName="first")
    second = await batch.submit(jobName="second", dependsOn=[{"jobId": first}])
    waiting, behind = await batch.describe(first, second)
    assert "here: " in waiting["statusReason"]  # the compute environment, which has no instances
    assert f"waits for job {first} (first)" in behind["statusReason"]
    asked = job_queue_pb2.GetJobQueueSnapshotRequest(job_queue="pictures")
    answer = await batch.stub.GetJobQueueSnapshot(asked)
    (front,) = answer.front_of_queue.jobs
    assert (front.job_name, front.overtaken, answer.overtaking_max) == ("first", 0, 100)
    assert front.waiting_reason == waiting["statusReason"]
    assert front.earliest_time_at_position >= waiting["createdAt"]
    error = await refused(batch.stub.GetJobQueueSnapshot(job_queue_pb2.GetJobQueueSnapshotRequest(job_queue="x")))
    assert "pictures" in error.message
