"""Random histories of a service's deployments: tasks that end in every way, health, alarms, people who stop them, new
leaders. Each deployment ends, once; nothing that counts is lost; what a revision runs never changes."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.services.follow import has_failed
from shoal_scheduler.control.services.health import is_healthy
from shoal_scheduler.control.services.view import ServiceView, view_of
from shoal_scheduler.model import service as s
from shoal_scheduler.model.alarm import ALARM, OK, Alarm
from shoal_scheduler.model.service import (
    CircuitBreaker,
    Deployment,
    DeploymentAlarms,
    DeploymentConfiguration,
    ServiceRevision,
)
from shoal_scheduler.model.task import ContainerState, Task
from shoal_scheduler.state.changes import Change, PutAlarm
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import PutRecord

from tests.unit.scheduler.plane import DEFINITION, instance, report
from tests.unit.scheduler.services.stage import CHECKED, KEY, Stage

HOSTS = ("a", "b", "c")
PROGRESS_MINUTES = 10
DESIRED_MAX = 5

MAY_BECOME = {
    s.PENDING: {s.IN_PROGRESS, s.STOP_REQUESTED, s.ROLLBACK_REQUESTED, s.STOPPED},
    s.IN_PROGRESS: {s.SUCCESSFUL, s.STOPPED, s.STOP_REQUESTED, s.ROLLBACK_REQUESTED, s.ROLLBACK_IN_PROGRESS},
    s.STOP_REQUESTED: {s.STOPPED},
    s.ROLLBACK_REQUESTED: {s.STOPPED, s.ROLLBACK_IN_PROGRESS},
    s.ROLLBACK_IN_PROGRESS: {s.ROLLBACK_SUCCESSFUL, s.ROLLBACK_FAILED, s.STOPPED},
}
ALARM_RECORD = Alarm(
    name="errors",
    namespace="n",
    metric="m",
    statistic="Sum",
    period=60,
    evaluation_periods=1,
    datapoints_to_alarm=1,
    threshold=1,
    comparison="GreaterThanThreshold",
    state=OK,
)
ENDS = {
    "pull": ("TaskFailedToStart", "CannotPullContainerError"),
    "exit": ("EssentialContainerExited", "Essential container in task exited"),
    "health": ("ServiceSchedulerInitiated", "Task failed container health checks"),
    "scale": ("ServiceSchedulerInitiated", "Scaling activity"),
    "user": ("UserInitiated", "Task stopped by user"),
    "host": ("HostLost", "silent"),
}
Move = tuple[str, int, str]


class Watched(Stage):
    """Checks every step."""

    async def run(self, inputs: Sequence[i.Input], due: Sequence[Change] = ()) -> list[Any]:
        if self.tables.records.get(s.Service, *KEY) is None:
            return await super().run(inputs, due)
        before, failed_before = self.seen(), self._failures()
        images = {each.id: each for each in self.revisions_known()}
        deployments = {each.id: each for each in before.deployments}
        replies = await super().run(inputs, due)
        for now in self.seen().deployments:
            if (was := deployments.get(now.id)) is not None and was != now:
                self._check_deployment(before, was, now, self._failures() - failed_before)
        for revision in self.revisions_known():
            was_known = images.get(revision.id)
            assert was_known is None or not was_known.is_resolved or was_known == revision, "what it runs has changed"
        self._check_tasks(before)
        return replies

    def seen(self) -> ServiceView:
        found = view_of(Overlay(self.tables), KEY, self.context)
        assert found is not None
        return found

    def revisions_known(self) -> list[ServiceRevision]:
        return self.tables.records.of(ServiceRevision, *KEY)

    def _failures(self) -> int:
        """Of tasks of the latest deployment and the revision that it leads to, all that there ever were."""
        latest = (self.service.deployment, self.service.revision)
        return sum(
            task.is_stopped and has_failed(task) and (part.deployment, part.revision) == latest
            for task in self.tables.tasks()
            if (part := task.launch.service) is not None
        )

    def _check_deployment(self, before: ServiceView, was: Deployment, now: Deployment, failures: int) -> None:
        assert was.status == now.status or now.status in MAY_BECOME.get(was.status, ()), (was.status, now.status)
        assert was.rollback_started_at in (0, now.rollback_started_at), "it is rolled back twice"
        assert was.rollback_revision in ("", now.rollback_revision)
        assert now.rollback_revision != now.revision
        assert bool(now.stopped_at) == now.is_over
        if now.id == before.deployment.id and was.status == now.status:
            for counter in ("failed_tasks", "rollback_failed_tasks"):
                counted, had = getattr(now, counter), getattr(was, counter)
                assert counted >= had or (not counted and now.most_healthy > was.most_healthy), "a failure is lost"
            grown = now.failed_tasks + now.rollback_failed_tasks - was.failed_tasks - was.rollback_failed_tasks
            assert was.is_over or now.most_healthy > was.most_healthy or grown == failures, "a failure is not counted"
        if now.status != was.status and now.status in (s.SUCCESSFUL, s.ROLLBACK_SUCCESSFUL):
            self._check_reached(before)

    def _check_reached(self, before: ServiceView) -> None:
        current = [task for task in before.tasks if before.is_current(task)]
        assert sum(is_healthy(before, task) for task in current) >= before.desired
        others = [task for task in before.tasks if not before.is_current(task)]
        is_late = before.now >= before.deployment.progressed_at + PROGRESS_MINUTES * 60_000
        assert all(is_late and task.desired_status == "STOPPED" for task in others), "one is left"

    def _check_tasks(self, before: ServiceView) -> None:
        seen = self.seen()
        known = {task.key for task in before.tasks}
        for task in seen.tasks:
            part = task.launch.service
            assert part is not None
            images = seen.revisions[part.revision].images
            assert part.images in ((), images), "it runs something else"
            if task.key not in known and before.deployment.is_halted and before.deployment.id == seen.deployment.id:
                assert part.revision != seen.deployment.revision, "it was given up"
        unsure = [task for task in seen.wanted if not seen.revisions[revision_of(task)].is_resolved]
        assert len(unsure) <= len({revision_of(task) for task in unsure}), "two tasks before the digests are known"
        if before.deployment.status == s.ROLLBACK_IN_PROGRESS and before.deployment == seen.deployment:
            healthy = [task for task in before.wanted if before.is_current(task) and is_healthy(before, task)]
            left = {task.key for task in seen.wanted}
            stopped = [task for task in healthy if task.key not in left and self._by_service(task)]
            assert not stopped or len(before.wanted) > before.desired, "a rollback stops a healthy one"
            assert len(healthy) - len(stopped) >= before.desired or not stopped

    def _by_service(self, task: Task) -> bool:
        """Not one that was told to have ended: what is healthy and is to stop has not ended yet."""
        now = self.tables.task(task.key)
        return (
            now is not None
            and not now.is_stopped
            and now.desired_status == "STOPPED"
            and now.stop_code == "ServiceSchedulerInitiated"
        )

    # -- moves ---------------------------------------------------------------------------------------------------

    async def move_on(self, back_to: str = "") -> None:
        """A new deployment supersedes the latest, if that is not over."""
        if not self.deployment.is_over:
            over = {"status": s.STOPPED, "stopped_at": self.now, "updated_at": self.now}
            await self.run([], [PutRecord(msgspec.structs.replace(self.deployment, **over))])
        number = int(self.service.deployment[1:]) + 1
        if not back_to:
            await self.deploy(number, revision={"is_resolved": False})
            return
        moved = msgspec.structs.replace(self.service, revision=back_to, deployment=f"d{number}")
        deployment = Deployment(
            cluster="default", service="web", id=f"d{number}", revision=back_to, created_at=self.now
        )
        await self.run([], [PutRecord(moved), PutRecord(deployment)])
        await self.settle()

    async def ask(self, status: str) -> None:
        if self.deployment.status in (s.PENDING, s.IN_PROGRESS):
            asked = msgspec.structs.replace(self.deployment, status=status, reason="On request.")
            await self.run([], [PutRecord(asked)])

    async def report_start(self, task: Task) -> None:
        states = (
            ContainerState(state.name, "RUNNING", "id", image_digest=f"sha256:{task.id}") for state in task.containers
        )
        await self.run([report(task, "RUNNING", started_at=self.now, containers=tuple(states))])

    async def report_health(self, task: Task, status: str) -> None:
        states = (msgspec.structs.replace(state, health_status=status) for state in task.containers)
        await self.run([report(task, "RUNNING", containers=tuple(states))])

    async def work(self, times: int) -> None:
        """All goes well for a while."""
        for _ in range(times):
            await self.end()
            for task in [task for task in self.wanted if task.last_status == "PENDING"]:
                await self.report_start(task)
            for task in [task for task in self.wanted if task.last_status == "RUNNING"]:
                await self.report_health(task, "HEALTHY")
            await self.wait(40)

    async def fail(self, times: int) -> None:
        """So many times, all tasks of the newest revision end by themselves."""
        for _ in range(times):
            seen = self.seen()
            for task in [task for task in seen.wanted if seen.is_current(task) and task.instance]:
                code, reason = ENDS["pull"]
                await self.run([report(task, "STOPPED", stop_code=code, stopped_reason=reason)])
            await self.wait(20)

    async def change_leader(self) -> None:
        self.tables = await self.reloaded()
        for name in HOSTS:
            await self.run([instance(name, cpu=8192, memory_mib=16384)])


def revision_of(task: Task) -> str:
    assert task.launch.service is not None
    return task.launch.service.revision


async def carry_out(stage: Watched, move: Move) -> None:
    kind, number, word = move
    match kind:
        case "deploy":
            await stage.move_on()
            await (stage.fail(number) if word == "bad" else stage.work(number))
        case "back":
            known = sorted(revision.id for revision in stage.revisions_known())
            await stage.move_on(known[number % len(known)])
        case "ask":
            await stage.ask(word)
        case "desired":
            await stage.change(desired_count=number % (DESIRED_MAX + 1))
        case "alarm":
            await stage.run([], [PutAlarm(msgspec.structs.replace(ALARM_RECORD, state=word))])
        case "leader":
            await stage.change_leader()
        case "wait":
            await stage.wait(number)
        case "work":
            await stage.work(number)
        case "break":
            await stage.fail(number)
        case _ if stage.tasks:
            await turn(stage, stage.tasks[number % len(stage.tasks)], kind, word)
    await stage.settle()


async def turn(stage: Watched, task: Task, kind: str, word: str) -> None:
    """What an agent reports of one task."""
    if kind == "start" and task.last_status == "PENDING":
        await stage.report_start(task)
    elif kind == "health" and task.last_status == "RUNNING":
        await stage.report_health(task, word)
    elif kind == "end" and task.instance:
        code, reason = ENDS[word]
        await stage.run([report(task, "STOPPED", stop_code=code, stopped_reason=reason)])


MOVES = st.one_of(
    *[st.tuples(st.just("deploy"), st.integers(0, 4), st.just(word)) for word in ("bad", "bad", "good")],
    st.tuples(st.just("back"), st.integers(0, 9), st.just("")),
    st.tuples(st.just("ask"), st.just(0), st.sampled_from([s.STOP_REQUESTED, s.ROLLBACK_REQUESTED])),
    st.tuples(st.just("desired"), st.integers(0, DESIRED_MAX), st.just("")),
    st.tuples(st.just("alarm"), st.just(0), st.sampled_from([ALARM, OK])),
    st.tuples(st.just("leader"), st.just(0), st.just("")),
    st.tuples(st.just("wait"), st.sampled_from([1, 10, 40, 300]), st.just("")),
    st.tuples(st.just("start"), st.integers(0, 20), st.just("")),
    *[st.tuples(st.just("work"), st.integers(1, 3), st.just("")) for _ in range(2)],
    st.tuples(st.just("break"), st.integers(1, 4), st.just("")),
    st.tuples(st.just("health"), st.integers(0, 20), st.sampled_from(["HEALTHY", "UNHEALTHY", "UNKNOWN"])),
    *[st.tuples(st.just("end"), st.integers(0, 20), st.sampled_from(sorted(ENDS))) for _ in range(2)],
)
MOSTLY = st.sampled_from([True, True, True, False])
BREAKERS = st.builds(
    CircuitBreaker,
    enable=MOSTLY,
    rollback=MOSTLY,
    threshold_type=st.sampled_from(["COUNT", "BOUNDED_PERCENT", "UNBOUNDED_PERCENT"]),
    threshold_value=st.sampled_from([1, 3, 50]),
    reset_on_healthy_task=st.booleans(),
)
CONFIGURATIONS = st.builds(
    DeploymentConfiguration,
    minimum_healthy_percent=st.sampled_from([0, 50, 100]),
    maximum_percent=st.sampled_from([150, 200]),
    circuit_breaker=BREAKERS,
    alarms=st.builds(DeploymentAlarms, names=st.just(("errors",)), enable=st.booleans(), rollback=MOSTLY),
    bake_minutes=st.sampled_from([0, 5]),
    progress_minutes=st.just(PROGRESS_MINUTES),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    moves=st.lists(MOVES, min_size=5, max_size=40),
    configuration=CONFIGURATIONS,
    is_checked=st.booleans(),
    begins_well=st.booleans(),
)
def test_every_deployment_ends_once_and_nothing_is_lost(
    moves: list[Move], configuration: DeploymentConfiguration, is_checked: bool, begins_well: bool
) -> None:
    asyncio.run(_live(moves, configuration, is_checked, begins_well))


async def _live(moves: list[Move], configuration: DeploymentConfiguration, is_checked: bool, begins_well: bool) -> None:
    stage = Watched()
    hosts = [instance(name, cpu=8192, memory_mib=16384) for name in HOSTS]
    await stage.open(*hosts, document=CHECKED if is_checked else DEFINITION)
    await stage.run([], [PutAlarm(ALARM_RECORD)])
    await stage.create(3, configuration=configuration, revision={"is_resolved": False})
    await stage.work(4 if begins_well else 0)
    for move in moves:
        await carry_out(stage, move)
        assert all(each.is_over or each.id == stage.service.deployment for each in stage.seen().deployments)
    # From here on nobody does anything, neither people nor agents: time alone ends it.
    left = len(stage.tasks)
    steps = DESIRED_MAX + left + 1
    await stage.wait(2 * (steps * PROGRESS_MINUTES + configuration.bake_minutes) * 60)
    assert stage.deployment.is_over
