"""Lives of tasks of several containers on an engine in memory: order, health, restarts, and one that hangs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.engine.port import EngineTimeout
from shoal_agent.life.runner import Lane
from shoal_agent.task import Assignment

from tests.fakes.memory_engine import MemoryEngine
from tests.unit.agent.rig import SLEEP, Rig, assignment, quick

CHECK = {"command": ["CMD", "true"]}


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    quick(monkeypatch)
    made = Rig(tmp_path, MemoryEngine(), Configuration())
    await made.start()
    yield made
    await made.crash()


def container(name: str, *waits: tuple[str, str], **fields: Any) -> dict[str, Any]:
    depends_on = [{"containerName": other, "condition": condition} for other, condition in waits]
    return {"name": name, "image": "image", "memory": 6, "command": SLEEP, "dependsOn": depends_on, **fields}


def task(*containers: dict[str, Any]) -> Assignment:
    return assignment("t1", definition={"family": "t", "containerDefinitions": list(containers)})


THREE = task(
    container("init", command=["sh", "-c", "exit 0"], essential=False),
    container("app", ("init", "SUCCESS"), healthCheck=CHECK),
    container("side", ("app", "HEALTHY"), essential=False),
)


def order(rig: Rig, call: str) -> list[str]:
    """Which containers were asked, in the order in which they were."""
    return [about.rpartition(".")[2] for name, about in rig.engine.calls if name == call]


def lane(rig: Rig) -> Lane:
    found = rig.worker.lane("t1")
    assert found is not None
    return found


async def told(rig: Rig, container: int, field: str, value: Any) -> None:
    """Returns when the newest report has it."""
    await rig.until(lambda: rig.reports and getattr(rig.reports[-1].containers[container], field) == value)


async def test_up_in_order_and_down_in_the_reverse(rig: Rig) -> None:
    rig.assign(THREE)
    await told(rig, 1, "last_status", "RUNNING")
    waiting = rig.reports[-1]
    assert (waiting.last_status, waiting.containers[2].last_status, waiting.started_at) == ("PENDING", "PENDING", None)
    rig.engine.set_health(rig.name("t1", "app"), "HEALTHY")
    running = await rig.report("t1", "RUNNING")
    assert [(it.last_status, it.exit_code, it.health_status) for it in running.containers] == [
        ("STOPPED", 0, None),
        ("RUNNING", None, "HEALTHY"),
        ("RUNNING", None, None),
    ]
    assert order(rig, "start") == ["init", "app", "side"]
    rig.assign(replace(THREE, desired_status="STOPPED", last_status="RUNNING"))
    await rig.report("t1", "STOPPED")
    assert order(rig, "stop") == ["side", "app"]


async def test_health_is_told_when_it_changes(rig: Rig) -> None:
    rig.assign(task(container("web", healthCheck=CHECK)))
    await rig.report("t1", "RUNNING")
    for health in ("HEALTHY", "UNHEALTHY"):
        rig.engine.set_health(rig.name("t1"), health)
        await told(rig, 0, "health_status", health)
    rig.engine.silent_events = True
    rig.engine.set_health(rig.name("t1"), "HEALTHY")
    await told(rig, 0, "health_status", "HEALTHY")


async def test_a_dependency_that_fails_fails_the_task(rig: Rig) -> None:
    rig.assign(
        task(
            container("init", command=["sh", "-c", "exit 7"], essential=False),
            container("other"),
            container("app", ("init", "SUCCESS")),
        )
    )
    stopped = await rig.report("t1", "STOPPED")
    words = (
        "dependency graph: failed to resolve container ordering dependency [init] for target [app] "
        "as dependency did not exit successfully (exit code 7)"
    )
    assert (stopped.stop_code, stopped.stopped_reason) == ("TaskFailedToStart", words)
    assert [it.reason for it in stopped.containers] == [None, None, words]
    assert "app" not in order(rig, "create")
    assert rig.box("t1", "other").state == "exited"


async def test_why_it_ends_outlives_a_crash_in_the_middle_of_the_end(rig: Rig) -> None:
    rig.assign(task(container("app", healthCheck=CHECK, startTimeout=1), container("side", ("app", "HEALTHY"))))
    rig.engine.stop = _never
    await rig.until(lambda: lane(rig).task.ending is not None)
    await rig.crash()
    del rig.engine.stop
    rig.engine.end(rig.name("t1", "app"), 0)
    await rig.start()
    stopped = await rig.report("t1", "STOPPED")
    assert stopped.stop_code == "TaskFailedToStart"
    assert stopped.stopped_reason is not None and stopped.stopped_reason.endswith("has timed out")


async def _never(container: str, grace_seconds: int) -> None:
    raise EngineTimeout(f"no answer about {container}")


async def test_a_container_that_hangs_delays_only_those_that_wait_for_it(rig: Rig) -> None:
    rig.engine.stuck.add(rig.name("t1", "hung"))
    rig.assign(task(container("hung"), container("web"), container("side", ("web", "START"))))
    await rig.until(lambda: order(rig, "start") == ["web", "side"])
    assert order(rig, "create").count("hung") == 1


async def test_the_end_of_one_that_is_not_essential_ends_nothing(rig: Rig) -> None:
    others = (container("side", essential=False), container("bad", essential=False, image="no"))
    rig.assign(task(container("web"), *others))
    running = await rig.report("t1", "RUNNING")
    bad = running.containers[2]
    assert bad.last_status == "STOPPED" and bad.reason is not None
    assert bad.reason.startswith("CannotPullContainerError: ")
    rig.engine.end(rig.name("t1", "side"), 9)
    await told(rig, 1, "exit_code", 9)
    await rig.crash()
    await rig.start()
    rig.assign(task(container("web"), *others))
    assert lane(rig).report().last_status == "RUNNING"
    rig.engine.end(rig.name("t1"), 4)
    stopped = await rig.report("t1", "STOPPED")
    assert [it.exit_code for it in stopped.containers] == [4, 9, None]
    assert stopped.containers[2].reason == bad.reason


async def test_a_restart_policy_starts_the_same_container_again(rig: Rig) -> None:
    policy = {"enabled": True, "ignoredExitCodes": [0], "restartAttemptPeriod": 60}
    wanted = task(container("web", restartPolicy=policy))
    rig.assign(wanted)
    first = await rig.report("t1", "RUNNING")
    for count in (1, 2):
        box = rig.box("t1")
        box.started_at = (box.started_at or 0) - 60_000
        rig.engine.end(rig.name("t1"), 1)
        await told(rig, 0, "restart_count", count)
        assert (box.state, box.starts) == ("running", count + 1)
        if count == 1:
            await rig.crash()
            await rig.start()
            rig.assign(wanted)
    assert rig.reports[-1].containers[0].runtime_id == first.containers[0].runtime_id
    rig.engine.end(rig.name("t1"), 1)  # too early this time
    stopped = await rig.report("t1", "STOPPED")
    assert (stopped.stop_code, stopped.containers[0].exit_code) == ("EssentialContainerExited", 1)
    assert stopped.containers[0].restart_count == 2 and rig.box("t1").starts == 3


async def test_a_lost_journal_does_not_change_the_order_of_the_end(rig: Rig) -> None:
    """The labels say who waits for whom, and that nobody wants the task any more is enough to end it."""
    rig.assign(task(container("db"), container("app", ("db", "START")), container("web", ("app", "START"))))
    await rig.report("t1", "RUNNING")
    await rig.crash()
    (rig.folder / "journal").unlink()
    await rig.start()
    rig.assign(full=True)
    await rig.until(lambda: all(box.state == "exited" for box in rig.engine.boxes.values()))
    assert order(rig, "stop") == ["web", "app", "db"]


async def test_a_task_that_was_told_as_running_is_never_told_as_pending(rig: Rig) -> None:
    """Not while a container that was started again has no ports yet."""
    policy = {"enabled": True, "restartAttemptPeriod": 60}
    rig.assign(task(container("web", restartPolicy=policy, portMappings=[{"containerPort": 80}])))
    first = await rig.report("t1", "RUNNING")
    rig.box("t1").started_at = (rig.box("t1").started_at or 0) - 60_000
    rig.engine.end(rig.name("t1"), 1)
    await told(rig, 0, "restart_count", 1)
    await rig.until(lambda: rig.reports[-1].containers[0].ports not in ((), first.containers[0].ports))
    assert {report.last_status for report in rig.reports} == {"RUNNING"}


async def test_a_journal_without_the_line_that_names_the_containers(rig: Rig) -> None:
    """What its other lines and the labels say is enough: nothing waits for ever, nothing runs twice."""
    rig.assign(task(container("db"), container("app", ("db", "START")), container("web", ("app", "START"))))
    await rig.report("t1", "RUNNING")
    await rig.crash()
    journal = rig.folder / "journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b'"kind":"task"' not in line))
    rig.engine.take_away(rig.name("t1", "web"))
    async with asyncio.timeout(10.0):
        await rig.start()
    stopped = await rig.report("t1", "STOPPED")
    assert stopped.stopped_reason is not None and stopped.stopped_reason.startswith("The container is missing")
    assert [it.name for it in stopped.containers] == ["db", "app", "web"]
    assert order(rig, "stop") == ["app", "db"]
