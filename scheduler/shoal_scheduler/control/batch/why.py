"""Why a job or a child does not start yet, and what stands first in a queue. Nothing is proposed or changed."""

from collections.abc import Iterator
from typing import NamedTuple

from shoal_scheduler.control.assignment import held_row
from shoal_scheduler.control.batch import bounds, start
from shoal_scheduler.control.batch.attempt_launch import asked_in
from shoal_scheduler.control.batch.children import status
from shoal_scheduler.control.batch.holding_up import HoldsUp
from shoal_scheduler.control.batch.overtaking import Barrier, holding_up
from shoal_scheduler.control.batch.rooms import Rooms
from shoal_scheduler.model.job import PENDING, RUNNABLE, Job
from shoal_scheduler.model.job_queue import ComputeEnvironment, JobQueue
from shoal_scheduler.placement.explain import NEXT_TURN, waiting_reason
from shoal_scheduler.state.order import OrderKey
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.startable import has_startable, n_to_n
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.waiting_jobs import Want

# Of jobs that another one waits for, so many are named.
NAMED_MAX = 3

# Each costs a look at all instances: of what else waits it is said that it waits for room.
WANTS_EXPLAINED_MAX = 20


class FrontJob(NamedTuple):
    """A job near the front of a queue."""

    job: Job

    # Since when it stands at its place, in milliseconds.
    since: int
    reason: str
    overtaken: int


class Snapshot(NamedTuple):
    front: tuple[FrontJob, ...]

    # Held by the queue's tasks.
    vcpus: float


class Reasons:
    """For one answer: what many jobs have in common is worked out once."""

    def __init__(self, tables: Tables) -> None:
        self._tables, self._batch = tables, tables.batch
        self._view = Overlay(tables)
        self._rooms = Rooms(self._view)
        self._in_room: dict[tuple[str, Want], str] = {}
        self._barriers: dict[tuple[str, frozenset[str]], Barrier | None] = {}

    def of(self, job_id: str, child: int | None = None) -> str:
        """In a sentence; "" of what does not wait. Of an array as a whole: why the next of its children waits."""
        entry = self._batch.jobs.get(job_id)
        if entry is None or entry.state.outcome or entry.state.wish:
            return ""
        job, waits = entry.job, child is None or status(self._batch, job_id, child) in (PENDING, RUNNABLE)
        if not waits:
            return ""
        if entry.waits_for:
            return f"waits for {_listed([self._named(other) for other in entry.waits_for])}"
        if child is not None and status(self._batch, job_id, child) == PENDING:
            return self._of_pending_child(job, child)
        if job_id in self._batch.waiting.get(job.queue, ()):
            return self._of_waiting(job)
        if job.max_concurrent and len(entry.live) >= job.max_concurrent:
            return f"maxConcurrent: {len(entry.live)} of its children run, no more may"
        if has_startable(self._batch, job):
            return "it could not be looked at, as the scheduler's log says: it is again once something of it changes"
        return ""

    def snapshot(self, queue: str, now: int) -> Snapshot:
        """The first jobs of a queue that is there."""
        jobs = self._view.batch.waiting(queue)
        known = jobs.looked.front
        found = []
        for place, key in zip(range(start.FRONT_MAX), jobs, strict=False):
            is_there = place < len(known) and known[place].job == key.job
            since = known[place].since if is_there else now
            job = self._batch.jobs[key.job].job
            found.append(FrontJob(job, since, self.of(key.job), jobs.overtaken(key.job)))
        return Snapshot(tuple(found), self._batch.used_cpu[queue] / bounds.CPU_UNITS_PER_VCPU)

    # -- before it may start at all --------------------------------------------------------------------------

    def _named(self, job_id: str) -> str:
        entry = self._batch.jobs.get(job_id)
        return f"job {job_id}" if entry is None else f"job {job_id} ({entry.job.name})"

    def _of_pending_child(self, job: Job, child: int) -> str:
        others = [f"{self._named(other)}, child {child}" for other in n_to_n(job)]
        if job.is_sequential and child:
            others.append(f"its own child {child - 1}")
        return f"waits for {_listed(others)}" if others else ""

    # -- in its queue ----------------------------------------------------------------------------------------

    def _of_waiting(self, job: Job) -> str:
        jobs, queue = self._view.batch.waiting(job.queue), self._batch.queues.get(job.queue)
        if queue is None:
            return f"its job queue {job.queue} is not there any more"
        said = [f"{jobs.position(job.id)}. of {len(jobs)} in queue {queue.name}", *self._causes(job, queue)]
        overtaken = jobs.overtaken(job.id)
        if overtaken:
            said.append(f"overtaken by {overtaken} of at most {queue.overtaking_max} later starts")
        return "; ".join(said)

    def _causes(self, job: Job, queue: JobQueue) -> Iterator[str]:
        batch, jobs = self._view.batch, self._view.batch.waiting(queue.name)
        want = jobs.class_of(job.id).want
        if bounds.of_queue(batch, queue) <= 0:
            yield f"maxConcurrent: {batch.running(queue.name)} tasks of the queue run, no more may"
            return
        lacking = [(name, amount) for name, amount in want.consumables if bounds.available(batch, name) < amount]
        for name, amount in lacking:
            yield f"lacks consumable resource {name}: {amount} wanted, {bounds.available(batch, name)} available"
        held_up = self._barrier_before(queue, jobs.key(job.id), frozenset(name for name, _ in want.consumables))
        if held_up is not None:
            yield (
                f"{self._named(held_up.key.job)} is before it and was overtaken {held_up.overtaken} times, as often as"
                " may be: it starts first"
            )
        room = self._room(queue, want)
        if not (lacking and NEXT_TURN in room):
            yield room

    def _barrier_before(self, queue: JobQueue, key: OrderKey, takes: frozenset[str]) -> Barrier | None:
        """What holds up this job."""
        found = self._barrier(queue, takes)
        if found is not None and found.key < key:
            return found
        for other in start.coming_before(queue, start.in_order(self._view.batch.queues())):
            found = self._barrier(other, takes)
            if found is not None and (other.priority > queue.priority or found.key < key):
                return found
        return None

    def _barrier(self, queue: JobQueue, takes: frozenset[str]) -> Barrier | None:
        key = (queue.name, takes)
        if key not in self._barriers:
            jobs = self._view.batch.waiting(queue.name)
            holds_up = HoldsUp(self._view, self._rooms, queue, set())
            self._barriers[key] = next(holding_up(jobs, queue.overtaking_max, holds_up, takes), None)
        return self._barriers[key]

    # -- for room --------------------------------------------------------------------------------------------

    def _room(self, queue: JobQueue, want: Want) -> str:
        key = (queue.name, want)
        if key not in self._in_room:
            if len(self._in_room) >= WANTS_EXPLAINED_MAX:
                return "waits for room: ask for it alone to see what it lacks"
            said = [f"{name}: {why}" for name, why in self._environments(queue, want)]
            self._in_room[key] = "; ".join(said) or "its queue has no compute environment"
        return self._in_room[key]

    def _environments(self, queue: JobQueue, want: Want) -> Iterator[tuple[str, str]]:
        for name in queue.environments:
            environment = self._view.batch.environment(name)
            if environment is None:
                yield name, "it is not there any more"
            elif environment not in self._rooms.enabled(queue):
                yield name, "DISABLED, it takes no new jobs"
            elif bounds.of_environment(self._view.batch, environment, want.ask.resources.cpu) <= 0:
                held = self._view.batch.held_vcpus(name) / bounds.CPU_UNITS_PER_VCPU
                yield name, f"{held:g} vCPUs are held, its bound is {environment.max_vcpus}"
            else:
                yield name, self._room_in(environment, want)

    def _room_in(self, environment: ComputeEnvironment, want: Want) -> str:
        table = self._tables.room(environment.cluster)
        held = held_row(self._view, environment.cluster)
        said, wanted = waiting_reason(asked_in(want.ask, environment), table, held), want.ask.resources
        if not ((table.total_cpu >= wanted.cpu) & (table.total_memory >= wanted.memory_mib)).any() and table.registered:
            return f"{said}; no instance has as much in all: it waits until a bigger one joins"
        return said


def _listed(names: list[str]) -> str:
    more = len(names) - NAMED_MAX
    return ", ".join(names[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
