"""The tables' part of batch as it will be after the changes a step has proposed so far: see `state.overlay`."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from msgspec import msgpack

from shoal_scheduler.model.children import bits_of, chunk_of
from shoal_scheduler.model.job import Job, JobChunk, JobState
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.job_queue import ComputeEnvironment, ConsumableResource, JobQueue
from shoal_scheduler.model.task import Task, TaskKey
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.batch_tables import BatchTables
from shoal_scheduler.state.startable import failing_bits
from shoal_scheduler.state.waiting_jobs import WaitingJobs

# About what an attempt that is over takes in the store.
BYTES_PER_ATTEMPT = 300


class BatchOverlay:
    def __init__(self, tables: BatchTables) -> None:
        self._tables = tables
        self._definitions: dict[tuple[str, int], JobDefinition] = {}
        self._queues: dict[str, JobQueue | None] = {}
        self._environments: dict[str, ComputeEnvironment | None] = {}
        self._consumables: dict[str, ConsumableResource | None] = {}
        self._jobs: dict[str, Job | None] = {}
        self._states: dict[str, JobState] = {}
        self._chunks: dict[tuple[str, int], JobChunk] = {}
        self._tokens: dict[str, str] = {}

        # Of jobs whose tasks or chunks this step changes: what the tables hold with that worked in.
        self._live: dict[str, dict[int, TaskKey | None]] = {}
        self._live_bits: dict[tuple[str, int], int] = {}
        self._live_counts: dict[str, int] = {}
        self._over_counts: dict[str, tuple[int, int]] = {}
        self._new_jobs = 0
        self._weights: dict[object, int] = {}

        # About how many bytes the jobs and chunks are that this step writes.
        self.weight = 0

        self._held_vcpus: Counter[str] = Counter()
        self._consumed: Counter[str] = Counter()
        self._running: Counter[str] = Counter()

    # -- reading -------------------------------------------------------------------------------------------

    def definitions(self, name: str) -> Mapping[int, JobDefinition]:
        """By revision."""
        if not self._definitions:
            return self._tables.definitions.get(name, {})
        proposed = {number: found for (each, number), found in self._definitions.items() if each == name}
        return {**self._tables.definitions.get(name, {}), **proposed}

    def queue(self, name: str) -> JobQueue | None:
        return self._queues[name] if name in self._queues else self._tables.queues.get(name)

    def queues(self) -> list[JobQueue]:
        found = map(self.queue, {**self._tables.queues, **self._queues})
        return [queue for queue in found if queue is not None]

    def environment(self, name: str) -> ComputeEnvironment | None:
        return self._environments[name] if name in self._environments else self._tables.environments.get(name)

    def environments(self) -> list[ComputeEnvironment]:
        found = map(self.environment, {**self._tables.environments, **self._environments})
        return [environment for environment in found if environment is not None]

    def consumable(self, name: str) -> ConsumableResource | None:
        return self._consumables[name] if name in self._consumables else self._tables.consumables.get(name)

    def consumables(self) -> list[ConsumableResource]:
        found = map(self.consumable, {**self._tables.consumables, **self._consumables})
        return [resource for resource in found if resource is not None]

    def job(self, job_id: str) -> Job | None:
        if job_id in self._jobs:
            return self._jobs[job_id]
        entry = self._tables.jobs.get(job_id)
        return None if entry is None else entry.job

    def job_by_token(self, token: str) -> Job | None:
        job_id = self._tokens.get(token) or self._tables.tokens.get(token)
        return self.job(job_id) if job_id else None

    def open_in(self, queue: str) -> int:
        """How many jobs of the queue are not over."""
        changed = sum(change for job, change in self._opened() if job.queue == queue)
        return self._tables.open_in[queue] + changed

    def open_takers(self, resource: str) -> int:
        """How many jobs that are not over take of the consumable resource."""
        changed = sum(change for job, change in self._opened() if resource in dict(job.consumables))
        return self._tables.open_takers[resource] + changed

    def _opened(self) -> Iterator[tuple[Job, int]]:
        """Jobs that this step makes, by 1, and those that it ends, by -1."""
        for job_id in {**self._jobs, **self._states}:
            job, entry = self.job(job_id), self._tables.jobs.get(job_id)
            was_open = entry is not None and not entry.state.outcome
            if job is not None and was_open == bool(self.state(job_id).outcome):
                yield job, -1 if was_open else 1

    def state(self, job_id: str) -> JobState:
        """Of a job that exists."""
        known = self._states.get(job_id)
        if known is not None:
            return known
        entry = self._tables.jobs.get(job_id)
        return JobState(job=job_id) if entry is None else entry.state

    def chunk(self, job_id: str, number: int) -> JobChunk:
        """Of a job that exists."""
        known = self._chunks.get((job_id, number))
        if known is not None:
            return known
        entry = self._tables.jobs.get(job_id)
        found = None if entry is None else entry.chunks.get(number)
        return JobChunk(job_id, number) if found is None else found

    def live(self, job_id: str) -> dict[int, TaskKey]:
        """By child, the task that it has, of those that are not STOPPED."""
        entry = self._tables.jobs.get(job_id)
        known = {} if entry is None else entry.live
        changed = self._live.get(job_id)
        if changed is None:
            return known
        return {child: key for child, key in {**known, **changed}.items() if key is not None}

    def task_of(self, job_id: str, child: int) -> TaskKey | None:
        """The task that the child has, if it is not STOPPED."""
        changed = self._live.get(job_id, {})
        if child in changed:
            return changed[child]
        entry = self._tables.jobs.get(job_id)
        return None if entry is None else entry.live.get(child)

    def live_bits(self, job_id: str, number: int) -> int:
        known = self._live_bits.get((job_id, number))
        if known is not None:
            return known
        entry = self._tables.jobs.get(job_id)
        return 0 if entry is None else entry.live_bits.get(number, 0)

    def live_count(self, job_id: str) -> int:
        known = self._live_counts.get(job_id)
        if known is not None:
            return known
        entry = self._tables.jobs.get(job_id)
        return 0 if entry is None else len(entry.live)

    def over_counts(self, job_id: str) -> tuple[int, int]:
        known = self._over_counts.get(job_id)
        if known is not None:
            return known
        entry = self._tables.jobs.get(job_id)
        return (0, 0) if entry is None else (entry.succeeded, entry.failed)

    def first_open(self, job_id: str) -> int:
        entry = self._tables.jobs.get(job_id)
        return 0 if entry is None else entry.first_open

    def ready_chunks(self, job_id: str) -> Collection[int]:
        entry = self._tables.jobs.get(job_id)
        return () if entry is None else entry.ready

    def unsettled(self, limit: int) -> list[str]:
        """Jobs to be looked at because of others, as it was when the step began."""
        return list(islice(self._tables.unsettled, limit))

    def overdue(self, now: int, limit: int) -> list[TaskKey]:
        """Tasks that have run for too long, as it was when the step began."""
        return self._tables.overdue(now, limit)

    def stands_since(self, queue: str) -> tuple[str, int] | None:
        """As it was when the step began: see BatchTables."""
        return self._tables.stands_since(queue)

    def failing_chunks(self, job_id: str) -> list[int]:
        """Chunks with children that will never start, as it was when the step began."""
        entry = self._tables.jobs.get(job_id)
        return [] if entry is None else list(entry.failing)

    def failing_bits(self, job: Job, number: int) -> int:
        return failing_bits(self, job, number)

    def open_count(self) -> int:
        """Jobs that were not over when the step began, and those that were submitted since."""
        return self._tables.open_count + self._new_jobs

    def waiting(self, queue: str) -> WaitingJobs:
        """As they were when the step began."""
        found = self._tables.waiting.get(queue)
        return WaitingJobs() if found is None else found

    def held_vcpus(self, environment: str) -> int:
        """In cpu units, by tasks that are not STOPPED."""
        return self._tables.held_vcpus[environment] + self._held_vcpus[environment]

    def consumed(self, resource: str) -> int:
        return self._tables.consumed[resource] + self._consumed[resource]

    def running(self, queue: str) -> int:
        """Tasks that are not STOPPED."""
        return self._tables.running[queue] + self._running[queue]

    # -- proposing -----------------------------------------------------------------------------------------

    def propose(self, change: object) -> set[object]:
        """What stands for each key that the change writes; nothing for what is not of batch."""
        match change:
            case b.PutJobDefinition(definition):
                self._definitions[definition.name, definition.revision] = definition
                return {("job definition", definition.full_name)}
            case b.PutJobQueue(queue):
                return self._set_queue(queue.name, queue)
            case b.DeleteJobQueue(name):
                return self._set_queue(name, None)
            case b.PutComputeEnvironment(environment):
                return self._set_environment(environment.name, environment)
            case b.DeleteComputeEnvironment(name):
                return self._set_environment(name, None)
            case b.PutConsumableResource(resource):
                return self._set_consumable(resource.name, resource)
            case b.DeleteConsumableResource(name):
                return self._set_consumable(name, None)
            case _:
                return self._propose_job(change)

    def _propose_job(self, change: object) -> set[object]:
        match change:
            case b.PutJob(job):
                self._weigh(job.id, len(msgpack.encode(job)))
                self._new_jobs += self.job(job.id) is None
                self._jobs[job.id] = job
                if job.client_token:
                    self._tokens[job.client_token] = job.id
                return {("job", job.id)}
            case b.PutJobState(state):
                self._states[state.job] = state
                return {("job state", state.job)}
            case b.PutJobChunk(chunk):
                self._put_chunk(chunk)
                return {("job chunk", chunk.job, chunk.number)}
            case b.DeleteJob(job_id):
                self._jobs[job_id] = None
                return {("job", job_id), ("job state", job_id), ("job chunk", job_id)}
            case _:  # volatile
                return set()

    def _put_chunk(self, chunk: JobChunk) -> None:
        before, (succeeded, failed) = self.chunk(chunk.job, chunk.number), self.over_counts(chunk.job)
        succeeded += bits_of(chunk.succeeded).bit_count() - bits_of(before.succeeded).bit_count()
        failed += bits_of(chunk.failed).bit_count() - bits_of(before.failed).bit_count()
        self._over_counts[chunk.job] = succeeded, failed
        self._chunks[chunk.job, chunk.number] = chunk
        attempts = sum(len(child.attempts) for child in chunk.children.values())
        self._weigh((chunk.job, chunk.number), BYTES_PER_ATTEMPT * attempts)

    def _weigh(self, key: object, weight: int) -> None:
        self.weight += weight - self._weights.get(key, 0)
        self._weights[key] = weight

    def put_task(self, task: Task, cpu: int) -> None:
        """Of a launch that has a job. `cpu`: units that it reserves."""
        part = task.launch.job
        job = self.job(part.job) if part else None
        if part is None or job is None:
            return
        child = part.child(task.index)
        number, bit = chunk_of(child)
        was_live = self.task_of(job.id, child) == task.key
        if was_live != task.is_stopped:
            return
        sign = -1 if task.is_stopped else 1
        self._live_counts[job.id] = self.live_count(job.id) + sign
        self._live_bits[job.id, number] = self.live_bits(job.id, number) ^ bit
        self._live.setdefault(job.id, {})[child] = None if task.is_stopped else task.key
        self._held_vcpus[part.environment] += sign * cpu
        self._running[part.queue] += sign
        for name, amount in job.consumables:
            self._consumed[name] += sign * amount

    def _set_queue(self, name: str, queue: JobQueue | None) -> set[object]:
        self._queues[name] = queue
        return {("job queue", name)}

    def _set_environment(self, name: str, environment: ComputeEnvironment | None) -> set[object]:
        self._environments[name] = environment
        return {("compute environment", name)}

    def _set_consumable(self, name: str, resource: ConsumableResource | None) -> set[object]:
        self._consumables[name] = resource
        return {("consumable resource", name)}
