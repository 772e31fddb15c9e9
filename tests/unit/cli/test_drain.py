"""`shoal drain`, from no new tasks to none at all."""

import json
import re
import threading
from collections.abc import Callable, Iterator

import pytest
from shoal.cli import drain
from shoal.v1 import event_pb2, task_pb2

from tests.fakes.cluster_service import INSTANCE_ID, ClusterService
from tests.ground.waiting import block_until
from tests.unit.cli.conftest import Shoal

SHORT = INSTANCE_ID[:8]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "LOOK_SECONDS", 0.02)


@pytest.fixture
def two(shoal: Shoal, cluster: ClusterService, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of two tasks that run on the instance, which counts them."""
    tell = cluster._tell

    def count_and_tell(task: task_pb2.Task) -> None:
        count = sum(each.last_status != "STOPPED" for each in cluster.state.tasks.values())
        cluster.state.instances[INSTANCE_ID].running_tasks_count = count
        tell(task)

    monkeypatch.setattr(cluster, "_tell", count_and_tell)
    cluster.state.exits_with = None
    container = {"name": "app", "image": "busybox", "memory": 6}
    shoal("register", "-", text=json.dumps({"family": "web", "containerDefinitions": [container]}))
    ids = shoal("run", "web", "--count", "2", "-o", "name").out.split()
    for each in ids:
        cluster.advance(each, "RUNNING")
    return ids


Meanwhile = Callable[[Callable[[], object]], None]


@pytest.fixture
def meanwhile(cluster: ClusterService) -> Iterator[Meanwhile]:
    """Does something once the command has begun to follow tasks."""
    threads: list[threading.Thread] = []

    def wait_and(do: Callable[[], object]) -> None:
        block_until(lambda: any(isinstance(each, event_pb2.WatchRequest) for each in cluster.state.requests))
        do()

    def begin(do: Callable[[], object]) -> None:
        threads.append(threading.Thread(target=wait_and, args=(do,)))
        threads[-1].start()

    yield begin
    for thread in threads:
        thread.join()


def stops(cluster: ClusterService) -> list[str]:
    return [each.task for each in cluster.state.requests if isinstance(each, task_pb2.StopTaskRequest)]


def test_waits_for_the_last_and_says_which_ends(
    shoal: Shoal, cluster: ClusterService, two: list[str], meanwhile: Meanwhile
) -> None:
    def end_both() -> None:
        cluster.advance(two[1], "STOPPED", 7)
        cluster.advance(two[0], "STOPPED", 0)

    meanwhile(end_both)
    result = shoal("drain", SHORT, "--wait")
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[1][2:] == ["DRAINING", "2", "go", "on"]
    assert {(line[2], line[3]) for line in lines[2:4]} == {("STOPPED", "(7)"), ("STOPPED", "(0)")}
    assert [line[-2:] for line in lines[2:4]] == [["1", "left"], ["0", "left"]]
    assert result.out.splitlines()[-1] == f"No task is left on {SHORT}."
    assert (result.code, stops(cluster)) == (0, [])


def test_an_empty_one_is_drained_at_once(shoal: Shoal, cluster: ClusterService) -> None:
    assert shoal("drain", SHORT, "--wait").out.splitlines()[-1] == f"No task is left on {SHORT}."


def test_gives_up_and_says_who_is_left(shoal: Shoal, cluster: ClusterService, two: list[str]) -> None:
    cluster.advance(two[0], "STOPPED", 0)
    result = shoal("drain", SHORT, "--wait", "--timeout", "300ms")
    assert result.code == 5
    assert f"1 task is still there after 0s: {two[1][:8]}" in result.err
    assert f"shoal drain {SHORT} --stop" in result.err
    assert cluster.state.instances[INSTANCE_ID].status == "DRAINING"


def test_stops_them_at_once(shoal: Shoal, cluster: ClusterService, two: list[str]) -> None:
    result = shoal("drain", SHORT, "--stop", "-o", "name")
    assert (result.code, result.out) == (0, f"{INSTANCE_ID}\n")
    assert sorted(stops(cluster)) == sorted(two)
    assert {task.stopped_reason for task in cluster.state.tasks.values()} == {"Its instance is drained"}


def test_stops_after_the_deadline_what_is_left(
    shoal: Shoal, cluster: ClusterService, two: list[str], meanwhile: Meanwhile
) -> None:
    meanwhile(lambda: cluster.advance(two[0], "STOPPED", 0))
    result = shoal("drain", SHORT, "--deadline", "1500ms")
    assert (result.code, stops(cluster)) == (0, [two[1]])
    assert result.out.splitlines()[-1] == f"No task is left on {SHORT}."


def test_a_silent_one_is_named(shoal: Shoal, cluster: ClusterService, two: list[str]) -> None:
    cluster.state.instances[INSTANCE_ID].agent_connected = False
    result = shoal("drain", SHORT, "--wait", "--timeout", "200ms")
    assert result.code == 5
    assert f"{SHORT} is silent" in result.err
    assert f"shoal instances deregister --force {SHORT}" in result.err


def test_undo(shoal: Shoal, cluster: ClusterService) -> None:
    shoal("drain", SHORT)
    assert "ACTIVE" in shoal("drain", SHORT, "--undo").out
    assert cluster.state.instances[INSTANCE_ID].status == "ACTIVE"


def test_an_interruption_says_when_the_host_goes(shoal: Shoal, cluster: ClusterService, two: list[str]) -> None:
    result = shoal("drain", SHORT, "--interruption", "120s", "--reason", "sold")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"DRAINING +2 end, goes in (2m0s|1m5\ds)$", result.out.splitlines()[1])
    asked = cluster.state.requests[-1]
    assert (asked.status, asked.interruption_seconds, asked.reason) == ("DRAINING", 120, "sold")
    assert stops(cluster) == []
    for command in (("instances",), ("describe", SHORT)):
        assert "DRAINING, goes in " in shoal(*command).out
    cluster.state.instances[INSTANCE_ID].interruption.deadline = 1
    assert "DRAINING, its time is over" in shoal("instances").out
    document = json.loads(shoal("instances", "-o", "json").out)
    assert document["containerInstances"][0]["interruption"]["source"] == "operator"
    shoal("activate", SHORT)
    assert "goes" not in shoal("instances").out


def test_an_interruption_may_be_waited_for(
    shoal: Shoal, cluster: ClusterService, two: list[str], meanwhile: Meanwhile
) -> None:
    def end_both() -> None:
        for each in two:
            cluster.advance(each, "STOPPED", 143)

    meanwhile(end_both)
    result = shoal("drain", SHORT, "--interruption", "10m", "--wait")
    assert (result.code, result.out.splitlines()[-1]) == (0, f"No task is left on {SHORT}.")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--undo", "--wait"), "--undo waits for nothing"),
        (("--stop", "--deadline", "5s"), "not both"),
        (("--timeout", "5s"), "add --wait, --stop or --deadline"),
        (("--deadline", "soon"), "not a duration"),
        (("--interruption", "soon"), "not a duration"),
        (("--interruption", "500ms"), "from 1s to 24h"),
        (("--interruption", "2d"), "from 1s to 24h"),
        (("--interruption", "60s", "--stop"), "stops the tasks itself"),
        (("--interruption", "60s", "--deadline", "5s"), "stops the tasks itself"),
        (("--interruption", "60s", "--undo"), "--undo waits for nothing"),
        (("--interruption", "60s", "--timeout", "5s"), "--timeout is how long to wait"),
        (("--reason", "sold"), "add --interruption TIME"),
    ],
)
def test_options_that_make_no_sense_change_nothing(
    shoal: Shoal, cluster: ClusterService, options: tuple[str, ...], said: str
) -> None:
    result = shoal("drain", SHORT, *options)
    assert (result.code, said in result.err) == (2, True)
    assert cluster.state.instances[INSTANCE_ID].status == "ACTIVE"
