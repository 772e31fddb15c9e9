"""What the tables hold of batch: see `state.tables`. Changed through `apply`, `put_job`, `put_launch` and `put_task`
alone.

All that says what is to happen next is derived from the records, so that it is the same after a load: which jobs have
a child that may start (`waiting`), which are to be looked at because something they depend on is over, or because they
are to be stopped (`unsettled`), and when attempts have run for too long (`deadlines`).
"""

import heapq
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from shoal.lifecycle import RANK

from shoal_scheduler.model.ask import Ask
from shoal_scheduler.model.children import bits_of, chunk_count, chunk_of, ended, everyone
from shoal_scheduler.model.job import FAILED, Job, JobChunk, JobPart, JobState
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.job_queue import ComputeEnvironment, ConsumableResource, JobQueue
from shoal_scheduler.model.task import Launch, Task, TaskKey
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.job_entry import JobEntry
from shoal_scheduler.state.order import OrderKey
from shoal_scheduler.state.startable import failing_bits, has_startable, is_whole, n_to_n, open_bits, runnable_at
from shoal_scheduler.state.waiting_jobs import WaitingJobs, started


@dataclass(slots=True)
class BatchTables:
    # By name and revision.
    definitions: dict[str, dict[int, JobDefinition]] = field(default_factory=dict)
    queues: dict[str, JobQueue] = field(default_factory=dict)
    environments: dict[str, ComputeEnvironment] = field(default_factory=dict)
    consumables: dict[str, ConsumableResource] = field(default_factory=dict)

    # In the order in which they were submitted.
    jobs: dict[str, JobEntry] = field(default_factory=dict)

    # Derived: job ids by client token; how many are not over, by queue and by
    # consumable resource as well; by what they depend on, jobs that are not over; those
    # that are over and that no such job depends on, in the order in which that came, with the time of their end.
    tokens: dict[str, str] = field(default_factory=dict)
    open_count: int = 0
    open_in: Counter[str] = field(default_factory=Counter)
    open_takers: Counter[str] = field(default_factory=Counter)
    dependants: dict[str, dict[str, None]] = field(default_factory=dict)
    finished: dict[str, int] = field(default_factory=dict)

    # Derived: what tasks that are not STOPPED hold: cpu units by compute environment, consumable resources, and by
    # queue how many there are and their cpu units.
    held_vcpus: Counter[str] = field(default_factory=Counter)
    consumed: Counter[str] = field(default_factory=Counter)
    running: Counter[str] = field(default_factory=Counter)
    used_cpu: Counter[str] = field(default_factory=Counter)

    # Derived, when it is asked for: see `_queues_in`.
    _by_cluster: dict[str, dict[str, bool]] | None = None

    # Derived: by queue, jobs with a child that may start.
    waiting: dict[str, WaitingJobs] = field(default_factory=dict)

    # Derived: jobs to be looked at: see control.batch.follow.
    unsettled: dict[str, None] = field(default_factory=dict)

    # Derived: when the attempt that a task is has run for too long, in milliseconds; and a heap of them, in which
    # those stand as well that are not true any more.
    deadlines: dict[TaskKey, int] = field(default_factory=dict)
    _next_deadlines: list[tuple[int, TaskKey]] = field(default_factory=list)

    # -- reading: see state.startable ------------------------------------------------------------------------

    def job(self, job_id: str) -> Job | None:
        entry = self.jobs.get(job_id)
        return None if entry is None else entry.job

    def state(self, job_id: str) -> JobState:
        return self.jobs[job_id].state

    def chunk(self, job_id: str, number: int) -> JobChunk:
        entry = self.jobs.get(job_id)
        found = None if entry is None else entry.chunks.get(number)
        return JobChunk(job_id, number) if found is None else found

    def live_bits(self, job_id: str, number: int) -> int:
        return self.jobs[job_id].live_bits.get(number, 0)

    def live_count(self, job_id: str) -> int:
        return len(self.jobs[job_id].live)

    def over_counts(self, job_id: str) -> tuple[int, int]:
        return self.jobs[job_id].succeeded, self.jobs[job_id].failed

    def first_open(self, job_id: str) -> int:
        return self.jobs[job_id].first_open

    def ready_chunks(self, job_id: str) -> Collection[int]:
        return self.jobs[job_id].ready

    def stands_since(self, queue: str) -> tuple[str, int] | None:
        """The first job of the queue that waits, and since when it is the first and no task of it has started."""
        waiting = self.waiting.get(queue)
        front = waiting.front if waiting is not None else ()
        if waiting is None or not front or front[0].job not in waiting:
            return None
        return front[0].job, max(front[0].since, self.jobs[front[0].job].newest_start)

    def next_deadline(self) -> int | None:
        """In milliseconds; None if no attempt has one."""
        return self._next_deadlines[0][0] if self._next_deadlines else None

    def overdue(self, now: int, limit: int) -> list[TaskKey]:
        """Tasks that have run for too long, the first ones."""
        if (self.next_deadline() or now + 1) > now:
            return []
        return [key for at, key in heapq.nsmallest(limit, self._next_deadlines) if self._is_due(at, key, now)]

    def _is_due(self, at: int, key: TaskKey, now: int) -> bool:
        return at <= now and self.deadlines.get(key) == at

    @property
    def is_unsettled(self) -> bool:
        """Whether the next step has something to do that nobody asks for."""
        waiting = (jobs for name, jobs in self.waiting.items() if name in self.queues)
        return bool(self.unsettled) or not all(jobs.is_settled for jobs in waiting)

    # -- changing --------------------------------------------------------------------------------------------

    def apply(self, change: object) -> None:
        match change:
            case b.PutJobDefinition(definition):
                self.definitions.setdefault(definition.name, {})[definition.revision] = definition
            case b.PutJobQueue(queue):
                self.queues[queue.name] = queue
                self._by_cluster = None
                self._queue(queue.name).stir()
            case b.DeleteJobQueue(name):
                self.queues.pop(name, None)
                self._by_cluster = None
                self.waiting.pop(name, None)
            case b.PutComputeEnvironment(environment):
                self.environments[environment.name] = environment
                self._by_cluster = None
                self.stir_all()
            case b.DeleteComputeEnvironment(name):
                self.environments.pop(name, None)
                self._by_cluster = None
            case b.PutConsumableResource(resource):
                self.consumables[resource.name] = resource
                self.stir_all()
            case b.DeleteConsumableResource(name):
                self.consumables.pop(name, None)
            case b.SetLooked(queue_name, looked):
                self._queue(queue_name).look(looked)
            case _:
                self._apply_job(change)

    def _apply_job(self, change: object) -> None:
        match change:
            case b.PutJobState(state):
                self._put_state(state)
            case b.PutJobChunk(chunk):
                self._put_chunk(chunk)
            case b.DeleteJob(job_id):
                self._delete_job(job_id)
            case b.SetAside(job_id, waits=True):
                self._queue(self.jobs[job_id].job.queue).remove(job_id)
            case b.SetAside(job_id):
                self.unsettled.pop(job_id, None)

    def _queue(self, name: str) -> WaitingJobs:
        found = self.waiting.get(name)
        if found is None:
            found = self.waiting[name] = WaitingJobs()
        return found

    def stir_all(self) -> None:
        for jobs in self.waiting.values():
            jobs.stir()

    def stir(self, cluster: str, *, came: bool = False) -> None:
        """Room was made there, or a fact changed: what waits is looked at again. `came`: it was only that a task came,
        which may be what an expression asks for."""
        for name, has_expression in self._queues_in(cluster).items():
            jobs = self.waiting.get(name)
            if jobs and (not came or has_expression or jobs.with_expressions):
                jobs.stir()

    def _queues_in(self, cluster: str) -> dict[str, bool]:
        """Queues whose jobs may run there, and whether an expression chooses the instances. Asked for every task."""
        if self._by_cluster is None:
            self._by_cluster = {}
            for queue in self.queues.values():
                for environment in map(self.environments.get, queue.environments):
                    if environment is not None:
                        found = self._by_cluster.setdefault(environment.cluster, {})
                        found[queue.name] = found.get(queue.name, False) or bool(environment.expression)
        return self._by_cluster.get(cluster, {})

    def put_job(self, job: Job, ask: Ask) -> None:
        """`ask`: what each of its tasks wants."""
        known = self.jobs.get(job.id)
        if known is not None:  # its tags changed
            known.job = job
            return
        entry = self.jobs[job.id] = JobEntry(job, ask, JobState(job=job.id))
        self._count_open(job, 1)
        if job.client_token:
            self.tokens[job.client_token] = job.id
        for dependency in job.depends_on:
            if dependency.job:
                self._depend(entry, dependency.job, is_whole(dependency.type))
        self._review(entry)

    def _count_open(self, job: Job, change: int) -> None:
        self.open_count += change
        self.open_in[job.queue] += change
        for name, _ in job.consumables:
            self.open_takers[name] += change

    def _depend(self, entry: JobEntry, other: str, whole: bool) -> None:
        """What it depends on comes later in a load, or is over already."""
        self.dependants.setdefault(other, {})[entry.job.id] = None
        self.finished.pop(other, None)
        known = self.jobs.get(other)
        if whole and (known is None or not known.state.outcome):
            entry.waits_for[other] = None
        elif whole and known is not None and known.state.outcome == FAILED:
            entry.is_doomed = True
        elif not whole and known is not None:
            for number in range(chunk_count(entry.job)) if known.state.outcome else known.chunks:
                self._review_chunk(entry, number)

    def _put_state(self, state: JobState) -> None:
        entry = self.jobs[state.job]
        was_over = bool(entry.state.outcome)
        entry.state, entry.state_is_stored = state, True
        if state.outcome and not was_over:
            self._end(entry)
        self._review(entry)

    def _end(self, entry: JobEntry) -> None:
        job, outcome = entry.job, entry.state.outcome
        self._count_open(job, -1)
        for dependency in job.depends_on:
            if dependency.job:
                self._release(dependency.job, job.id)
        if not self.dependants.get(job.id):
            self.finished[job.id] = entry.state.stopped_at
        for name in self.dependants.get(job.id, ()):
            dependant = self.jobs[name]
            if job.id in dependant.waits_for:
                del dependant.waits_for[job.id]
                dependant.is_doomed |= outcome == FAILED
            if job.id in n_to_n(dependant.job):
                for number in range(chunk_count(job)) if outcome == FAILED else ():
                    self._review_chunk(dependant, number)
            self._review(dependant)

    def _release(self, other: str, dependant: str) -> None:
        """`dependant` is over: it does not keep the other any more."""
        left = self.dependants.get(other, {})
        left.pop(dependant, None)
        if not left:
            self.dependants.pop(other, None)
            known = self.jobs.get(other)
            if known is not None and known.state.outcome:
                self.finished[other] = known.state.stopped_at

    def _put_chunk(self, chunk: JobChunk) -> None:
        entry, number = self.jobs[chunk.job], chunk.number
        before = entry.chunks.get(number) or JobChunk(chunk.job, number)
        entry.chunks[number] = chunk
        entry.succeeded += bits_of(chunk.succeeded).bit_count() - bits_of(before.succeeded).bit_count()
        entry.failed += bits_of(chunk.failed).bit_count() - bits_of(before.failed).bit_count()
        while (known := entry.chunks.get(entry.first_open)) and ended(known) == everyone(entry.job, known.number):
            entry.first_open += 1
        self._review_chunk(entry, number)
        self._review(entry)
        for name in self.dependants.get(chunk.job, ()):
            dependant = self.jobs[name]
            if chunk.job in n_to_n(dependant.job):
                self._review_chunk(dependant, number)
                self._review(dependant)

    def _delete_job(self, job_id: str) -> None:
        entry = self.jobs.pop(job_id, None)
        if entry is None:
            return
        self.finished.pop(job_id, None)
        self.unsettled.pop(job_id, None)
        if self.tokens.get(entry.job.client_token) == job_id:
            del self.tokens[entry.job.client_token]

    # -- tasks -----------------------------------------------------------------------------------------------

    def put_launch(self, launch: Launch) -> None:
        """Of a job."""
        entry = self.jobs.get(launch.job.job) if launch.job else None
        if entry is None or launch.job is None:
            return
        entry.launches[launch.id] = None
        entry.newest_start = max(entry.newest_start, launch.created_at)
        queue = self.queues.get(launch.job.queue)
        if queue is not None:
            started(self.waiting, self.queues, queue, launch.job.environment, self._key(entry), launch.count)

    def _stir_for(self, job: Job) -> None:
        """A task of it is over: what it had may let something start where no room was made."""
        queue = self.queues.get(job.queue)
        if job.consumables:
            self.stir_all()
        elif queue is not None and queue.max_concurrent:
            self._queue(job.queue).stir()

    def delete_launch(self, launch: Launch) -> None:
        entry = self.jobs.get(launch.job.job) if launch.job else None
        if entry is not None:
            entry.launches.pop(launch.id, None)

    def put_task(self, task: Task, cpu: int) -> None:
        """Of a launch that has a job. `cpu`: units that it reserves."""
        part = task.launch.job
        entry = self.jobs.get(part.job) if part else None
        if entry is None or part is None:
            return
        child = part.child(task.index)
        was_stopping = child in entry.stopping
        _set(entry.started, child, not task.is_stopped and RANK[task.last_status] >= RANK["RUNNING"])
        _set(entry.stopping, child, not task.is_stopped and task.desired_status == "STOPPED")
        self._set_deadline(entry.job, task)
        was_live = entry.live.get(child) == task.key
        if was_live == task.is_stopped:
            self._set_live(entry, part, child, task, cpu)
        elif was_stopping == (child in entry.stopping):
            return  # nothing that anything waits for
        self._review(entry)

    def _set_live(self, entry: JobEntry, part: JobPart, child: int, task: Task, cpu: int) -> None:
        """The child has this task from now on; or not any more, if it is STOPPED."""
        sign = -1 if task.is_stopped else 1
        self.held_vcpus[part.environment] += sign * cpu
        self.running[part.queue] += sign
        self.used_cpu[part.queue] += sign * cpu
        for name, amount in entry.job.consumables:
            self.consumed[name] += sign * amount
        number, bit = chunk_of(child)
        entry.live_bits[number] = entry.live_bits.get(number, 0) ^ bit
        if not task.is_stopped:
            entry.live[child] = task.key
        else:
            self._stir_for(entry.job)
            del entry.live[child]
            if not entry.live_bits[number]:
                del entry.live_bits[number]
        self._review_chunk(entry, number)

    def _set_deadline(self, job: Job, task: Task) -> None:
        runs = task.started_at and not task.is_stopped and task.desired_status != "STOPPED"
        if not (job.timeout_seconds and runs):
            self.deadlines.pop(task.key, None)
        elif task.key not in self.deadlines:
            at = max(task.started_at, task.launch.created_at) + job.timeout_seconds * 1000
            self.deadlines[task.key] = at
            heapq.heappush(self._next_deadlines, (at, task.key))
        while self._next_deadlines and self.deadlines.get(self._next_deadlines[0][1]) != self._next_deadlines[0][0]:
            heapq.heappop(self._next_deadlines)

    # -- what is to happen next ------------------------------------------------------------------------------

    def _review_chunk(self, entry: JobEntry, number: int) -> None:
        """Which children of the chunk may start, or never will, as those that they depend on say."""
        others = n_to_n(entry.job)
        if not others:
            return
        _set(entry.ready, number, bool(open_bits(self, entry.job, number)))
        _set(entry.failing, number, bool(failing_bits(self, entry.job, number)))

    def _review(self, entry: JobEntry) -> None:
        job, queue = entry.job, self._queue(entry.job.queue)
        if has_startable(self, job):
            queue.put(job.id, self._key(entry), entry.ask, job.consumables)
        else:
            queue.remove(job.id)
        _set(self.unsettled, job.id, entry.is_unsettled)

    def _key(self, entry: JobEntry) -> OrderKey:
        job = entry.job
        return OrderKey(-job.priority, runnable_at(job, entry.state), job.created_at, job.id)


def _set(index: dict[int, None] | dict[str, None], key: object, wanted: bool) -> None:
    if wanted:
        index[key] = None  # type: ignore[index]
    else:
        index.pop(key, None)  # type: ignore[call-overload]
