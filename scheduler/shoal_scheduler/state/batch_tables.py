"""What the tables hold of batch: see `state.tables`. Changed through `apply` and `put_task` alone."""

from dataclasses import dataclass, field

from shoal_scheduler.model.job import Job, JobChunk, JobState
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.job_queue import ComputeEnvironment, ConsumableResource, JobQueue
from shoal_scheduler.state import batch_changes as b


@dataclass(slots=True)
class JobEntry:
    job: Job

    # As long as there is nothing to say of the job as a whole, none is stored.
    state: JobState
    state_is_stored: bool = False
    chunks: dict[int, JobChunk] = field(default_factory=dict)


@dataclass(slots=True)
class BatchTables:
    # By name and revision.
    definitions: dict[str, dict[int, JobDefinition]] = field(default_factory=dict)
    queues: dict[str, JobQueue] = field(default_factory=dict)
    environments: dict[str, ComputeEnvironment] = field(default_factory=dict)
    consumables: dict[str, ConsumableResource] = field(default_factory=dict)

    # In the order in which they were submitted.
    jobs: dict[str, JobEntry] = field(default_factory=dict)

    # Derived: job ids by client token.
    tokens: dict[str, str] = field(default_factory=dict)

    def apply(self, change: object) -> None:
        match change:
            case b.PutJobDefinition(definition):
                self.definitions.setdefault(definition.name, {})[definition.revision] = definition
            case b.PutJobQueue(queue):
                self.queues[queue.name] = queue
            case b.DeleteJobQueue(name):
                self.queues.pop(name, None)
            case b.PutComputeEnvironment(environment):
                self.environments[environment.name] = environment
            case b.DeleteComputeEnvironment(name):
                self.environments.pop(name, None)
            case b.PutConsumableResource(resource):
                self.consumables[resource.name] = resource
            case b.DeleteConsumableResource(name):
                self.consumables.pop(name, None)
            case _:
                self._apply_job(change)

    def _apply_job(self, change: object) -> None:
        match change:
            case b.PutJob(job):
                self._put_job(job)
            case b.PutJobState(state):
                entry = self.jobs[state.job]
                entry.state, entry.state_is_stored = state, True
            case b.PutJobChunk(chunk):
                self.jobs[chunk.job].chunks[chunk.number] = chunk
            case b.DeleteJob(job_id):
                entry_gone = self.jobs.pop(job_id, None)
                if entry_gone is not None:
                    self.tokens.pop(entry_gone.job.client_token, None)

    def _put_job(self, job: Job) -> None:
        known = self.jobs.get(job.id)
        if known is not None:  # its tags changed
            known.job = job
            return
        self.jobs[job.id] = JobEntry(job, JobState(job=job.id))
        if job.client_token:
            self.tokens[job.client_token] = job.id
