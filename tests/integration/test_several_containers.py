"""Tasks of several containers on a real engine: the order up and down, what they wait for, and what ends them."""

import asyncio
from typing import Any

import pytest
from shoal.client import Client
from shoal.v1.task_pb2 import Container, Task

from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine
from tests.ground.images import BUSYBOX
from tests.ground.waiting import wait_until

SLEEP = "exec sleep 600"
VOLUME = {"mountPoints": [{"sourceVolume": "work", "containerPath": "/data"}]}
CHECK = {"command": ["CMD-SHELL", "test -f /data/ready"], "interval": 5, "timeout": 2, "retries": 1}


def container(name: str, script: str, *waits: tuple[str, str], **fields: Any) -> dict[str, Any]:
    """It says that it starts, then does what the script says."""
    depends_on = [{"containerName": other, "condition": condition} for other, condition in waits]
    command = ["sh", "-c", f"echo start; {script}"]
    return {"name": name, "image": BUSYBOX, "memory": 16, "command": command, "dependsOn": depends_on, **fields}


def definition(family: str, *containers: dict[str, Any]) -> dict[str, Any]:
    volumes = [{"name": "work", "host": {}}]
    return {"family": family, "networkMode": "none", "containerDefinitions": list(containers), "volumes": volumes}


THREE = definition(
    "three",
    container("init", "sleep 1; echo made > /data/config", essential=False, **VOLUME),
    container(
        "app",
        f"test -f /data/config && touch /data/ready; trap 'sleep 1; exit 0' TERM; {SLEEP} & wait",
        ("init", "SUCCESS"),
        healthCheck=CHECK,
        **VOLUME,
    ),
    container("side", f"trap 'exit 0' TERM; {SLEEP} & wait", ("app", "HEALTHY"), essential=False, stopTimeout=5),
)


async def started(client: Client, document: dict[str, Any]) -> str:
    (task_id,) = await work.run(client, await work.register(client, document))
    return task_id


async def described(client: Client, task_id: str) -> Task:
    return (await work.describe(client, [task_id]))[task_id]


def by_name(task: Task) -> dict[str, Container]:
    return {each.name: each for each in task.containers}


def moments(engine: Engine, task: Task) -> dict[str, tuple[str, str]]:
    """When each was started and when it ended, in the engine's words, which sort as time goes."""
    shape = "{{.State.StartedAt}} {{.State.FinishedAt}}"
    shown = {each.name: engine.docker("inspect", "--format", shape, each.runtime_id) for each in task.containers}
    return {name: (text.split()[0], text.split()[1]) for name, text in shown.items()}


@pytest.mark.parametrize("crash", [False, True])
async def test_up_in_order_and_down_in_the_reverse(cluster: Cluster, engine: Engine, crash: bool) -> None:
    """Also if the agent is killed while the first is still at work."""
    async with cluster.client() as client:
        task_id = await started(client, THREE)

        async def statuses() -> list[str]:
            return [each.last_status for each in (await described(client, task_id)).containers]

        def only_init_runs(found: list[str]) -> bool:
            return found == ["RUNNING", "PENDING", "PENDING"]

        await wait_until(statuses, only_init_runs, why="only init runs")
        if crash:
            cluster.kill("agent")
        running = (await work.until_all(client, [task_id], "RUNNING", 40.0))[task_id]
        assert running.health_status == "HEALTHY"
        assert {each.name: (each.last_status, each.health_status) for each in running.containers} == {
            "init": ("STOPPED", ""),
            "app": ("RUNNING", "HEALTHY"),
            "side": ("RUNNING", ""),
        }
        assert "HEALTHY" in cluster.shoal("describe", task_id).stdout
        await work.stop(client, [task_id])
        stopped = (await work.until_all(client, [task_id], "STOPPED", 40.0))[task_id]
    assert stopped.stop_code == "UserInitiated"
    assert {name: each.exit_code for name, each in by_name(stopped).items()} == {"init": 0, "app": 0, "side": 0}
    at = moments(engine, stopped)
    assert at["init"][1] < at["app"][0] < at["side"][0] < at["side"][1] < at["app"][1]
    output = [engine.docker("logs", each.runtime_id) for each in stopped.containers]
    assert [text.count("start") for text in output] == [1, 1, 1]


async def test_a_dependency_that_fails_fails_the_task(cluster: Cluster) -> None:
    async with cluster.client() as client:
        app = container("app", SLEEP, ("init", "SUCCESS"))
        failing = definition("failing", container("init", "exit 7", essential=False), app)
        task_id = await started(client, failing)
        stopped = (await work.until_all(client, [task_id], "STOPPED"))[task_id]
    assert stopped.stop_code == "TaskFailedToStart"
    assert stopped.stopped_reason == (
        "dependency graph: failed to resolve container ordering dependency [init] for target [app] "
        "as dependency did not exit successfully (exit code 7)"
    )
    assert by_name(stopped)["init"].exit_code == 7
    assert not by_name(stopped)["app"].runtime_id and by_name(stopped)["app"].reason == stopped.stopped_reason


async def test_waiting_for_a_condition_ends_with_the_start_timeout(cluster: Cluster) -> None:
    async with cluster.client() as client:
        slow = container("slow", SLEEP, essential=False, startTimeout=2, stopTimeout=2)
        task_id = await started(client, definition("late", slow, container("app", SLEEP, ("slow", "COMPLETE"))))
        stopped = (await work.until_all(client, [task_id], "STOPPED"))[task_id]
    assert stopped.stop_code == "TaskFailedToStart"
    assert stopped.stopped_reason.endswith("dependency [slow] for target [app] has timed out")


async def test_an_essential_container_takes_the_others_with_it(cluster: Cluster) -> None:
    """One that does not listen to SIGTERM is killed after its stopTimeout; one that is not essential ends alone."""
    async with cluster.client() as client:
        deaf = container("deaf", "trap '' TERM; while :; do sleep 1; done", essential=False, stopTimeout=2)
        brief = container("brief", "exit 3", essential=False)
        task_id = await started(client, definition("mixed", container("app", "sleep 4; exit 5"), deaf, brief))
        running = (await work.until_all(client, [task_id], "RUNNING"))[task_id]
        assert by_name(running)["deaf"].last_status == "RUNNING"
        stopped = (await work.until_all(client, [task_id], "STOPPED"))[task_id]
    assert (stopped.stop_code, stopped.stopped_reason) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert {name: each.exit_code for name, each in by_name(stopped).items()} == {"app": 5, "deaf": 137, "brief": 3}


async def test_links_and_volumes_of_others_are_there_in_time(cluster: Cluster) -> None:
    async with cluster.client() as client:
        data = container("data", f"echo hello > /data/text; {SLEEP}", essential=False, stopTimeout=1, **VOLUME)
        script = "until test -s /data/text; do sleep 0.1; done; grep -q hello /data/text && grep -q store /etc/hosts"
        reader = container("app", script, volumesFrom=[{"sourceContainer": "data"}], links=["data:store"])
        document = definition("linked", reader, data) | {"networkMode": "bridge"}
        task_id = await started(client, document)
        stopped = (await work.until_all(client, [task_id], "STOPPED"))[task_id]
    assert by_name(stopped)["app"].exit_code == 0, stopped.stopped_reason


@pytest.mark.slow
async def test_a_restart_policy_starts_the_same_container_again(cluster: Cluster, engine: Engine) -> None:
    """A minute is the shortest period there is. The agent is killed shortly before the end that it answers."""
    policy = {"enabled": True, "ignoredExitCodes": [9], "restartAttemptPeriod": 60}
    script = "if [ -f /data/again ]; then exit 9; fi; touch /data/again; sleep 62; exit 1"
    async with cluster.client() as client:
        task_id = await started(client, definition("again", container("app", script, restartPolicy=policy, **VOLUME)))
        await work.until_all(client, [task_id], "RUNNING")
        await asyncio.sleep(58.0)
        cluster.kill("agent")
        stopped = (await work.until_all(client, [task_id], "STOPPED", 60.0))[task_id]
    (app,) = stopped.containers
    assert (app.exit_code, app.restart_count, stopped.stop_code) == (9, 1, "EssentialContainerExited")
    assert engine.docker("logs", app.runtime_id).count("start") == 2
