"""The tables' part of batch as it will be after the changes a step has proposed so far: see `state.overlay`."""

from collections.abc import Iterator, Mapping

from shoal_scheduler.model.job import Job, JobChunk, JobState
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.job_queue import ComputeEnvironment, ConsumableResource, JobQueue
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.batch_tables import BatchTables


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

    # -- reading -------------------------------------------------------------------------------------------

    def definitions(self, name: str) -> Mapping[int, JobDefinition]:
        """By revision."""
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

    def job(self, job_id: str) -> Job | None:
        if job_id in self._jobs:
            return self._jobs[job_id]
        entry = self._tables.jobs.get(job_id)
        return None if entry is None else entry.job

    def job_by_token(self, token: str) -> Job | None:
        job_id = self._tokens.get(token) or self._tables.tokens.get(token)
        return self.job(job_id) if job_id else None

    def open_jobs(self) -> Iterator[Job]:
        """Those that are not over."""
        for job_id in {**self._tables.jobs, **self._jobs}:
            job = self.job(job_id)
            if job is not None and not self.state(job_id).outcome:
                yield job

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
                self._jobs[job.id] = job
                if job.client_token:
                    self._tokens[job.client_token] = job.id
                return {("job", job.id)}
            case b.PutJobState(state):
                self._states[state.job] = state
                return {("job state", state.job)}
            case b.PutJobChunk(chunk):
                self._chunks[chunk.job, chunk.number] = chunk
                return {("job chunk", chunk.job, chunk.number)}
            case b.DeleteJob(job_id):
                self._jobs[job_id] = None
                return {("job", job_id), ("job state", job_id), ("job chunk", job_id)}
            case _:
                return set()

    def _set_queue(self, name: str, queue: JobQueue | None) -> set[object]:
        self._queues[name] = queue
        return {("job queue", name)}

    def _set_environment(self, name: str, environment: ComputeEnvironment | None) -> set[object]:
        self._environments[name] = environment
        return {("compute environment", name)}

    def _set_consumable(self, name: str, resource: ConsumableResource | None) -> set[object]:
        self._consumables[name] = resource
        return {("consumable resource", name)}
