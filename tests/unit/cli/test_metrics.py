"""`shoal top` and `shoal metrics`: what they show of what a cluster says."""

# ruff: noqa: N802 - the methods' names are the contract's
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shoal import context
from shoal.cli.top import screen
from shoal.v1 import metrics_pb2 as pb
from shoal.v1 import metrics_pb2_grpc

from tests.fakes.cluster_service import INSTANCE_ID, ClusterService
from tests.fakes.serving import serve
from tests.ground.typist import Typist
from tests.unit.cli.conftest import Shoal

MIB = 1024 * 1024
FIRST, SECOND = "5e1f90ab" + "0" * 24, "77" * 16


class MetricsService(metrics_pb2_grpc.MetricsServicer):
    """Knows two metrics of whatever it is asked for, each with values of every period but one."""

    def __init__(self) -> None:
        self.usage = pb.DescribeUsageResponse()
        self.asked: list[Any] = []
        self.metrics = ["MemoryUtilization", "CPUUtilization"]

    def DescribeUsage(self, request: Any, _context: Any) -> Any:
        self.asked.append(request)
        return self.usage

    def ListMetrics(self, request: Any, _context: Any) -> Any:
        self.asked.append(request)
        assert request.exact_dimensions
        found = [
            pb.Metric(namespace="AWS/ECS", metric_name=name, dimensions=request.dimensions) for name in self.metrics
        ]
        return pb.ListMetricsResponse(metrics=found)

    def GetMetricStatistics(self, request: Any, _context: Any) -> Any:
        self.asked.append(request)
        times = range(request.start_time // 1000 // request.period * request.period, request.end_time // 1000)
        points = [
            pb.Datapoint(timestamp=at * 1000, average=n, sum=2 * n, minimum=n - 1, maximum=n + 1, sample_count=2)
            for n, at in enumerate(times[:: request.period])
            if n != 2
        ]
        for point in points:
            point.unit = "Percent"
        return pb.GetMetricStatisticsResponse(label=request.metric_name, datapoints=points)


@pytest.fixture
def service(shoal: Shoal, tmp_path: Path) -> Iterator[MetricsService]:
    made = MetricsService()  # type: ignore[abstract]
    running = serve(ClusterService(), tmp_path / "certificates", made)  # type: ignore[abstract]
    context.save(context.load().with_context(running.context))
    yield made
    running.server.stop(None)


@pytest.fixture
def usage(service: MetricsService) -> pb.DescribeUsageResponse:
    now = int(time.time() * 1000)
    instance = pb.InstanceUsage(
        container_instance_id=INSTANCE_ID,
        hostname="one\x1b[31m",
        sampled_at=now - 3000,
        cpu_percent=12.4,
        memory_used_bytes=2 * 1024 * MIB,
        memory_total_bytes=8 * 1024 * MIB,
        network_rx_bytes_per_second=2048,
        running_tasks_count=2,
    )
    busy = pb.TaskUsage(
        task_id=FIRST,
        task_definition="web:3",
        container_instance_id=INSTANCE_ID,
        sampled_at=now - 3000,
        cpu_units=512,
        cpu_reserved_units=1024,
        memory_bytes=32 * MIB,
        memory_reserved_mib=64,
        containers=[pb.ContainerUsage(name="app", cpu_units=512), pb.ContainerUsage(name="side")],
    )
    unknown = pb.TaskUsage(task_id=SECOND, task_definition="job:1", container_instance_id=INSTANCE_ID)
    service.usage = pb.DescribeUsageResponse(instances=[instance], tasks=[busy, unknown], tasks_count=2)
    return service.usage


def test_top_shows_once_what_is_used_where_nobody_watches(
    shoal: Shoal, service: MetricsService, usage: pb.DescribeUsageResponse
) -> None:
    lines = shoal("top", "--sort", "memory", "-n", 7).out.splitlines()
    assert [line.split() for line in lines] == [
        ["INSTANCE", "HOST", "CPU", "MEMORY", "DISK", "IN", "OUT", "TASKS", "AGE"],
        ["1f1f1f1f", "one?[31m", "12%", "2", "GiB", "25%", "-", "2", "KiB/s", "-", "2", "3s"],
        ["TASK", "DEFINITION", "INSTANCE", "CORES", "OF", "RESERVED", "MEMORY", "OF", "RESERVED", "IN", "OUT", "AGE"],
        ["5e1f90ab-0", "web:3", "1f1f1f1f", "0.50", "50%", "32", "MiB", "50%", "-", "-", "3s"],
        f"77777777-{0x77777777} job:1 1f1f1f1f - - - - - - -".split(),
    ]
    (request,) = service.asked
    assert (request.sort_by, request.max_results, request.cluster) == ("MEMORY", 7, "default")


def test_top_shows_containers_where_they_are_wanted(shoal: Shoal, usage: pb.DescribeUsageResponse) -> None:
    lines = [line.split() for line in shoal("top", "-c").out.splitlines()]
    assert lines[4:6] == [["app", "0.50", "-"], ["side", "-", "-"]]
    assert lines[6][0].startswith("77777777")


def test_top_as_json(shoal: Shoal, usage: pb.DescribeUsageResponse) -> None:
    found = json.loads(shoal("top", "-o", "json").out)
    assert found["tasks"][0]["cpuUnits"] == 512
    assert "cpuUnits" not in found["tasks"][1]


def test_top_of_an_empty_cluster(shoal: Shoal, service: MetricsService) -> None:
    result = shoal("top", "--once")
    assert (result.code, result.out) == (0, "")
    assert result.err.splitlines() == ["No instances.", "No tasks run."]
    assert json.loads(shoal("top", "-o", "json").out) == {"instances": [], "tasks": []}


def test_top_goes_on_at_a_terminal_until_it_is_ended(service: MetricsService, usage: pb.DescribeUsageResponse) -> None:
    """It shows what is new, and leaves the screen as it found it."""
    environment = {**os.environ, "TERM": "xterm"}
    with Typist([sys.executable, "-m", "shoal.cli", "top"], environment, columns=120) as typist:
        typist.sees("12%")
        typist.sees("1 instance, 2 tasks. Ctrl-C ends.")
        usage.instances[0].cpu_percent = 99
        typist.sees("99%")
        typist.type("\x03")
        assert typist.left() == 130
    assert b"\x1b[?1049h" in typist.shown and b"\x1b[?1049l" in typist.shown


@pytest.mark.parametrize("height", [8, 24, 60])
def test_top_fits_its_screen(height: int) -> None:
    """However many there are of both, some of both are seen."""
    instances = [pb.InstanceUsage(container_instance_id=INSTANCE_ID) for _ in range(100)]
    tasks = [pb.TaskUsage(task_id=FIRST, task_definition="web:3") for _ in range(100)]
    answer = pb.DescribeUsageResponse(instances=instances, tasks=tasks, tasks_count=1000)
    lines = screen(answer, 0, height, None)
    assert len(lines) <= height
    assert sum(line.startswith("1f1f") for line in lines) and sum(line.startswith("5e1f") for line in lines)
    assert lines[-1].startswith("100 instances, 1,000 tasks")
    assert sum(line.startswith("5e1f") for line in screen(answer, 0, height, 1)) == 1


def test_a_line_for_each_metric(shoal: Shoal, service: MetricsService) -> None:
    lines = [line.split() for line in shoal("metrics", "--since", "50s").out.splitlines()]
    assert lines[0] == ["METRIC", "NEWEST", "AVERAGE", "MINIMUM", "MAXIMUM"]
    assert [line[0] for line in lines[1:]] == ["CPUUtilization", "MemoryUtilization"]
    newest, _, lowest, highest = lines[1][1:]
    assert lowest == "-1.0%" and float(highest[:-1]) == float(newest[:-1]) + 1
    assert {(d.name, d.value) for d in service.asked[0].dimensions} == {("ClusterName", "default")}


def test_a_line_for_each_period_of_one_metric(shoal: Shoal, service: MetricsService) -> None:
    lines = shoal("metrics", "--metric", "cpuutilization", "--since", "5m", "--period", "1m").out.splitlines()
    assert lines[0].split() == ["TIME", "AVERAGE", "MINIMUM", "MAXIMUM", "SAMPLES"]
    assert [line.split()[-4] for line in lines[1:4]] == ["0.0%", "1.0%", "3.0%"]  # one is not known
    assert service.asked[-1].period == 60


def test_metrics_as_json_are_cloudwatchs(shoal: Shoal, service: MetricsService) -> None:
    found = json.loads(shoal("metrics", "--metric", "CPUUtilization", "-o", "json").out)
    assert found["Label"] == "CPUUtilization"
    assert set(found["Datapoints"][0]) == {"Timestamp", "SampleCount", "Average", "Sum", "Minimum", "Maximum", "Unit"}
    every = json.loads(shoal("metrics", "-o", "json").out)
    assert [each["Label"] for each in every["Metrics"]] == ["CPUUtilization", "MemoryUtilization"]


def test_a_curve_has_gaps_where_nothing_is_known(shoal: Shoal, service: MetricsService) -> None:
    title, *lines, empty = shoal("metrics", "--metric", "CPUUtilization", "--since", "100s", "--plot").out.splitlines()
    assert title == "CPUUtilization, average of 10s, the last 1m40s"
    assert len(lines) == 8 and not empty
    bottom = lines[-1].partition("┤")[2]
    assert bottom[2] == " " and all(block in "▁▂▃▄▅▆▇█" for block in bottom[:2] + bottom[3:])
    assert lines[-1].lstrip().startswith("0.0% ┤")


@pytest.mark.parametrize(
    ("name", "dimension"),
    [
        ("service:web", ("ServiceName", "web")),
        ("family:web", ("TaskGroup", "family:web")),
        ("1f1f", ("ContainerInstanceId", INSTANCE_ID)),
        (FIRST, ("TaskId", FIRST)),
    ],
)
def test_what_is_named_is_found(shoal: Shoal, service: MetricsService, name: str, dimension: tuple[str, str]) -> None:
    assert shoal("metrics", name).code == 0
    found = {(each.name, each.value) for each in service.asked[0].dimensions}
    assert found == {("ClusterName", "default"), dimension}


def test_what_there_is_not(shoal: Shoal, service: MetricsService) -> None:
    result = shoal("metrics", "--metric", "Happiness")
    assert result.code == 3
    assert "CPUUtilization, MemoryUtilization" in result.err
    assert shoal("metrics", "abcdef").code == 3
    service.metrics = []
    result = shoal("metrics", FIRST)
    assert result.code == 0 and "Nothing was measured" in result.err
