"""Reports that say too much, or speak of what is none of their business."""

import time
from typing import Any

import pytest
from shoal.v1 import agent_pb2 as pb
from shoal.v1 import task_pb2
from shoal_scheduler.api import agent_session

from tests.api.refusals import INVALID, PARAMETER, lives, refused_with
from tests.api.requests import register, run
from tests.api.sessions import FOREIGN, RawSession
from tests.fakes.agent import SimulatedAgent, hello, never_starts
from tests.fakes.scheduler import Scheduler

MANY = 100_000


def container(**fields: Any) -> dict[str, Any]:
    return {"containers": [task_pb2.Container(**{"name": "app", **fields})]}


def bound(**fields: Any) -> dict[str, Any]:
    return container(network_bindings=[task_pb2.NetworkBinding(**fields)])


def addressed(*addresses: str) -> dict[str, Any]:
    return container(network_interfaces=[task_pb2.NetworkInterface(private_ipv4_address=it) for it in addresses])


REPORTS: dict[str, tuple[dict[str, Any], str]] = {
    "no status": ({"last_status": ""}, "lastStatus"),
    "a status nobody knows": ({"last_status": "FINE"}, "lastStatus"),
    "a status of the scheduler's": ({"last_status": "PROVISIONING"}, "lastStatus"),
    "a long id": ({"task_id": "f" * 65}, "taskId"),
    "a time below 0": ({"started_at": -1}, "startedAt"),
    "a time beyond all": ({"execution_stopped_at": 2**63 - 1}, "executionStoppedAt"),
    "a stop code with a newline": ({"stop_code": "a\nb"}, "stopCode"),
    "a long stop code": ({"stop_code": "a" * 65}, "stopCode"),
    "a million containers": ({"containers": [task_pb2.Container()] * 1_000_000}, "containers"),
    "a container without a name": (container(name=""), "containers[0].name"),
    "a name that is none": (container(name="../x"), "containers[0].name"),
    "a container status nobody knows": (container(last_status="x"), "containers[0].lastStatus"),
    "a health nobody knows": (container(health_status="x"), "containers[0].healthStatus"),
    "less than no restart": (container(restart_count=-1), "containers[0].restartCount"),
    "a long runtime id": (container(runtime_id="x" * 513), "containers[0].runtimeId"),
    "a digest for a terminal": (container(image_digest="\x1b"), "containers[0].imageDigest"),
    "a port below 0": (bound(host_port=-1), "containers[0].networkBindings[0].hostPort"),
    "a port too high": (bound(container_port=65_536), "containers[0].networkBindings[0].hostPort"),
    "a protocol nobody knows": (bound(protocol="x"), "containers[0].networkBindings[0].protocol"),
    "an address that is none": (addressed("10.0.0"), "containers[0].networkInterfaces[0].privateIpv4Address"),
    "no address": (addressed(""), "containers[0].networkInterfaces[0].privateIpv4Address"),
    "many addresses": (addressed(*["10.0.0.1"] * MANY), "containers[0].networkInterfaces"),
    "many ports": (container(network_bindings=[task_pb2.NetworkBinding()] * MANY), "containers"),
}


@pytest.mark.parametrize("case", REPORTS)
async def test_a_report_that_says_too_much(scheduler: Scheduler, case: str) -> None:
    fields, path = REPORTS[case]
    session = await RawSession(scheduler).opened()
    before = scheduler.stored()
    good = pb.TaskReport(task_id="0" * 32, last_status="RUNNING")
    bad = pb.TaskReport(**{"task_id": "0" * 32, "last_status": "RUNNING", **fields})
    await session.say(pb.AgentMessage(reports=pb.Reports(sequence=1, tasks=[good, bad])))
    await refused_with(session.end(), INVALID, PARAMETER, f"reports.tasks[1].{path}")
    assert scheduler.stored() == before
    await lives(scheduler)


async def test_an_inventory_is_checked_alike(scheduler: Scheduler) -> None:
    session = RawSession(scheduler)
    report = pb.TaskReport(task_id="0" * 32, last_status="FINE")
    await session.say(hello(FOREIGN), pb.AgentMessage(inventory=pb.Inventory(tasks=[report])))
    await refused_with(session.end(), INVALID, PARAMETER, "inventory.tasks[0].lastStatus")


async def test_too_many_reports_in_a_message(scheduler: Scheduler) -> None:
    session = await RawSession(scheduler).opened()
    reports = [pb.TaskReport()] * (agent_session.REPORTS_PER_MESSAGE_MAX + 1)
    await session.say(pb.AgentMessage(reports=pb.Reports(sequence=1, tasks=reports)))
    await refused_with(session.end(), INVALID, PARAMETER, "reports.tasks")


async def test_texts_of_a_report_are_cut_and_cleaned(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    agent.life = never_starts
    await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    said = "\x1b[2J" + "x" * 1_000_000
    stopped = task_pb2.Container(name="app", last_status="STOPPED", exit_code=-(2**31), reason=said)
    spans = [task_pb2.Span(name=f"{n}{said[:100]}", start_micros=-n) for n in range(1000)]
    report = pb.TaskReport(
        task_id=task.task_arn[-32:], last_status="STOPPED", containers=[stopped], stopped_reason=said, trace=spans
    )
    await agent.report(report)
    await agent.until(lambda: agent.acknowledged == 1)
    request = task_pb2.DescribeTasksRequest(tasks=[task.task_arn], include=["TRACE"])
    (seen,) = (await scheduler.cluster.DescribeTasks(request)).tasks
    assert seen.last_status == "STOPPED"
    assert len(seen.stopped_reason) == 1024
    assert len(seen.containers[0].reason) == 255
    assert seen.stopped_reason.isprintable()
    assert len(seen.trace) < 100


async def test_a_task_of_another_instance(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    """Whatever is said of it changes nothing, and whoever says it is told to forget it."""
    await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    await agent.until(lambda: agent.acknowledged == 1)
    before = scheduler.stored()
    foreign = scheduler.channel("agent", FOREIGN)
    async with SimulatedAgent(foreign, FOREIGN) as other:
        before = scheduler.stored()
        names = [task.task_arn[-32:], "0" * 32, "", "no id", "é" * 32, "+" + task.task_arn[-31:]]
        for name in names:
            await other.report(pb.TaskReport(task_id=name, last_status="STOPPED"))
        await other.until(lambda: other.forgotten == set(names))
        assert scheduler.stored() == before
    await lives(scheduler)


async def test_statuses_and_sequences_that_go_back(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    await agent.until(lambda: agent.acknowledged == 1)
    before = scheduler.stored()
    task_id = task.task_arn[-32:]
    for sequence in (0, -(2**63), 2**63 - 1, 1):
        back = pb.TaskReport(task_id=task_id, last_status="PENDING")
        await agent.call.write(pb.AgentMessage(reports=pb.Reports(sequence=sequence, tasks=[back])))
        await agent.until(lambda sequence=sequence: agent.acknowledged == sequence)  # type: ignore[misc]
    assert scheduler.stored() == before


async def test_a_stopped_task_does_not_run_again(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    task_id = task.task_arn[-32:]
    await agent.until(lambda: agent.acknowledged == 1)
    await agent.report(pb.TaskReport(task_id=task_id, last_status="STOPPED"))
    await agent.until(lambda: agent.tasks == {task_id: "STOPPED"})
    await agent.report(pb.TaskReport(task_id=task_id, last_status="RUNNING"))
    await agent.until(lambda: agent.acknowledged == agent.sequence == 3)
    (seen,) = (await scheduler.cluster.DescribeTasks(task_pb2.DescribeTasksRequest(tasks=[task_id]))).tasks
    assert seen.last_status == "STOPPED"


async def test_ten_thousand_reports_of_tasks_nobody_knows(scheduler: Scheduler) -> None:
    session = await RawSession(scheduler).opened()
    reports = [pb.TaskReport(task_id=f"{n:032x}", last_status="RUNNING") for n in range(10_000)]
    before = scheduler.stored()
    started = time.process_time()
    await session.say(pb.AgentMessage(reports=pb.Reports(sequence=1, tasks=reports)))
    forget = await session.call.read()
    assert len(forget.assignments.assignments) == 10_000
    assert time.process_time() - started < 2
    assert scheduler.stored() == before
    await lives(scheduler)
