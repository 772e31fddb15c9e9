"""The loop of a service over random histories: it keeps within its percents and comes to what is wanted."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.services.health import is_healthy
from shoal_scheduler.control.services.launching import instance_of
from shoal_scheduler.control.services.reconcile import SERVICE_SCHEDULER
from shoal_scheduler.control.services.view import ServiceView, view_of
from shoal_scheduler.model.service import DAEMON
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.changes import Change, PutInstance
from shoal_scheduler.state.overlay import Overlay

from tests.unit.scheduler.plane import DEFINITION, instance
from tests.unit.scheduler.services.stage import CHECKED, KEY, Stage, percents

HOSTS = ("a", "b", "c")
Move = tuple[str, int, str]


class Watched(Stage):
    """Looks at what each step of the loop alone does: those with inputs come to a service that is at rest."""

    async def run(self, inputs: Sequence[i.Input], due: Sequence[Change] = ()) -> list[Any]:
        before = self.seen() if not inputs and not due else None
        replies = await super().run(inputs, due)
        if before is not None:
            self._check(before)
        return replies

    def seen(self) -> ServiceView | None:
        return view_of(Overlay(self.tables), KEY, self.context)

    def _check(self, before: ServiceView) -> None:
        counted = [task for task in before.wanted if counts(before, task)]
        now_counted = [task for task in self.wanted if counts(before, task)]
        started = {task.key for task in now_counted} - {task.key for task in counted}
        assert not started or len(now_counted) <= before.maximum_total, "more than the maximum are wanted"
        left = {task.key for task in self.wanted}
        healthy = [task for task in counted if is_healthy(before, task)]
        stopped = [task for task in healthy if task.key not in left]
        for task in stopped:
            now = self.tables.task(task.key)
            assert now is not None
            assert now.stop_code == SERVICE_SCHEDULER
        assert not stopped or len(healthy) - len(stopped) >= before.minimum_healthy, "too few are left healthy"


def counts(seen: ServiceView, task: Task) -> bool:
    """Of a DAEMON only what runs where it is to run."""
    return not seen.service.is_daemon or instance_of(task) in seen.daemon_on


async def carry_out(stage: Watched, move: Move) -> None:
    kind, number, word = move
    tasks = stage.tasks
    chosen = tasks[number % len(tasks)] if tasks else None
    match kind:
        case "desired":
            await stage.change(desired_count=number % 8)
        case "deploy":
            await stage.deploy(int(stage.service.revision[1:]) + 1)
        case "host":
            host = stage.tables.instances[HOSTS[number % len(HOSTS)]]
            await stage.run([], [PutInstance(msgspec.structs.replace(host, status=word))])
        case "wait":
            await stage.wait(number)
        case "start" if chosen is not None and chosen.last_status == "PENDING":
            await stage.start(chosen)
        case "health" if chosen is not None and chosen.last_status == "RUNNING":
            await stage.tell_health(chosen, word)
        case "end" if chosen is not None and chosen.instance:
            await stage.end(chosen)
    await stage.settle()


async def help_on(stage: Watched, is_checked: bool) -> None:
    """All goes well from here on."""
    for name in HOSTS:
        host = stage.tables.instances[name]
        await stage.run([], [PutInstance(msgspec.structs.replace(host, status="ACTIVE"))])
    for _ in range(60):
        await stage.end()
        await stage.start()
        for task in stage.wanted if is_checked else ():
            if task.last_status == "RUNNING":
                await stage.tell_health(task, "HEALTHY")
        await stage.wait(40)
        if not [task for task in stage.tasks if task.desired_status == "STOPPED"] and is_there(stage):
            return


def is_there(stage: Watched) -> bool:
    seen = stage.seen()
    assert seen is not None
    return len(seen.wanted) == seen.desired and all(
        seen.is_current(task) and is_healthy(seen, task) for task in seen.wanted
    )


MOVES = st.one_of(
    st.tuples(st.just("desired"), st.integers(0, 7), st.just("")),
    st.tuples(st.just("deploy"), st.just(0), st.just("")),
    st.tuples(st.just("host"), st.integers(0, 2), st.sampled_from(["ACTIVE", "DRAINING"])),
    st.tuples(st.just("wait"), st.sampled_from([1, 40, 100]), st.just("")),
    st.tuples(st.just("start"), st.integers(0, 20), st.just("")),
    st.tuples(st.just("start"), st.integers(0, 20), st.just("")),
    st.tuples(st.just("health"), st.integers(0, 20), st.sampled_from(["HEALTHY", "UNHEALTHY", "UNKNOWN"])),
    st.tuples(st.just("end"), st.integers(0, 20), st.just("")),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    moves=st.lists(MOVES, max_size=40),
    bounds=st.sampled_from([(100, 200), (50, 100), (50, 200), (0, 100), (75, 150), (100, 150)]),
    is_checked=st.booleans(),
    cpu=st.sampled_from([512, 1024, 100_000]),
)
def test_within_the_percents_and_in_the_end_what_is_wanted(
    moves: list[Move], bounds: tuple[int, int], is_checked: bool, cpu: int
) -> None:
    asyncio.run(_live(moves, bounds, is_checked, cpu))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    moves=st.lists(MOVES, max_size=40),
    bounds=st.sampled_from([(0, 100), (50, 100), (60, 200)]),
    is_checked=st.booleans(),
)
@example(moves=[("start", 0, ""), ("deploy", 0, "")], bounds=(60, 200), is_checked=True)
@example(
    moves=[("start", 1, ""), ("health", 1, "UNHEALTHY"), ("end", 2, ""), ("deploy", 0, ""), ("start", 4, ""),
           ("deploy", 0, "")],
    bounds=(50, 100),
    is_checked=True,
)  # fmt: skip
def test_a_daemon_on_each_instance_within_the_percents(
    moves: list[Move], bounds: tuple[int, int], is_checked: bool
) -> None:
    asyncio.run(_live_of_daemon(moves, bounds, is_checked))


async def _live_of_daemon(moves: list[Move], bounds: tuple[int, int], is_checked: bool) -> None:
    stage = Watched()
    await stage.open(*map(instance, HOSTS), document=CHECKED if is_checked else DEFINITION)
    await stage.create(configuration=percents(*bounds), scheduling_strategy=DAEMON)
    for move in moves:
        await carry_out(stage, move)
    await help_on(stage, is_checked)
    assert is_there(stage)
    assert sorted(task.instance for task in stage.wanted) == list(HOSTS)


async def _live(moves: list[Move], bounds: tuple[int, int], is_checked: bool, cpu: int) -> None:
    stage = Watched()
    hosts = [instance(name, cpu=cpu, memory_mib=cpu * 2) for name in HOSTS]
    await stage.open(*hosts, document=CHECKED if is_checked else DEFINITION)
    await stage.create(3, configuration=percents(*bounds))
    for move in moves:
        await carry_out(stage, move)
    await help_on(stage, is_checked)
    seen = stage.seen()
    assert seen is not None
    may_move = seen.maximum_total > seen.desired or seen.minimum_healthy < seen.desired
    has_room = cpu // 256 * len(HOSTS) > (seen.maximum_total if bounds[0] == 100 else seen.desired)
    assert is_there(stage) or not (may_move and has_room), [
        (task.last_status, task.desired_status, task.instance) for task in stage.tasks
    ]
