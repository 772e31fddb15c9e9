"""Jobs that run, with a simulated agent: what is told of their attempts while they do, and afterwards."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from shoal.v1 import agent_pb2, job_definition_pb2, job_pb2
from shoal_scheduler.api.batch.list_jobs import bits_at, listed
from shoal_scheduler.control.batch import children
from shoal_scheduler.model.children import children_in
from shoal_scheduler.model.job import STATUSES
from shoal_scheduler.state.batch_tables import BatchTables
from shoal_scheduler.state.tables import Tables

from tests.api.batch import SEVERAL, Batch, message
from tests.api.conftest import INSTANCE
from tests.fakes.agent import SimulatedAgent, exits_with, runs
from tests.fakes.scheduler import Scheduler


@pytest.fixture
async def batch(scheduler: Scheduler, agent: SimulatedAgent) -> Batch:
    made = Batch(scheduler)
    await made.prepare()
    return made


async def until(batch: Batch, job: str, *statuses: str) -> dict[str, Any]:
    """The job, once its status is one of these."""
    async with asyncio.timeout(30):
        while True:
            (found,) = await batch.describe(job)
            if found["status"] in statuses:
                return found
            await asyncio.sleep(0.02)


async def test_a_job_that_runs(batch: Batch, agent: SimulatedAgent) -> None:
    job = await batch.submit()
    found = await until(batch, job, "RUNNING")
    assert found["container"]["containerInstanceArn"].endswith(INSTANCE)
    assert "attempts" not in found  # those that are over
    (assignment,) = agent.assignments.values()
    assert (assignment.job.job_id, assignment.job.attempt) == (job, 1)
    assert (assignment.job.job_queue, assignment.job.compute_environment) == ("pictures", "here")
    (listed,) = (await batch.list(jobQueue="pictures"))[0]
    assert (listed["jobId"], listed["startedAt"]) == (job, found["startedAt"])


async def test_every_attempt_is_told(batch: Batch, agent: SimulatedAgent) -> None:
    agent.life = exits_with(3, "default")
    rules = [{"action": "EXIT", "onExitCode": "4"}, {"action": "RETRY", "onExitCode": "3"}]
    job = await batch.submit(retryStrategy={"attempts": 2, "evaluateOnExit": rules})
    found = await until(batch, job, "FAILED")
    first, second = found["attempts"]
    for number, attempt in ((1, first), (2, second)):
        assert attempt["attempt"] == number
        assert attempt["container"]["exitCode"] == 3
        assert attempt["container"]["containerInstanceArn"].endswith(INSTANCE)
        assert attempt["createdAt"] <= attempt["startedAt"] <= attempt["stoppedAt"]
        assert (attempt["matchedRule"], attempt["action"]) == (1, "RETRY")
    assert first["container"]["taskArn"] != second["container"]["taskArn"] == found["container"]["taskArn"]
    assert found["container"]["exitCode"] == 3
    assert (found["startedAt"], found["stoppedAt"]) == (second["startedAt"], second["stoppedAt"])
    (listed,) = (await batch.list(jobQueue="pictures", jobStatus="FAILED"))[0]
    assert listed["container"]["exitCode"] == 3


async def test_an_attempt_of_several_containers_tells_how_each_ended(batch: Batch, agent: SimulatedAgent) -> None:
    agent.life = exits_with(3, "main")
    several = message(SEVERAL, job_definition_pb2.RegisterJobDefinitionRequest)
    await batch.stub.RegisterJobDefinition(several)
    job = await batch.submit(jobDefinition="several")
    (attempt,) = (await until(batch, job, "FAILED"))["attempts"]
    (task,) = attempt["taskProperties"]
    assert [(each["name"], each["exitCode"]) for each in task["containers"] if "exitCode" in each] == [("main", 3)]
    assert task["containerInstanceArn"].endswith(INSTANCE)
    assert task["taskArn"] == attempt["container"]["taskArn"]


async def test_an_array_that_succeeds(batch: Batch, agent: SimulatedAgent) -> None:
    agent.life = exits_with(0, "default")
    array = await batch.submit(arrayProperties={"size": 30})
    after = await batch.submit(arrayProperties={"size": 30}, dependsOn=[{"jobId": array, "type": "N_TO_N"}])
    last = await batch.submit(dependsOn=[{"jobId": array}, {"jobId": after}])
    await until(batch, last, "SUCCEEDED")
    parent, child, end = await batch.describe(array, f"{array}:29", last)
    assert parent["status"] == "SUCCEEDED"
    assert parent["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 30
    assert child["status"] == "SUCCEEDED"
    assert child["container"]["exitCode"] == 0
    assert [attempt["attempt"] for attempt in child["attempts"]] == [1]
    assert end["startedAt"] >= parent["stoppedAt"]
    listed, _ = await batch.list(arrayJobId=array, jobStatus="SUCCEEDED")
    assert [each["jobId"] for each in listed] == [f"{array}:{index}" for index in range(30)]


async def test_a_job_that_is_terminated(batch: Batch, agent: SimulatedAgent) -> None:
    job = await batch.submit(retryStrategy={"attempts": 5})
    await until(batch, job, "RUNNING")
    await batch.stub.TerminateJob(job_pb2.TerminateJobRequest(job_id=job, reason="enough"))
    found = await until(batch, job, "FAILED")
    assert (found["statusReason"], found["isTerminated"], len(found["attempts"])) == ("enough", True, 1)


async def test_children_are_listed_by_what_each_is_at(batch: Batch, agent: SimulatedAgent) -> None:
    """At any moment, of arrays that wait for one another and partly fail."""

    def life(assignment: agent_pb2.Assignment) -> Sequence[agent_pb2.TaskReport]:
        index = assignment.job.array_index
        return runs(assignment) if index % 50 == 7 else exits_with(index % 3 % 2, "default")(assignment)

    agent.life = life
    await batch.submit(jobName="single")
    big = await batch.submit(jobName="big", containerOverrides={"vcpus": 64})
    first = await batch.submit(arrayProperties={"size": 300})
    second = await batch.submit(arrayProperties={"size": 300}, dependsOn=[{"jobId": first, "type": "N_TO_N"}])
    third = await batch.submit(arrayProperties={"size": 300}, dependsOn=[{"type": "SEQUENTIAL"}])
    held = batch.scheduler.plane.tables.batch
    await batch.submit(dependsOn=[{"jobId": first}])
    seen, whole = set[str](), set[str]()
    async with asyncio.timeout(60):
        while children.counts(held, first)["RUNNING"] + sum(held.over_counts(first)) < 300:
            for job in (first, second, third):
                seen |= agreed(held, job)
            whole |= jobs_agreed(batch.scheduler.plane.tables)
            await asyncio.sleep(0.01)
    await batch.stub.CancelJobs(job_pb2.CancelJobsRequest(jobs=[first, big], reason="enough"))
    seen |= agreed(held, first)
    whole |= jobs_agreed(batch.scheduler.plane.tables)
    assert seen == set(STATUSES) - {"SUBMITTED"}
    assert whole >= {"PENDING", "RUNNABLE", "FAILED", "SUCCEEDED"}


def agreed(held: BatchTables, job: str) -> set[str]:
    """The statuses its children have, which by the chunk are the same as one by one, and as they are counted."""
    entry = held.jobs[job]
    one_by_one = [children.status(held, job, child) for child in range(300)]
    for status in STATUSES:
        found = [child for number in (0, 1) for child in children_in(number, bits_at(held, entry, number, status))]
        assert found == [child for child, each in enumerate(one_by_one) if each == status], status
        assert children.counts(held, job)[status] == len(found), status
    return set(one_by_one)


def jobs_agreed(tables: Tables) -> set[str]:
    """The same of jobs as a whole, as they are listed in their queue."""
    found = {job: children.status(tables.batch, job) for job in tables.batch.jobs}
    for status in STATUSES:
        answer = listed(tables, job_pb2.ListJobsRequest(job_queue="pictures", job_status=status))
        assert {each.job_id for each in answer.job_summary_list} == {job for job in found if found[job] == status}
    return set(found.values())
