"""What must hold after any sequence of requests, reports, crashes and time."""

import asyncio
from collections import Counter
from random import Random
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from shoal import lifecycle
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control import retention
from shoal_scheduler.control.context import Limits
from shoal_scheduler.model.ask import Strategy
from shoal_scheduler.model.task import TaskKey
from shoal_scheduler.placement.filters import NO_ROW, fitting
from shoal_scheduler.state.tables import Tables

from tests.unit.scheduler.plane import Plane, instance

DOCUMENT: dict[str, Any] = {
    "family": "web",
    "containerDefinitions": [
        {
            "name": "app",
            "image": "busybox",
            "cpu": 200,
            "memory": 300,
            "portMappings": [{"containerPort": 80, "hostPort": 8080}],
        }
    ],
}
HOSTS = ("x", "y", "z")
FAMILIES = ("web", "plain", "big")
EXPRESSIONS: tuple[tuple[str, ...], ...] = (
    (),
    ("attribute:rack == a",),
    ("task:group == family:plain",),
    ("not (task:group == family:web)",),
    ("runningTasksCount < 2",),
)
STRATEGIES = ((), (Strategy("binpack", "cpu"),), (Strategy("spread", "instanceId"),), (Strategy("random"),))

moves = st.one_of(
    st.tuples(st.just("run"), st.integers(1, 6), st.sampled_from(STRATEGIES)),
    st.tuples(st.just("run without port"), st.integers(1, 6), st.sampled_from(STRATEGIES)),
    st.tuples(st.just("queue"), st.integers(1, 6), st.sampled_from(FAMILIES), st.sampled_from(EXPRESSIONS)),
    st.tuples(st.just("attribute"), st.sampled_from(HOSTS), st.sampled_from(("a", "b"))),
    st.tuples(st.just("stop"), st.integers(0, 30)),
    st.tuples(st.just("report"), st.integers(0, 30), st.sampled_from(lifecycle.ORDER[1:])),
    st.tuples(st.just("leave"), st.sampled_from(HOSTS)),
    st.tuples(st.just("return"), st.sampled_from(HOSTS)),
    st.tuples(st.just("drain"), st.sampled_from(HOSTS), st.sampled_from(("ACTIVE", "DRAINING"))),
    st.tuples(st.just("health"), st.sampled_from(HOSTS), st.sampled_from(("OK", "IMPAIRED"))),
    st.tuples(st.just("deregister"), st.sampled_from(HOSTS)),
    st.tuples(st.just("new leader")),
    st.tuples(st.just("time"), st.integers(1, 100_000)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=st.lists(st.lists(moves, max_size=4), max_size=12), seed=st.integers(0, 2**32))
@example([[("queue", 1, "web", EXPRESSIONS[2]), ("queue", 1, "plain", ()), ("new leader",)]], 0)
def test_invariants(history: list[list[Any]], seed: int) -> None:
    asyncio.run(_play(history, seed))


async def _play(history: list[list[Any]], seed: int) -> None:
    plane = Plane(seed, Limits(stopped_tasks_keep_seconds=100, stopped_tasks_max=10, client_tokens_keep_seconds=1))
    await plane.prepare(*(instance(name, cpu=1000, memory_mib=2000) for name in HOSTS), document=DOCUMENT)
    without_port = {**DOCUMENT, "family": "plain"}
    without_port["containerDefinitions"] = [{"name": "app", "image": "busybox", "cpu": 200, "memory": 300}]
    big = {"family": "big", "containerDefinitions": [{"name": "app", "image": "busybox", "cpu": 900, "memory": 30}]}
    await plane.run([i.RegisterTaskDefinition(each, {}, "test") for each in (without_port, big)])
    rng, incarnation = Random(seed), 1
    seen: dict[TaskKey, str] = {}
    for moves_of_step in history:
        inputs: list[i.Input] = []
        for move in moves_of_step:
            incarnation += 1
            if move[0] == "new leader":
                sessions = plane.tables.sessions
                plane.tables = await plane.reloaded()
                assert_equal(plane.tables, await plane.reloaded())
                inputs += [instance(name, 1000, 2000, incarnation=incarnation) for name in sessions]
            elif move[0] == "time":
                plane.now += move[1]
            else:
                inputs += _inputs(plane, move, rng, incarnation)
        await plane.run(inputs, retention.expired(plane.tables, plane.context))
        check(plane.tables, seen)
    assert_equal(plane.tables, await plane.reloaded())


def _inputs(plane: Plane, move: Any, rng: Random, incarnation: int) -> list[i.Input]:
    tasks = list(plane.tables.tasks())
    match move:
        case ("run" | "run without port", count, strategies):
            family = "web" if move[0] == "run" else "plain"
            return [i.RunTask(cluster="default", definition=family, count=count, strategies=strategies)]
        case ("queue", count, family, expressions):
            return [i.RunTask("default", family, count, expressions=expressions, queue=True)]
        case ("attribute", name, value) if plane.tables.instances[name].status != "INACTIVE":
            return [i.ChangeAttributes("default", ((name, "rack", value),))]
        case ("stop", number) if tasks:
            return [i.StopTask("default", tasks[number % len(tasks)].id, "")]
        case ("report", number, status) if tasks:
            task = tasks[number % len(tasks)]
            speaker = task.instance if rng.random() < 0.9 else rng.choice(HOSTS)
            session = plane.tables.sessions.get(speaker, 0) if rng.random() < 0.9 else 1
            return [i.TaskReport(instance=speaker, incarnation=session, task=task.id, last_status=status)]
        case ("leave", name):
            return [i.SessionClosed(name, plane.tables.sessions.get(name, 0))]
        case ("return", name):
            return [instance(name, 1000, 2000, incarnation=incarnation)]
        case ("drain", name, status):
            return [i.UpdateInstances("default", (name,), status)]
        case ("health", name, status):
            return [i.EngineHealth(name, plane.tables.sessions.get(name, 0), status)]
        case ("deregister", name):
            return [i.DeregisterInstance("default", name, force=rng.random() < 0.5)]
    return []


def check(tables: Tables, seen: dict[TaskKey, str]) -> None:
    cpu: Counter[str] = Counter()
    ports: Counter[tuple[str, int]] = Counter()
    for task in tables.tasks():
        before = seen.get(task.key, task.last_status)
        assert before == task.last_status or lifecycle.may_move(before, task.last_status)
        seen[task.key] = task.last_status
        if task.is_stopped:
            assert task.stopped_at
            assert task.desired_status == "STOPPED"
            continue
        if task.last_status == "PROVISIONING":
            assert not task.instance
            continue
        assert task.instance in tables.instances
        assert task.fence
        resources = tables.resources(task.launch.id)
        cpu[task.instance] += resources.cpu
        ports.update((task.instance, port.first) for port in resources.ports)
    room = tables.room("default")
    for host in tables.instances_of("default"):
        row = room.rows[host.id]
        assert host.cpu - room.free_cpu[row] == cpu[host.id] <= host.cpu
        assert room.running[row] + room.pending[row] == len(tables.live_tasks.get(host.id, ()))
    assert all(count == 1 for count in ports.values())
    check_queue(tables)


def check_queue(tables: Tables) -> None:
    """Nothing waits that has room."""
    waiting = [task for task in tables.tasks() if task.last_status == "PROVISIONING" and not task.is_stopped]
    assert len(waiting) == tables.waiting_count["default"]
    room, held = tables.room("default"), tables.held.get("default")
    for launch in {task.launch.id: task.launch for task in waiting}.values():
        kept = NO_ROW if held is None or held.launch == launch.id else room.rows[held.instance]
        assert not (fitting(tables.launches[launch.id].ask, room, kept) == 0).any()
    if held is not None:
        assert held.launch in tables.waiting["default"]


def assert_equal(applied: Tables, loaded: Tables) -> None:
    """Applying the history and loading the store are the same."""
    assert {task.key: task for task in applied.tasks()} == {task.key: task for task in loaded.tasks()}
    assert applied.instances == loaded.instances
    assert applied.definitions == loaded.definitions
    assert applied.tokens == loaded.tokens
    assert applied.join_tokens == loaded.join_tokens
    for host in applied.instances_of("default"):
        assert applied.candidate(host).used == loaded.candidate(host).used
        assert free(applied, host.id) == free(loaded, host.id)


def free(tables: Tables, instance: str) -> tuple[int, int]:
    room = tables.room("default")
    row = room.rows[instance]
    return int(room.free_cpu[row]), int(room.free_memory[row])
