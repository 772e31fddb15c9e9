import json
from typing import Any

import pytest
from shoal.cli import log_sources
from shoal.log_names import LogName, log_name
from shoal.v1 import log_pb2, task_definition_pb2

from tests.fakes.cluster_service import ClusterService
from tests.unit.cli.conftest import Shoal


def definition(family: str, group: str = "", *names: str) -> str:
    log = {"logDriver": "awslogs", "options": {"awslogs-group": group, "awslogs-stream-prefix": "p"}}
    containers: list[dict[str, Any]] = [{"name": name, "image": "i", "memory": 64} for name in names or ("web",)]
    for container in containers if group else ():
        container["logConfiguration"] = log
    return json.dumps({"family": family, "containerDefinitions": containers})


def log(message: str, at: int, stream: str = "stdout") -> log_pb2.LogEvent:
    return log_pb2.LogEvent(container="web", stream=stream, timestamp=at, message=message.encode())


@pytest.fixture
def two(shoal: Shoal, cluster: ClusterService) -> list[str]:
    """Two tasks that have ended, of families a and b, and their output."""
    for family in ("a", "b"):
        shoal("register", "-", text=definition(family, f"group-{family}"))
        shoal("run", family, "--wait")
    first, second = cluster.state.tasks
    state = cluster.state
    state.task_logs[first] = [log("a1", 10), log("a2", 30), log("a3", 50)]
    state.task_logs[second] = [log("b1", 20), log("b2", 40, "stderr")]
    return [first, second]


def words(text: str) -> list[str]:
    return [line.rpartition("| ")[2] for line in text.splitlines()]


def test_of_several_tasks_by_time_and_with_their_names(shoal: Shoal, cluster: ClusterService, two: list[str]) -> None:
    result = shoal("logs", *two)
    assert result.code == 0
    assert words(result.out) == ["a1", "b1", "a2", "a3"] and words(result.err) == ["b2"]
    assert all(line.startswith((two[0][:8], two[1][:8])) for line in result.out.splitlines())


def test_several_are_followed_at_once_over_breaks(shoal: Shoal, cluster: ClusterService, two: list[str]) -> None:
    cluster.state.breaks = 4
    result = shoal("logs", "-f", *two)
    assert result.code == 0
    found = words(result.out)
    assert [each for each in found if each[0] == "a"] == ["a1", "a2", "a3"]
    assert [each for each in found if each[0] == "b"] == ["b1"]
    assert words(result.err) == ["b2"]


def test_all_of_a_task_group(shoal: Shoal, two: list[str]) -> None:
    assert words(shoal("logs", "--group", "family:a").out) == ["a1", "a2", "a3"]
    nobody = shoal("logs", "--group", "nobody")
    assert nobody.code == 3 and "task group 'nobody'" in nobody.err


def test_all_of_a_log_group(shoal: Shoal, two: list[str]) -> None:
    assert words(shoal("logs", "--log-group", "group-b").out) == ["b1"]
    assert shoal("logs", "--log-group", "nobody").code == 3


def test_streams_are_named_as_in_cloudwatch(shoal: Shoal, cluster: ClusterService) -> None:
    shoal("register", "-", text=definition("c", "g", "one", "two"))
    shoal("run", "c", "--wait")
    (task,) = cluster.state.tasks
    cluster.state.logs = [log("x", 1)]
    out = shoal("logs", "--log-group", "g").out.splitlines()
    assert out == [f"p/one/{task} | x", f"p/two/{task} | x"]
    assert shoal("logs", "--log-group", "g", "-c", "two").out == "x\n"


def test_of_a_task_with_several_containers_all_or_one(shoal: Shoal, cluster: ClusterService) -> None:
    shoal("register", "-", text=definition("c", "", "one", "second"))
    shoal("run", "c", "--wait")
    (task,) = cluster.state.tasks
    cluster.state.logs = [log("x", 1)]
    lines = shoal("logs", task).out.splitlines()
    assert [line.split() for line in lines] == [
        [f"{task[:8]}-0", "one", "|", "x"],
        [f"{task[:8]}-0", "second", "|", "x"],
    ]
    assert shoal("logs", task, "-c", "second").out == "x\n"
    assert cluster.state.requests[-1].container == "second"


def test_what_is_said_of_a_log_is_no_output(shoal: Shoal, cluster: ClusterService) -> None:
    shoal("register", "-", text=definition("a"))
    shoal("run", "a", "--wait")
    cluster.state.logs = [log("[shoal] much is missing", 1, "notice"), log("x", 2)]
    result = shoal("logs", *cluster.state.tasks)
    assert (result.out, result.err) == ("x\n", "[shoal] much is missing\n")


@pytest.mark.parametrize(
    ("since", "millis"), [("2026-01-31T12:00:00Z", 1769860800000), ("2026-01-31T12:00:00+02:00", 1769853600000)]
)
def test_since_a_time(shoal: Shoal, cluster: ClusterService, since: str, millis: int) -> None:
    shoal("register", "-", text=definition("a"))
    shoal("run", "a", "--wait")
    shoal("logs", *cluster.state.tasks, "--since", since)
    assert cluster.state.requests[-1].since == millis


@pytest.mark.parametrize("arguments", [[], ["x", "--group", "g"], ["--group", "g", "--log-group", "l"]])
def test_one_way_to_say_which(shoal: Shoal, cluster: ClusterService, arguments: list[str]) -> None:
    assert shoal("logs", *arguments).code == 2


def test_no_more_at_once_than_an_instance_gives(
    shoal: Shoal, cluster: ClusterService, two: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_sources, "SOURCES_MAX", 1)
    refused = shoal("logs", *two)
    assert refused.code == 1 and "These are 2 containers" in refused.err
    shoal("run", "a", "--wait")
    cluster.state.logs = [log("newest", 1)]
    found = shoal("logs", "--group", "family:a")
    assert found.out == "newest\n" and "only the newest 1" in found.err


def test_the_name_of_a_stream() -> None:
    container = task_definition_pb2.ContainerDefinition(name="web")
    assert log_name(container, "t") is None
    container.log_configuration.log_driver = "awslogs"
    container.log_configuration.options.update({"awslogs-group": "g", "awslogs-region": "r"})
    assert log_name(container, "t", "abc") == LogName("g", "r", "abc")
    container.log_configuration.options["awslogs-stream-prefix"] = "p"
    assert log_name(container, "t", "abc") == LogName("g", "r", "p/web/t")
