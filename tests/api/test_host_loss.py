"""Hosts that go and return, through the running server: agents whose connections break, with a short deadline."""

import asyncio
from functools import partial
from typing import Any

import pytest
from shoal import arn
from shoal.v1 import agent_pb2, container_instance_pb2, task_pb2
from shoal_scheduler.model import pace

from tests.api.batch import Batch
from tests.api.conftest import INSTANCE
from tests.api.refusals import refused
from tests.api.requests import register
from tests.api.sessions import RawSession
from tests.fakes.agent import SimulatedAgent, exits_with
from tests.fakes.scheduler import Scheduler
from tests.ground.waiting import wait_until

SECOND = "2e" * 16
DEADLINE_SECONDS = 1.0


@pytest.fixture(autouse=True)
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "SESSION_DEADLINE_MIN_SECONDS", DEADLINE_SECONDS)
    monkeypatch.setattr(pace, "HEARTBEAT_MIN_SECONDS", 0.05)


def second(scheduler: Scheduler) -> SimulatedAgent:
    """Another instance, where replacements go."""
    return SimulatedAgent(scheduler.channel("agent", SECOND), SECOND)


async def described(scheduler: Scheduler, task_arn: str) -> task_pb2.Task:
    answer = await scheduler.cluster.DescribeTasks(task_pb2.DescribeTasksRequest(tasks=[task_arn]))
    (task,) = answer.tasks
    return task


async def run_on_first(scheduler: Scheduler, on_disconnect: str | None) -> str:
    """The ARN of a task that runs on an instance which has gone by the time this returns."""
    await register(scheduler)
    async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE):
        request = task_pb2.RunTaskRequest(task_definition="web", on_disconnect=on_disconnect)
        (task,) = (await scheduler.cluster.RunTask(request)).tasks
        await until(scheduler, task.task_arn, "RUNNING")
    await scheduler.until_disconnected(INSTANCE)
    return str(task.task_arn)


async def until(scheduler: Scheduler, task_arn: str, status: str) -> task_pb2.Task:
    return await wait_until(partial(described, scheduler, task_arn), lambda task: task.last_status == status)


async def test_kept_task_is_replaced_and_both_say_so(scheduler: Scheduler) -> None:
    task_arn = await run_on_first(scheduler, "keep")
    silent = await described(scheduler, task_arn)
    assert (silent.last_status, silent.on_disconnect, silent.connectivity) == ("RUNNING", "keep", "DISCONNECTED")
    assert f"{INSTANCE} (host-1f1f1f1f) has been silent since" in silent.disconnect_reason
    lost = await until(scheduler, task_arn, "STOPPED")
    assert (lost.stop_code, lost.desired_status) == ("HostLost", "STOPPED")
    assert lost.stopped_reason.startswith(f"Container instance {INSTANCE} (host-1f1f1f1f) has been silent since 20")
    assert not lost.containers[0].HasField("exit_code")
    waiting = await described(scheduler, lost.replaced_by)
    assert (waiting.last_status, waiting.replaces, waiting.on_disconnect) == ("PROVISIONING", task_arn, "keep")
    async with second(scheduler):
        await until(scheduler, lost.replaced_by, "RUNNING")


async def test_without_the_extension_it_stays_as_it_is(scheduler: Scheduler) -> None:
    task_arn = await run_on_first(scheduler, None)
    await asyncio.sleep(2 * DEADLINE_SECONDS)
    task = await described(scheduler, task_arn)
    assert (task.last_status, task.connectivity) == ("RUNNING", "DISCONNECTED")
    assert task.disconnect_reason.endswith("stays as it is until the instance returns or is deregistered")
    request = container_instance_pb2.DescribeContainerInstancesRequest(container_instances=[INSTANCE])
    (instance,) = (await scheduler.cluster.DescribeContainerInstances(request)).container_instances
    assert (instance.agent_connected, instance.running_tasks_count) == (False, 1)
    assert f"{INSTANCE} (host-1f1f1f1f) has been silent since 20" in instance.status_reason


async def test_who_returns_late_is_told_to_end_its_copy_and_revives_nothing(scheduler: Scheduler) -> None:
    task_arn = await run_on_first(scheduler, "keep")
    lost = await until(scheduler, task_arn, "STOPPED")
    returned = SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE, incarnation=2)
    returned.tasks[arn.short(task_arn)] = "RUNNING"
    async with returned:
        await returned.until(lambda: returned.complete)
        assert arn.short(task_arn) in returned.forgotten
        report = agent_pb2.TaskReport(task_id=arn.short(task_arn), last_status="RUNNING", started_at=1)
        await returned.report(report)
        await returned.until(lambda: returned.acknowledged > 0)
        again = await described(scheduler, task_arn)
        again.connectivity = lost.connectivity
        assert again == lost


async def test_who_returns_in_time_goes_on(scheduler: Scheduler) -> None:
    task_arn = await run_on_first(scheduler, "keep")
    before = await described(scheduler, task_arn)
    async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE, incarnation=2) as returned:
        await returned.until(lambda: arn.short(task_arn) in returned.assignments)
        await asyncio.sleep(2 * DEADLINE_SECONDS)
        after = await described(scheduler, task_arn)
    assert (after.last_status, after.version) == ("RUNNING", before.version)


async def test_exclusive_without_a_watchdog_waits_for_an_operator(scheduler: Scheduler) -> None:
    task_arn = await run_on_first(scheduler, "exclusive")
    await asyncio.sleep(2 * DEADLINE_SECONDS)
    task = await described(scheduler, task_arn)
    assert task.last_status == "RUNNING"
    assert "runs no watchdog" in task.disconnect_reason
    request = container_instance_pb2.DeregisterContainerInstanceRequest(container_instance=INSTANCE, force=True)
    await scheduler.cluster.DeregisterContainerInstance(request)
    fenced = await described(scheduler, task_arn)
    assert fenced.last_status == "STOPPED"
    async with second(scheduler):
        await until(scheduler, fenced.replaced_by, "RUNNING")


def heartbeat(sequence: int) -> agent_pb2.AgentMessage:
    return agent_pb2.AgentMessage(heartbeat=agent_pb2.Heartbeat(sequence=sequence))


async def test_heartbeats_are_answered_only_while_it_certainly_leads(scheduler: Scheduler) -> None:
    session = await RawSession(scheduler).opened()
    await session.say(heartbeat(7))
    assert (await session.call.read()).heartbeat_ack.sequence == 7
    scheduler.plane.leads = lambda: False
    await session.say(heartbeat(8), agent_pb2.AgentMessage(reports=agent_pb2.Reports(sequence=1)))
    assert (await session.call.read()).WhichOneof("kind") == "reports_ack"


async def test_who_may_be_deposed_welcomes_nobody(scheduler: Scheduler) -> None:
    scheduler.plane.leads = lambda: False
    error = await refused(RawSession(scheduler).opened())
    assert error.code == "UNAVAILABLE"


async def test_a_job_is_tried_again_elsewhere_and_that_is_told(scheduler: Scheduler) -> None:
    """The loss is no failure of its program, of which one is all it may have."""
    batch = Batch(scheduler)
    await batch.prepare()
    rules = [{"action": "RETRY", "onStatusReason": "Host EC2*"}, {"action": "EXIT", "onExitCode": "*"}]
    async with SimulatedAgent(scheduler.channel("agent", INSTANCE), INSTANCE):
        job = await batch.submit(retryStrategy={"attempts": 1, "evaluateOnExit": rules})
        await until_job(batch, job, "RUNNING")
    async with second(scheduler) as agent:
        agent.life = exits_with(3, "default")
        found = await until_job(batch, job, "FAILED")
        (assignment,) = agent.assignments.values()
        assert assignment.job.attempt == 2
    lost, failed = found["attempts"]
    assert (lost["hostLost"], lost["matchedRule"], lost["action"]) == (True, 0, "RETRY")
    assert lost["statusReason"].startswith(f"Host EC2 (instance {INSTANCE}) terminated.")
    assert "exitCode" not in lost["container"]
    assert lost["container"]["containerInstanceArn"].endswith(INSTANCE)
    assert (failed["container"]["exitCode"], failed["matchedRule"], failed["action"]) == (3, 1, "EXIT")
    assert failed["container"]["containerInstanceArn"].endswith(SECOND)


async def until_job(batch: Batch, job: str, status: str) -> dict[str, Any]:
    async def described_job() -> dict[str, Any]:
        return (await batch.describe(job))[0]

    def is_there(found: dict[str, Any]) -> bool:
        return bool(found["status"] == status)

    return await wait_until(described_job, is_there)
