"""GetUsage and the usage of a task through the running server."""

from typing import Any

import pytest
from shoal.v1 import task_pb2, usage_pb2

from tests.api.refusals import PARAMETER, is_refused
from tests.api.requests import register, run
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler


async def test_what_ended_and_what_runs(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    await register(scheduler)
    (task,) = (await run(scheduler)).tasks
    await agent.until(lambda: bool(agent.tasks))
    first = await scheduler.cluster.GetUsage(usage_pb2.GetUsageRequest())
    (record,) = first.records
    assert (record.group, record.stopped_tasks_count) == ("family:web", 0)
    assert record.usage.vcpu_seconds > 0 and record.usage.gib_seconds > 0 == record.usage.gpu_seconds

    await scheduler.cluster.StopTask(task_pb2.StopTaskRequest(task=task.task_arn))
    request = task_pb2.DescribeTasksRequest(tasks=[task.task_arn])
    await agent.until(lambda: not scheduler.plane.tables.tasks_on(agent.instance))
    (described,) = (await scheduler.cluster.DescribeTasks(request)).tasks
    (record,) = (await scheduler.cluster.GetUsage(usage_pb2.GetUsageRequest())).records
    assert record.stopped_tasks_count == 1
    assert record.usage.vcpu_seconds == described.usage.vcpu_seconds
    seconds = (described.stopped_at - described.started_at) / 1000
    assert record.usage.gib_seconds == pytest.approx(seconds * int(described.memory) / 1024)


@pytest.mark.parametrize(
    ("days", "field"),
    [
        ({"first_day": "2026-13-01"}, "firstDay"),
        ({"last_day": "yesterday"}, "lastDay"),
        ({"last_day": "\uff12026-11-25"}, "lastDay"),
        ({"first_day": "2026-11-25", "last_day": "2026-11-24"}, "firstDay"),
    ],
)
async def test_bad_days(scheduler: Scheduler, days: dict[str, Any], field: str) -> None:
    await is_refused(scheduler, "GetUsage", usage_pb2.GetUsageRequest(**days), PARAMETER, field)
