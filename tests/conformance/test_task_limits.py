"""The cpu and memory of a task as limits over all its containers together, on a real engine."""

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.definition.labels import container_name
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.life.cgroup import Limits
from shoal_agent.task import Assignment, Report

from tests.ground.engine import Engine
from tests.ground.images import BUSYBOX
from tests.unit.agent.rig import CLUSTER, Rig

pytestmark = pytest.mark.engine

MIB = 1024 * 1024
SLEEP = "trap 'exit 0' TERM; sleep 1000 & wait"


@pytest.fixture
async def rig(tmp_path: Path, engine: Engine, busybox_image: str) -> AsyncIterator[Rig]:
    made = Rig(tmp_path, DockerEngine(engine.host), Configuration(), instance=uuid.uuid4().hex)
    await made.start()
    if not made.around.cgroups.version:
        pytest.skip(made.around.cgroups.reason)
    yield made
    for left in await made.engine.containers(made.around.owner.labels):
        await made.engine.remove(left.container_id)
    await made.crash()
    made.around.cgroups.keep_only([])
    await made.engine.close()


def container(name: str, script: str = SLEEP, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": BUSYBOX, "command": ["sh", "-c", script], "stopTimeout": 2, **more}


def run(rig: Rig, *containers: dict[str, Any], overrides: dict[str, Any] | None = None, **task: Any) -> str:
    task_id = uuid.uuid4().hex
    definition = {"family": "t", "containerDefinitions": containers, **task}
    rig.assign(Assignment(task_id, definition=definition, overrides=overrides or {}))
    return task_id


def cgroups_of(engine: Engine, task_id: str, name: str) -> list[str]:
    """The lines of /proc/PID/cgroup of a container's first process."""
    pid = engine.docker("inspect", "--format", "{{.State.Pid}}", container_name(CLUSTER, task_id, name))
    return Path(f"/proc/{pid}/cgroup").read_text().splitlines()


def setting(rig: Rig, task_id: str, first: str, second: str) -> str:
    """Of the task's cgroup: the file of version 1 or of version 2."""
    version = rig.around.cgroups.version
    file = first if version == 1 else second
    root = rig.around.cgroups.root / (file.partition(".")[0] if version == 1 else "")
    return (root / rig.around.cgroups.parent(task_id)[1:] / file).read_text().strip()


def leftovers(rig: Rig) -> list[str]:
    found = os.walk(rig.around.cgroups.root)
    return [path for path, _, _ in found if rig.instance in path]


def reasons(report: Report) -> dict[str, str | None]:
    return {each.name: each.reason for each in report.containers}


async def test_the_containers_of_a_task_share_its_memory(rig: Rig) -> None:
    """Each alone would fit. The one that was killed is told of, not the one that was then stopped."""
    hog = container("hog", f"while [ ! -e /shared/go ]; do sleep 0.05; done; exec tail -c {60 * MIB} /dev/zero")
    held = f"head -c {20 * MIB} /dev/zero | tail -c {20 * MIB} | (head -c 1 >/dev/null; touch /shared/go; sleep 1000)"
    quiet = container("quiet", f"({held}) & {SLEEP}")
    for each in (hog, quiet):
        each["mountPoints"] = [{"sourceVolume": "shared", "containerPath": "/shared"}]
    task = run(rig, hog, quiet, memory="64", volumes=[{"name": "shared"}])
    over = await rig.report(task, "STOPPED")
    assert over.stop_code == "EssentialContainerExited"
    assert (over.stopped_reason or "").startswith("OutOfMemoryError")
    told = reasons(over)
    assert (told["hog"] or "").startswith("OutOfMemoryError") and told["quiet"] is None


async def test_cpu_and_memory_are_in_the_tasks_cgroup_and_its_containers_below(rig: Rig, engine: Engine) -> None:
    task = run(rig, container("web"), container("side"), cpu="256", memory="64", networkMode="awsvpc")
    await rig.report(task, "RUNNING")
    assert setting(rig, task, "memory.limit_in_bytes", "memory.max") == str(64 * MIB)
    assert setting(rig, task, "cpu.cfs_quota_us", "cpu.max").split()[0] == "25000"
    for name in ("web", "side", "~internal~ecs~pause"):
        places = cgroups_of(engine, task, name)
        assert any(rig.around.cgroups.parent(task) in place for place in places)


async def test_run_task_may_give_other_limits(rig: Rig) -> None:
    task = run(rig, container("web"), cpu="256", memory="64", overrides={"cpu": "0.5 vCPU", "memory": "128"})
    await rig.report(task, "RUNNING")
    assert setting(rig, task, "memory.limit_in_bytes", "memory.max") == str(128 * MIB)
    assert setting(rig, task, "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"


async def test_a_task_without_limits_of_its_own_has_no_cgroup(rig: Rig) -> None:
    task = run(rig, container("web", memory=32, cpu=10))
    await rig.report(task, "RUNNING")
    assert leftovers(rig) == []


async def test_nothing_is_left_of_a_task_that_is_forgotten(rig: Rig) -> None:
    task = run(rig, container("web"), cpu="256", memory="64")
    await rig.report(task, "RUNNING")
    assert leftovers(rig) != []
    rig.assign(Assignment(task, "STOPPED", forget=True))
    rig.worker.keep_only(frozenset())
    lane = rig.worker.lane(task)
    assert lane is not None
    lane.evict()
    await rig.until(lambda: rig.worker.lane(task) is None)
    assert leftovers(rig) == []


async def test_what_a_killed_agent_left_goes_but_no_cgroup_in_use(rig: Rig) -> None:
    task = run(rig, container("web"), memory="64")
    await rig.report(task, "RUNNING")
    rig.around.cgroups.make("gone", Limits(256, 64))
    rig.around.cgroups.keep_only([task])
    assert not any("gone" in path for path in leftovers(rig))
    rig.around.cgroups.keep_only([])
    assert setting(rig, task, "memory.limit_in_bytes", "memory.max") == str(64 * MIB)
