"""The leader's part: what is measured becomes readings; the step is asked only when there is something to decide."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from shoal import arn
from shoal_scheduler.autoscaling import Autoscaling
from shoal_scheduler.control.alarm_inputs import PutAlarm, SetAlarmState
from shoal_scheduler.control.autoscaling.inputs import (
    EvaluateScaling,
    PutScalingPolicy,
    PutScheduledAction,
    RegisterScalableTarget,
)
from shoal_scheduler.metrics.frames import Point
from shoal_scheduler.metrics.store import Metric, Metrics
from shoal_scheduler.model.alarm import ALARM, Alarm
from shoal_scheduler.model.scaling import (
    CHANGE,
    CPU,
    MEMORY,
    REQUESTS,
    MetricQuery,
    MetricStat,
    PrometheusQuery,
    ScalableTarget,
    ScalingPolicy,
    ScheduledAction,
    StepAdjustment,
    StepScaling,
    TargetTracking,
)
from shoal_scheduler.model.service import SUCCESSFUL, Deployment, Service, ServiceRevision
from shoal_scheduler.model.task import Launch, Task, TaskKey
from shoal_scheduler.prometheus_queries import NotAnsweredError
from shoal_scheduler.scaling_readings import with_capacity
from shoal_scheduler.state.records import DeleteRecord, PutRecord

from tests.unit.scheduler.plane import Plane

WEB = ("default", "web")
SERVICE = (("ClusterName", "default"), ("ServiceName", "web"))
GROUP = (("ClusterName", "default"), ("TargetGroup", "front"))


@dataclass
class EngineOf:
    """The engine's part that is used, over a plane without a loop."""

    plane: Plane
    submitted: list[EvaluateScaling] = field(default_factory=list)

    @property
    def tables(self) -> Any:
        return self.plane.tables

    async def submit(self, request: Any) -> Any:
        self.submitted.append(request)
        return await self.plane.one(request)


@dataclass
class Prometheus:
    """Answers with these values, or not at all."""

    values_: list[float | None] | None = None
    asked: list[tuple[str, str, Sequence[int]]] = field(default_factory=list)

    async def values(self, address: str, query: str, times: Sequence[int]) -> list[float | None]:
        self.asked.append((address, query, times))
        if self.values_ is None:
            raise NotAnsweredError("it is away")
        return self.values_


class Led:
    """A service of four tasks that is a scalable target, and 100 minutes on the clock."""

    def __init__(self) -> None:
        self.plane, self.metrics, self.prometheus = Plane(), Metrics(), Prometheus()
        self.plane.now = 6_000_000 + 7_000
        self.engine = EngineOf(self.plane)
        engine: Any = self.engine
        prometheus: Any = self.prometheus
        self.autoscaling = Autoscaling(engine, self.metrics, prometheus, now=lambda: self.plane.now / 1000)

    async def prepare(self, *policies: ScalingPolicy, minimum: int = 1, desired: int = 4) -> None:
        await self.plane.prepare()
        service = Service(
            cluster="default", name="web", created_at=1, desired_count=desired, revision="1", deployment="1"
        )
        revision = ServiceRevision(cluster="default", service="web", id="1", created_at=1, definition="web:1")
        deployment = Deployment(cluster="default", service="web", id="1", revision="1", status=SUCCESSFUL, created_at=1)
        await self.plane.run([], [PutRecord(each) for each in (service, revision, deployment)])
        await self.plane.one(RegisterScalableTarget(*WEB, minimum, 40))
        for policy in policies:
            await self.plane.one(PutScalingPolicy(policy))

    def measure(self, namespace: str, name: str, dimensions: Any, *values: float | None) -> None:
        """One a minute, up to the last whole one."""
        for back, value in enumerate(reversed(values), 1):
            at = self.plane.now // 1000 // 60 * 60 - 60 * back
            if value is not None:
                point = Point(at, value, value, value, 1)
                self.metrics.record(self.plane.now / 1000, Metric(namespace, name, dimensions), "None", point)

    async def look(self) -> int:
        """The desired count after it."""
        await self.autoscaling.look()
        service = self.plane.tables.records.get(Service, *WEB)
        assert service is not None
        return service.desired_count


def policy(name: str = "any", **tracking: Any) -> ScalingPolicy:
    return ScalingPolicy(cluster="default", service="web", name=name, created_at=0, tracking=TargetTracking(**tracking))


def running(led: Led, *counts: float) -> None:
    led.measure("ECS/ContainerInsights", "RunningTaskCount", SERVICE, *counts)


@pytest.mark.parametrize(
    ("tracking", "metric"),
    [
        ({"predefined": CPU}, ("AWS/ECS", "CPUUtilization", SERVICE)),
        ({"predefined": MEMORY}, ("AWS/ECS", "MemoryUtilization", SERVICE)),
        ({"predefined": REQUESTS}, ("AWS/ApplicationELB", "RequestCountPerTarget", SERVICE)),
        (
            {"predefined": REQUESTS, "resource_label": "front"},
            ("AWS/ApplicationELB", "RequestCountPerTarget", GROUP),
        ),
        (
            {"queries": (MetricQuery("m1", MetricStat("Mine", "Waiting", (), "Average")),)},
            ("Mine", "Waiting", ()),
        ),
    ],
)
async def test_each_metric_of_target_tracking(tracking: dict[str, Any], metric: tuple[str, str, Any]) -> None:
    led = Led()
    await led.prepare(policy(target=50.0, **tracking))
    led.measure(*metric, 75.0, 75.0)
    running(led, 4, 4)
    assert await led.look() == 6


async def test_requests_of_shorter_periods_are_those_of_a_minute() -> None:
    led = Led()
    await led.prepare(policy(target=60.0, predefined=REQUESTS, period=30))
    requests = Metric("AWS/ApplicationELB", "RequestCountPerTarget", SERVICE)
    count = Metric("ECS/ContainerInsights", "RunningTaskCount", SERVICE)
    for at in range(5_900, 6_000, 10):
        led.metrics.record(6_007, requests, "Count", Point(at, 15.0, 15.0, 15.0, 1))
        led.metrics.record(6_007, count, "Count", Point(at, 4.0, 4.0, 4.0, 1))
    assert await led.look() == 6, "90 a minute for each of four"


async def test_metric_math_over_what_is_pushed_to_zero_and_back() -> None:
    queries = (
        MetricQuery("m1", MetricStat("Queue", "Messages", (), "Average"), return_data=False),
        MetricQuery("m2", MetricStat("ECS/ContainerInsights", "RunningTaskCount", SERVICE, "Average"), "", "", False),
        MetricQuery("each", None, "m1 / MAX([m2, 1])"),
    )
    led = Led()
    await led.prepare(policy(target=100.0, queries=queries), minimum=0, desired=1)
    led.measure("Queue", "Messages", (), *[0.0] * 15)
    running(led, *[1.0] * 15)
    assert await led.look() == 0
    led.plane.now += 60_000
    led.measure("Queue", "Messages", (), 1_000.0)
    running(led, 0.0)
    assert await led.look() == 1
    led.plane.now += 120_000
    led.measure("Queue", "Messages", (), 1_000.0, 1_000.0)
    running(led, 1.0, 1.0)
    assert await led.look() == 10


async def test_a_prometheus_server_is_asked_for_the_ends_of_periods() -> None:
    led = Led()
    await led.prepare(policy(target=50.0, prometheus=PrometheusQuery("https://p.example.org", "sum(x)")))
    led.prometheus.values_ = [None] * 13 + [75.0, 75.0]
    running(led, 4, 4)
    assert await led.look() == 6
    ((address, query, times),) = led.prometheus.asked
    assert (address, query, len(times), times[-1], times[1] - times[0]) == (
        "https://p.example.org",
        "sum(x)",
        15,
        6000,
        60,
    )


async def test_a_prometheus_server_that_is_away_holds_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    led = Led()
    other = policy("other", target=50.0, queries=(MetricQuery("m1", MetricStat("Mine", "Load", (), "Average")),))
    away = policy("away", target=50.0, prometheus=PrometheusQuery("https://p.example.org", "sum(x)"))
    await led.prepare(other, away)
    for _ in range(3):
        led.measure("Mine", "Load", (), *[1.0] * 15)
        assert await led.look() == 4, "not in, though the other policy would"
        led.plane.now += 60_000
    assert [record.message.split(" ", 4)[:4] for record in caplog.records if record.levelname == "WARNING"] == [
        ["Prometheus", "does", "not", "answer"]
    ]


async def test_without_data_nothing_is_asked_of_the_step() -> None:
    led = Led()
    await led.prepare(policy(target=50.0, predefined=CPU))
    for _ in range(20):
        assert await led.look() == 4
        led.plane.now += 60_000
    assert led.engine.submitted == []


async def test_it_looks_once_a_period_unless_something_is_changed() -> None:
    led = Led()
    await led.prepare(policy(target=50.0, prometheus=PrometheusQuery("https://p.example.org", "sum(x)")))
    led.prometheus.values_ = [50.0] * 15
    for _ in range(5):
        await led.look()
        led.plane.now += 2_000
    assert len(led.prometheus.asked) == 1
    await led.plane.one(RegisterScalableTarget(*WEB, min_capacity=6))
    assert await led.look() == 6
    led.plane.now += 60_000
    await led.look()
    assert len(led.prometheus.asked) == 3


async def test_a_step_policy_follows_the_alarms_that_name_it() -> None:
    stepping = StepScaling(adjustment_type=CHANGE, steps=(StepAdjustment(0.0, 20.0, 1), StepAdjustment(20.0, None, 4)))
    led = Led()
    await led.prepare(ScalingPolicy(cluster="default", service="web", name="steps", created_at=0, stepping=stepping))
    alarm = Alarm(
        name="busy",
        namespace="Mine",
        metric="Load",
        statistic="Average",
        period=60,
        evaluation_periods=1,
        datapoints_to_alarm=1,
        threshold=60.0,
        comparison="GreaterThanThreshold",
        actions={ALARM: (arn.scaling_policy_arn(*WEB, "steps"),)},
    )
    await led.plane.one(PutAlarm(alarm))
    led.measure("Mine", "Load", (), 85.0)
    assert await led.look() == 4, "it has no state yet"
    await led.plane.one(SetAlarmState("busy", ALARM, "too much"))
    led.plane.now += 60_000
    led.measure("Mine", "Load", (), 85.0)
    assert await led.look() == 8
    led.plane.now += 60_000
    led.measure("Mine", "Load", (), 85.0)
    assert await led.look() == 8, "what was added counts in the cooldown"


async def test_a_scheduled_action_is_done_when_it_is_due() -> None:
    led = Led()
    await led.prepare()
    action = ScheduledAction(
        cluster="default", service="web", name="soon", created_at=0, schedule="rate(1 minute)", min_capacity=7
    )
    await led.plane.one(PutScheduledAction(action))
    assert await led.look() == 4
    led.plane.now += 59_000
    assert await led.look() == 4
    led.plane.now += 1_000
    assert await led.look() == 7


async def test_what_belongs_to_a_service_that_is_gone_goes() -> None:
    led = Led()
    await led.prepare(policy(target=50.0, predefined=CPU))
    await led.look()
    await led.plane.run([], [DeleteRecord(Service, WEB)])
    await led.autoscaling.look()
    assert not list(led.plane.tables.records.all(ScalableTarget))


async def test_a_fault_of_one_service_is_not_the_others(caplog: pytest.LogCaptureFixture) -> None:
    led = Led()
    await led.prepare(policy(target=50.0, predefined=CPU))
    target = led.plane.tables.records.get(ScalableTarget, *WEB)
    assert target is not None
    broken = msgspec.structs.replace(target, service="broken")
    bad = msgspec.structs.replace(policy(target=50.0, predefined="NoSuchMetric"), service="broken")
    odd = ScheduledAction(cluster="default", service="odd", name="odd", created_at=0, schedule="never", min_capacity=1)
    records = (broken, bad, msgspec.structs.replace(target, service="odd"), odd)
    await led.plane.run([], [PutRecord(each) for each in records])
    led.measure("AWS/ECS", "CPUUtilization", SERVICE, 75.0, 75.0)
    running(led, 4, 4)
    assert await led.look() == 6
    assert "cannot be scaled cluster=default service=broken" in caplog.text


def test_what_was_measured_before_is_not_of_tasks_that_were_added_since() -> None:
    """As a new leader finds it, which knows old values from elsewhere: four tasks, and 36 that have just started."""
    launch = Launch(id="a" * 24, cluster="default", definition="web:1", created_at=1, count=41, group="service:web")
    starts = [*[1_000] * 4, *[5_990_000] * 36]
    tasks = {
        TaskKey(launch.id, number): Task(launch, number, last_status="RUNNING", started_at=at)
        for number, at in enumerate(starts)
    }
    pending = Task(launch, 40)
    tables: Any = SimpleNamespace(
        services=SimpleNamespace(live={WEB: dict.fromkeys([*tasks, pending.key])}),
        task=lambda key: tasks.get(key, pending),
    )
    points = with_capacity(Metrics(), tables, policy(target=50.0), [500.0] * 15, 6_060, 60)
    assert [point.capacity for point in points if point is not None] == [4.0] * 14 + [40.0]
