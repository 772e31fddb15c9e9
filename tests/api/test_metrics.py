"""Samples of agents, and the metrics that follow from them, through the real server."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
import pytest
from shoal.v1 import agent_pb2 as pb
from shoal.v1 import metrics_pb2, metrics_pb2_grpc, task_pb2
from shoal.v1.metrics_pb2 import Dimension, MetricDatum, StatisticSet
from shoal_scheduler.control.inputs import SessionClosed

from tests.api.requests import definition
from tests.api.sessions import RawSession
from tests.fakes.agent import SimulatedAgent
from tests.fakes.scheduler import Scheduler

MIB = 1024 * 1024
INSTANCE = "1f" * 16
STEP = 10

Stub: TypeAlias = "metrics_pb2_grpc.MetricsAsyncStub"


@pytest.fixture
def stub(scheduler: Scheduler) -> Stub:
    return metrics_pb2_grpc.MetricsStub(scheduler.channel())


async def run(scheduler: Scheduler, agent: SimulatedAgent, count: int = 1, **more: Any) -> list[str]:
    """Tasks that run; a quarter of a core and 64 MiB each."""
    await scheduler.cluster.RegisterTaskDefinition(definition("web", cpu="256", memory="64"))
    answer = await scheduler.cluster.RunTask(task_pb2.RunTaskRequest(task_definition="web", count=count, **more))
    ids = [task.task_arn.rpartition("/")[2] for task in answer.tasks]
    await agent.until(lambda: all(agent.tasks.get(task_id) == "RUNNING" for task_id in ids))
    await agent.until(lambda: agent.acknowledged >= agent.sequence)
    return ids


def task_sample(task_id: str, cpu: float = 128.0, memory_mib: int = 32, **more: Any) -> pb.TaskSample:
    return pb.TaskSample(task_id=task_id, cpu_units=cpu, memory_bytes=memory_mib * MIB, **more)


async def say(scheduler: Scheduler, agent: SimulatedAgent, *tasks: pb.TaskSample, **host: Any) -> None:
    """Until it was taken, or refused."""
    metrics = scheduler.plane.metrics
    before = metrics.samples_taken + metrics.samples_refused
    await agent.say(pb.AgentMessage(samples=pb.Samples(host=pb.HostSample(**host), tasks=tasks)))
    await until(scheduler, lambda: metrics.samples_taken + metrics.samples_refused > before)


async def until(scheduler: Scheduler, condition: Callable[[], bool]) -> None:
    """Looked at after every turn of the engine."""
    async with asyncio.timeout(10):
        while not condition():
            await scheduler.plane.engine.submit(SessionClosed("nobody", 1))


async def newest(stub: Stub, name: str, namespace: str = "AWS/ECS", **dimensions: str) -> list[float]:
    """The averages of the last minute or two, one a step."""
    now = int(time.time() * 1000)
    answer = await stub.GetMetricStatistics(
        metrics_pb2.GetMetricStatisticsRequest(
            namespace=namespace,
            metric_name=name,
            dimensions=[Dimension(name=key, value=value) for key, value in dimensions.items()],
            start_time=now - 60_000,
            end_time=now + 20_000,
            period=STEP,
            statistics=["Average"],
        )
    )
    return [point.average for point in answer.datapoints]


async def test_utilisation_and_reservation_are_by_ecs_formulas(
    scheduler: Scheduler, agent: SimulatedAgent, stub: Stub
) -> None:
    """Two tasks of 256 units and 64 MiB on 4,096 units and 16 GiB."""
    first, second = await run(scheduler, agent, 2, group="service:web")
    await say(scheduler, agent, task_sample(first, 128, 32), task_sample(second, 64, 16), cpu_percent=40.0)
    scheduler.plane.metrics.tick(scheduler.plane.tables, time.time())
    cluster = {"ClusterName": "default"}
    assert await newest(stub, "CPUReservation", **cluster) == [12.5]
    assert await newest(stub, "MemoryReservation", **cluster) == [pytest.approx(128 / 16384 * 100)]
    assert await newest(stub, "CPUUtilization", **cluster) == [pytest.approx(192 / 4096 * 100)]
    assert await newest(stub, "MemoryUtilization", **cluster) == [pytest.approx(48 / 16384 * 100)]
    assert await newest(stub, "CPUUtilization", **cluster, ServiceName="web") == [pytest.approx(192 / 512 * 100)]
    assert await newest(stub, "MemoryUtilization", **cluster, ServiceName="web") == [pytest.approx(48 / 128 * 100)]
    insights = "ECS/ContainerInsights"
    assert await newest(stub, "CpuUtilized", insights, **cluster) == [192]
    assert await newest(stub, "RunningTaskCount", insights, **cluster, ServiceName="web") == [2]
    assert await newest(stub, "MemoryUtilized", insights, **cluster, TaskId=first) == [32]
    instance = {**cluster, "ContainerInstanceId": INSTANCE}
    assert await newest(stub, "instance_cpu_utilization", insights, **instance) == [40]
    assert await newest(stub, "CPUReservation", **instance) == [12.5]
    assert await newest(stub, "NetworkRxBytes", insights, **cluster) == []  # nobody said anything of it


async def test_who_says_nothing_is_missing_and_not_0(scheduler: Scheduler, agent: SimulatedAgent, stub: Stub) -> None:
    """A second instance of which nothing is known counts on neither side of a utilisation."""
    (task_id,) = await run(scheduler, agent)
    scheduler.plane.metrics.tick(scheduler.plane.tables, time.time())
    assert await newest(stub, "CPUUtilization", ClusterName="default") == []
    assert await newest(stub, "CPUReservation", ClusterName="default") == [6.25]
    async with SimulatedAgent(scheduler.channel("agent", "2e" * 16), "2e" * 16):
        await say(scheduler, agent, task_sample(task_id, 1024))
        scheduler.plane.metrics.tick(scheduler.plane.tables, time.time() + STEP)
    assert await newest(stub, "CPUUtilization", ClusterName="default") == [25.0]
    # Half a minute later nothing is known any more.
    scheduler.plane.metrics.tick(scheduler.plane.tables, time.time() + 40)
    assert len(await newest(stub, "CPUUtilization", ClusterName="default")) == 1


BAD: dict[str, dict[str, Any]] = {
    "not a number": {"cpu_units": math.nan},
    "without end": {"cpu_units": math.inf},
    "below nothing": {"memory_bytes": -1},
    "too much to be true": {"network_rx_bytes_per_second": 1e300},
    "many containers": {"containers": [pb.ContainerSample(name="c")] * 100},
    "a long name": {"containers": [pb.ContainerSample(name="c" * 1000)]},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_bad_sample_is_refused_and_the_session_goes_on(
    scheduler: Scheduler, agent: SimulatedAgent, bad: dict[str, Any]
) -> None:
    (task_id,) = await run(scheduler, agent)
    before = scheduler.stored()
    await say(scheduler, agent, pb.TaskSample(task_id=task_id, **bad))
    metrics = scheduler.plane.metrics
    assert (metrics.samples_taken, metrics.samples_refused) == (0, 1)
    assert not metrics.samples
    assert INSTANCE in scheduler.plane.tables.sessions
    assert scheduler.stored() == before


async def test_an_agent_tells_of_its_own_tasks_only(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    (task_id,) = await run(scheduler, agent)
    hostile = await RawSession(scheduler).opened()
    strange = [task_sample(each) for each in (task_id, "", "x", "f" * 32, "é" * 40, task_id.upper())]
    await hostile.say(pb.AgentMessage(samples=pb.Samples(tasks=strange)))
    await say(scheduler, agent, task_sample(task_id, 7))
    metrics = scheduler.plane.metrics
    await until(scheduler, lambda: metrics.samples_taken == 2)
    assert [list(sample.tasks) for sample in metrics.samples.values()].count([]) == 1
    assert metrics.samples[INSTANCE].tasks[task_id].cpu_units == 7
    hostile.call.cancel()


async def test_who_samples_all_the_time_is_not_listened_to(scheduler: Scheduler, agent: SimulatedAgent) -> None:
    for _ in range(3):
        await say(scheduler, agent)
    metrics = scheduler.plane.metrics
    assert (metrics.samples_taken, metrics.samples_refused) == (1, 2)


async def test_more_tasks_than_can_be_looked_at_are_left_out(
    scheduler: Scheduler, agent: SimulatedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known is then of the others."""
    first, second = await run(scheduler, agent, 2)
    monkeypatch.setattr("shoal_scheduler.metrics.store.TASKS_AT_ONCE", 1.0)
    await say(scheduler, agent, task_sample(first), task_sample(second))
    assert not scheduler.plane.metrics.samples
    await say(scheduler, agent, task_sample(first))
    assert list(scheduler.plane.metrics.samples[INSTANCE].tasks) == [first]


async def test_a_very_large_cluster_has_its_own_values_and_none_of_groups(
    scheduler: Scheduler, agent: SimulatedAgent, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = await run(scheduler, agent, 3, group="service:web")
    monkeypatch.setattr("shoal_scheduler.metrics.usage.LIVE_TASKS_MAX", 2)
    await say(scheduler, agent, task_sample(first, 128, 32), task_sample(second, 64, 16))
    scheduler.plane.metrics.tick(scheduler.plane.tables, time.time())
    cluster = {"ClusterName": "default"}
    assert await newest(stub, "CPUUtilization", **cluster) == [pytest.approx(192 / 4096 * 100)]
    assert await newest(stub, "RunningTaskCount", "ECS/ContainerInsights", **cluster) == [3]
    assert await newest(stub, "CPUReservation", **cluster, ContainerInstanceId=INSTANCE) == [18.75]
    assert await newest(stub, "CPUUtilization", **cluster, ServiceName="web") == []
    answer = await stub.DescribeUsage(metrics_pb2.DescribeUsageRequest())
    assert [task.task_id for task in answer.tasks] == [first, second]
    assert answer.tasks_count == 3


async def test_the_newest_usage_comes_with_the_largest_first(
    scheduler: Scheduler, agent: SimulatedAgent, stub: Stub
) -> None:
    first, second, third = await run(scheduler, agent, 3)
    app = pb.ContainerSample(name="app", memory_bytes=3)
    busy = task_sample(second, 20, 10, containers=[app])
    await say(scheduler, agent, task_sample(first, 10, 30), busy, memory_used_bytes=5)
    answer = await stub.DescribeUsage(metrics_pb2.DescribeUsageRequest())
    assert [task.task_id for task in answer.tasks] == [second, first, third]
    assert not answer.tasks[2].HasField("cpu_units") and not answer.tasks[2].HasField("sampled_at")
    assert (answer.tasks[0].cpu_units, answer.tasks[0].cpu_reserved_units) == (20, 256)
    assert list(answer.tasks[0].containers) == [metrics_pb2.ContainerUsage(name="app", memory_bytes=3)]
    (instance,) = answer.instances
    assert (instance.memory_used_bytes, instance.running_tasks_count) == (5, 3)
    assert not instance.HasField("cpu_percent")
    by_memory = await stub.DescribeUsage(metrics_pb2.DescribeUsageRequest(sort_by="MEMORY", max_results=1))
    assert [task.task_id for task in by_memory.tasks] == [first]
    assert by_memory.tasks_count == 3


async def test_metrics_are_listed_by_what_they_are_of(scheduler: Scheduler, agent: SimulatedAgent, stub: Stub) -> None:
    (task_id,) = await run(scheduler, agent)
    await say(scheduler, agent, task_sample(task_id))
    of_task = metrics_pb2.ListMetricsRequest(dimensions=[Dimension(name="TaskId", value=task_id)])
    answer = await stub.ListMetrics(of_task)
    assert [metric.metric_name for metric in answer.metrics] == ["CpuUtilized", "MemoryUtilized"]
    of_cluster = metrics_pb2.ListMetricsRequest(
        dimensions=[Dimension(name="ClusterName", value="default")], exact_dimensions=True
    )
    assert not (await stub.ListMetrics(of_cluster)).metrics
    scheduler.plane.metrics.tick(scheduler.plane.tables, time.time())
    assert "TaskCount" in [metric.metric_name for metric in (await stub.ListMetrics(of_cluster)).metrics]
    any_task = metrics_pb2.ListMetricsRequest(dimensions=[Dimension(name="TaskId")], max_results=1)
    first = await stub.ListMetrics(any_task)
    any_task.next_token = first.next_token
    second = await stub.ListMetrics(any_task)
    assert [*first.metrics, *second.metrics] == [*answer.metrics]
    assert not (await stub.ListMetrics(metrics_pb2.ListMetricsRequest(metric_name="None"))).metrics


def put(*data: MetricDatum, namespace: str = "Mine") -> metrics_pb2.PutMetricDataRequest:
    return metrics_pb2.PutMetricDataRequest(namespace=namespace, metric_data=data)


async def test_what_is_put_is_told(stub: Stub) -> None:
    queue = [Dimension(name="Queue", value="q")]
    whole = StatisticSet(sample_count=4, sum=10, minimum=1, maximum=5)
    at = int(time.time() // 60 * 60 - 3600) * 1000
    await stub.PutMetricData(
        put(
            MetricDatum(metric_name="Length", dimensions=queue, timestamp=at, value=7, unit="Count"),
            MetricDatum(metric_name="Length", dimensions=queue, timestamp=at + 20_000, statistic_values=whole),
            MetricDatum(metric_name="Length", dimensions=queue, timestamp=at + 30_000, values=[2, 3], counts=[10, 1]),
        )
    )
    request = metrics_pb2.GetMetricStatisticsRequest(
        namespace="Mine",
        metric_name="Length",
        dimensions=queue,
        start_time=at,
        end_time=at + 60_000,
        period=60,
        statistics=["SampleCount", "Sum", "Minimum", "Maximum", "Average"],
    )
    answer = await stub.GetMetricStatistics(request)
    (point,) = answer.datapoints
    assert (point.sample_count, point.sum, point.minimum, point.maximum) == (16, 40, 1, 7)
    assert (point.average, point.timestamp) == (2.5, at)
    request.ClearField("dimensions")
    assert not (await stub.GetMetricStatistics(request)).datapoints


WRONG = {
    "MetricData[0].Timestamp": put(MetricDatum(metric_name="a", value=1, timestamp=1)),
    "MetricData[0]": put(MetricDatum(metric_name="a")),
    "MetricData[0].Value": put(MetricDatum(metric_name="a", value=math.nan)),
    "MetricData[0].MetricName": put(MetricDatum(value=1)),
    "MetricData[1].Counts": put(
        MetricDatum(metric_name="a", value=1), MetricDatum(metric_name="a", values=[1], counts=[1, 2])
    ),
    "MetricData": put(),
    "Namespace": put(MetricDatum(metric_name="a", value=1), namespace="AWS/ECS"),
    "MetricData[0].StatisticValues.Minimum": put(
        MetricDatum(metric_name="a", statistic_values=StatisticSet(sample_count=1, sum=1, minimum=2, maximum=1))
    ),
}


@pytest.mark.parametrize("field", WRONG)
async def test_what_is_put_wrongly_leaves_nothing(scheduler: Scheduler, stub: Stub, field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.PutMetricData(WRONG[field])
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.value.details() or "").startswith(f"{field}:")
    assert not scheduler.plane.metrics.put.rows


async def test_not_everything_can_be_put(scheduler: Scheduler, stub: Stub) -> None:
    await stub.PutMetricData(put(*(MetricDatum(metric_name=f"m{number}", value=1) for number in range(500))))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.PutMetricData(put(MetricDatum(metric_name="m0", value=2), MetricDatum(metric_name="new", value=1)))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(scheduler.plane.metrics.put.rows) == 500


NOW = 1_800_000_000_000
ASKED_WRONGLY: dict[str, dict[str, Any]] = {
    "Period": {"period": 15},
    "EndTime": {"end_time": NOW - 3600_000},
    "StartTime": {"start_time": 0},
    "Statistics[0]": {"statistics": ["p99"]},
    "Statistics": {"statistics": []},
    "MetricName": {"metric_name": ""},
    "Namespace": {"namespace": ""},
    "Dimensions[0].Name": {"dimensions": [Dimension(value="x")]},
}


@pytest.mark.parametrize("field", ASKED_WRONGLY)
async def test_what_is_asked_wrongly_is_told(stub: Stub, field: str) -> None:
    good: dict[str, Any] = {
        "namespace": "Mine",
        "metric_name": "a",
        "start_time": NOW - 3600_000,
        "end_time": NOW,
        "period": 60,
        "statistics": ["Sum"],
    }
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.GetMetricStatistics(metrics_pb2.GetMetricStatisticsRequest(**(good | ASKED_WRONGLY[field])))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.value.details() or "").startswith(f"{field}:")


async def test_a_long_time_takes_longer_periods(scheduler: Scheduler, agent: SimulatedAgent, stub: Stub) -> None:
    scheduler.plane.metrics.tick(scheduler.plane.tables, time.time())
    now = int(time.time() * 1000)
    request = metrics_pb2.GetMetricStatisticsRequest(
        namespace="ECS/ContainerInsights",
        metric_name="TaskCount",
        dimensions=[Dimension(name="ClusterName", value="default")],
        start_time=now - 4 * 3600_000,
        end_time=now + 10_000,
        period=30,
        statistics=["Sum"],
    )
    with pytest.raises(grpc.aio.AioRpcError, match="multiples of 60 seconds"):
        await stub.GetMetricStatistics(request)
    request.period = 10
    with pytest.raises(grpc.aio.AioRpcError, match="datapoints, at most 1440"):
        await stub.GetMetricStatistics(request)
    request.period = 60
    assert len((await stub.GetMetricStatistics(request)).datapoints) == 1
