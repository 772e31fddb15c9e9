"""What must hold of jobs after any sequence of requests, reports, losses, new leaders and time."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shoal_scheduler.control import host_loss, retention
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.batch.children import counts, status
from shoal_scheduler.control.batch.job_inputs import CancelJob, TerminateJob
from shoal_scheduler.control.context import Limits
from shoal_scheduler.model.job import FAILED, N_TO_N, SEQUENTIAL, STATUSES, SUCCEEDED, TERMINATE, Job
from shoal_scheduler.model.job_queue import DISABLED, ENABLED
from shoal_scheduler.model.task import Task
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.store import Transaction
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.writes import changes_in

from tests.unit.scheduler import jobs
from tests.unit.scheduler.plane import Plane, instance

SIZES = (0, 6, 6, 9)
OVER = (SUCCEEDED, FAILED)
RULES: tuple[list[dict[str, str]], ...] = (
    [],
    [{"action": "EXIT", "onExitCode": "3"}],
    [{"action": "RETRY", "onStatusReason": "Host EC2*"}, {"action": "EXIT", "onReason": "*"}],
)

moves = st.one_of(
    st.tuples(
        st.just("submit"),
        st.sampled_from(SIZES),
        st.lists(st.tuples(st.integers(0, 9), st.sampled_from(("", N_TO_N))), max_size=3),
        st.booleans(),
        st.fixed_dictionaries(
            {
                "attempts": st.integers(1, 3),
                "hostLosses": st.integers(0, 2),
                "evaluateOnExit": st.sampled_from(RULES),
            }
        ),
    ),
    st.tuples(st.just("start"), st.integers(0, 9), st.integers(1, 6)),
    st.tuples(st.just("start"), st.integers(0, 9), st.integers(1, 6)),
    st.tuples(st.just("run"), st.integers(0, 30)),
    st.tuples(st.just("end"), st.integers(0, 30), st.sampled_from((0, 0, 0, 1, 3, None))),
    st.tuples(st.just("end"), st.integers(0, 30), st.sampled_from((0, 0, 0, 1, 3, None))),
    st.tuples(st.just("lose"), st.integers(0, 30)),
    st.tuples(st.just("stop"), st.integers(0, 30)),
    st.tuples(st.just("cancel"), st.integers(0, 9), st.none() | st.integers(0, 8)),
    st.tuples(st.just("terminate"), st.integers(0, 9), st.none() | st.integers(0, 8)),
    st.tuples(st.just("new leader")),
    st.tuples(st.just("time"), st.integers(1, 100_000)),
)


@pytest.mark.parametrize("state", [ENABLED, DISABLED])
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=st.lists(st.lists(moves, max_size=4), max_size=30), seed=st.integers(0, 2**32))
def test_jobs(state: str, history: list[list[Any]], seed: int) -> None:
    """With a compute environment that is DISABLED tasks start as the history has it, else as there is room."""
    # Chunks so small that arrays of a few children have several.
    with patch("shoal_scheduler.model.children.CHILDREN_PER_CHUNK", 4):
        asyncio.run(_play(state, history, seed))


async def _play(state: str, history: list[list[Any]], seed: int) -> None:
    limits = Limits(
        stopped_tasks_keep_seconds=100, stopped_tasks_max=10, finished_jobs_keep_seconds=100, finished_jobs_max=6
    )
    plane, witness, rng = Plane(seed, limits), Witness(), Random(seed)
    await plane.prepare(_host(1))
    await jobs.prepare(plane, state=state, max_concurrent=4 if seed % 2 and state == ENABLED else 0)
    follower = Follower(plane, await plane.reloaded())
    for of_step in history:
        inputs: list[i.Input] = []
        due = [*retention.expired(plane.tables, plane.context)]
        for move in of_step:
            match move:
                case ("new leader",):
                    before, plane.tables = plane.tables, await plane.reloaded()
                    assert_equal(before, plane.tables)
                    inputs.append(_host(plane.now))
                    plane.now += 1
                case ("time", length):
                    plane.now += length
                case ("start" | "lose", *_):
                    due += _due(plane, move, due)
                case _:
                    inputs += _inputs(plane, move, rng)
        await follower.follow(inputs, due)
        witness.look(plane.tables)
    await _finish(plane, witness, follower)
    assert_equal(plane.tables, await plane.reloaded())
    assert_equal(plane.tables, follower.tables)


def _host(incarnation: int) -> i.AgentHello:
    """With room for seven tasks."""
    return instance("x", cpu=75, memory_mib=100, incarnation=incarnation)


def _open(plane: Plane) -> list[Job]:
    return [entry.job for entry in plane.tables.batch.jobs.values() if not entry.state.outcome]


def _places(plane: Plane) -> bool:
    """Whether jobs start by themselves."""
    return plane.tables.batch.environments["ce"].state == ENABLED


def _tasks(plane: Plane) -> list[Task]:
    return [task for entry in plane.tables.batch.jobs.values() for task in jobs.live(plane.tables, entry.job)]


def _due(plane: Plane, move: Any, before: list[c.Change]) -> list[c.Change]:
    """Nothing twice in a step."""
    open_jobs, tasks = _open(plane), _tasks(plane)
    touched = {change.task.key for change in before if isinstance(change, c.PutTask)}
    busy = {change.launch.started_by for change in before if isinstance(change, c.PutLaunch)}
    match move:
        case ("start", number, limit) if open_jobs and not _places(plane):
            job = open_jobs[number % len(open_jobs)]
            return [] if job.id in busy else jobs.started(plane, job, limit)
        case ("lose", number) if tasks and tasks[number % len(tasks)].key not in touched:
            return host_loss.losing(tasks[number % len(tasks)], host_loss.HOST_LOST, "silent", plane.context)
    return []


def _inputs(plane: Plane, move: Any, rng: Random) -> list[i.Input]:
    known = [entry.job for entry in plane.tables.batch.jobs.values()]
    tasks = _tasks(plane)
    match move:
        case ("submit", size, after, sequential, retry):
            named = [(known[number % len(known)], kind) for number, kind in after] if known else []
            depends = [(job.id, kind if size and job.array_size == size else "") for job, kind in named]
            depends += [("", SEQUENTIAL)] if size and sequential else []
            timeout = {"attemptDurationSeconds": 60} if rng.random() < 0.5 else {}
            return [jobs.submit(size, depends, retryStrategy=retry, timeout=timeout)]
        case ("run", number) if tasks:
            return [_report(plane, tasks[number % len(tasks)], "RUNNING", started_at=plane.now + rng.randint(-9, 9))]
        case ("end", number, code) if tasks:
            return [_report(plane, tasks[number % len(tasks)], "STOPPED", **jobs.exited(code))]
        case ("stop", number) if tasks:
            return [i.StopTask("default", tasks[number % len(tasks)].id, "by hand")]
        case ("cancel" | "terminate", number, child) if known:
            job = known[number % len(known)]
            name = job.id if child is None or not job.array_size else f"{job.id}:{child % job.array_size}"
            return [CancelJob(name, "why") if move[0] == "cancel" else TerminateJob(name, "why")]
    return []


def _report(plane: Plane, task: Task, last_status: str, **more: Any) -> i.TaskReport:
    session = plane.tables.sessions.get("x", 0)
    return i.TaskReport(instance="x", incarnation=session, task=task.id, last_status=last_status, **more)


async def _finish(plane: Plane, witness: "Witness", follower: "Follower") -> None:
    """All that may start does, and succeeds: in the end every job is over."""
    for _ in range(200):
        startable = [] if _places(plane) else _open(plane)
        due = [change for job in startable for change in jobs.started(plane, job, 100)]
        ends = [_report(plane, task, "STOPPED", **jobs.exited(0)) for task in _tasks(plane)]
        if not (due or ends or plane.tables.batch.is_unsettled):
            break
        await follower.follow(ends, due)
        witness.look(plane.tables)
    assert not _open(plane)
    assert not plane.tables.batch.open_count
    assert not plane.tables.batch.deadlines
    assert not +plane.tables.batch.held_vcpus
    assert not any(len(waiting) for waiting in plane.tables.batch.waiting.values())


@dataclass
class Follower:
    """What a standby has, which sees only what is stored."""

    plane: Plane
    tables: Tables

    async def follow(self, inputs: Sequence[i.Input], due: Sequence[c.Change]) -> None:
        records = self.plane.cluster.records
        before, revision = dict(records), self.plane.cluster.revision
        await self.plane.run(inputs, due)
        puts = [record for record in records.values() if record.mod_revision > revision]
        transaction = Transaction(
            self.plane.cluster.revision, puts, [key for key in before if key not in records], None
        )
        self.tables.apply(changes_in(self.tables, transaction), transaction.revision)


class Witness:
    """Sees the tables after every step, and remembers what may never change."""

    def __init__(self) -> None:
        self._over: dict[tuple[str, int | None], str] = {}

        # Attempts that were begun, by job and child.
        self._begun: dict[tuple[str, int], list[str]] = {}
        self._jobs: dict[str, Job] = {}

    def look(self, tables: Tables) -> None:
        for entry in tables.batch.jobs.values():
            self._jobs[entry.job.id] = entry.job
            self._look_at_job(tables, entry.job)
        for job in self._jobs.values():
            self._look_at_starts(tables, job)

    def _look_at_job(self, tables: Tables, job: Job) -> None:
        found = [self._status(tables, job, child) for child in range(job.size)]
        assert counts(tables.batch, job.id) == {each: found.count(each) for each in STATUSES}
        entry = tables.batch.jobs[job.id]
        outcome = entry.state.outcome
        for chunk in entry.chunks.values():
            for child in chunk.children.values():
                losses = sum(attempt.host_lost for attempt in child.attempts)
                assert losses <= job.retry.host_losses + 1
                assert len(child.attempts) - losses <= job.retry.attempts
        if outcome:
            assert (outcome == SUCCEEDED) == (set(found) == {SUCCEEDED})
            assert all(each in OVER for each in found)
            assert not jobs.live(tables, job)
        else:
            assert not all(each in OVER for each in found) or tables.batch.unsettled
        if entry.state.wish == TERMINATE and job.id not in tables.batch.unsettled:
            assert all(task.desired_status == "STOPPED" for task in jobs.live(tables, job))
        if job.array_size:
            assert self._status(tables, job, None) == (outcome or "PENDING")

    def _status(self, tables: Tables, job: Job, child: int | None) -> str:
        found = status(tables.batch, job.id, child)
        before = self._over.get((job.id, child), "")
        assert not before or found == before
        if found in OVER:
            self._over[job.id, child] = found
        return found

    def _look_at_starts(self, tables: Tables, job: Job) -> None:
        for launch_id, child, task in _attempts(tables, job):
            begun = self._begun.setdefault((job.id, child), [])
            part = task.launch.job
            assert part is not None
            if launch_id in begun:
                assert part.attempt == begun.index(launch_id) + 1
                continue
            begun.append(launch_id)
            assert part.attempt == len(begun) <= job.retry.attempts + job.retry.host_losses
            self._assert_dependencies(job, child)
        for child in range(job.size):
            running = [task for _, each, task in _attempts(tables, job) if each == child and not task.is_stopped]
            assert len(running) <= 1

    def _assert_dependencies(self, job: Job, child: int) -> None:
        for dependency in job.depends_on:
            if dependency.type == SEQUENTIAL:
                assert not child or self._over.get((job.id, child - 1)) == SUCCEEDED
            elif dependency.type == N_TO_N:
                assert self._over.get((dependency.job, child)) == SUCCEEDED
            else:
                other = self._jobs[dependency.job]
                assert all(self._over.get((other.id, each)) == SUCCEEDED for each in range(other.size))


def _attempts(tables: Tables, job: Job) -> Iterator[tuple[str, int, Task]]:
    for entry in tables.launches.values():
        if entry.launch.job is not None and entry.launch.job.job == job.id:
            for task in entry.tasks.values():
                yield entry.launch.id, entry.launch.job.child(task.index), task


def assert_equal(applied: Tables, loaded: Tables) -> None:
    """Applying the history and loading the store are the same."""
    for name in ("tokens", "open_count", "dependants", "finished", "unsettled", "deadlines"):
        assert getattr(applied.batch, name) == getattr(loaded.batch, name), name
    for name in ("held_vcpus", "consumed", "running"):
        assert +getattr(applied.batch, name) == +getattr(loaded.batch, name), name
    waiting = [{queue: list(each) for queue, each in t.batch.waiting.items() if len(each)} for t in (applied, loaded)]
    assert waiting[0] == waiting[1]
    assert applied.batch.jobs.keys() == loaded.batch.jobs.keys()
    for job_id, entry in applied.batch.jobs.items():
        other = loaded.batch.jobs[job_id]
        for name in ("job", "ask", "state", "chunks", "succeeded", "failed", "first_open", "live", "live_bits"):
            assert getattr(entry, name) == getattr(other, name), name
        for name in ("started", "stopping", "launches"):
            assert getattr(entry, name) == getattr(other, name), name
        if not entry.state.outcome:
            for name in ("waits_for", "is_doomed", "ready", "failing"):
                assert getattr(entry, name) == getattr(other, name), name
