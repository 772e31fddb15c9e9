"""Between changes of batch and the store: which key each writes, and back. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from shoal_scheduler.model.job import Job, JobChunk, JobState
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.job_queue import ComputeEnvironment, ConsumableResource, JobQueue
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state import codec, keys
from shoal_scheduler.state.batch_tables import BatchTables
from shoal_scheduler.state.store import KeyRange, Stored, prefix_range


def put_of(change: object) -> tuple[bytes, bytes] | None:
    """Key and value; None for what is no put of batch."""
    match change:
        case b.PutJobDefinition(definition):
            return keys.job_definition(definition.name, definition.revision), codec.encode(definition)
        case b.PutJobQueue(queue):
            return keys.job_queue(queue.name), codec.encode(queue)
        case b.PutComputeEnvironment(environment):
            return keys.compute_environment(environment.name), codec.encode(environment)
        case b.PutConsumableResource(resource):
            return keys.consumable_resource(resource.name), codec.encode(resource)
        case b.PutJob(job):
            return keys.job(job.id), codec.encode(job)
        case b.PutJobState(state):
            return keys.job_state(state.job), codec.encode(state)
        case b.PutJobChunk(chunk):
            return keys.job_chunk(chunk.job, chunk.number), codec.encode(chunk)
        case _:
            return None


def deletes_of(change: object) -> Iterator[bytes | KeyRange]:
    match change:
        case b.DeleteJobQueue(name):
            yield keys.job_queue(name)
        case b.DeleteComputeEnvironment(name):
            yield keys.compute_environment(name)
        case b.DeleteConsumableResource(name):
            yield keys.consumable_resource(name)
        case b.DeleteJob(job):
            yield keys.job(job)
            yield keys.job_state(job)
            yield prefix_range(keys.job_chunk(job, 0)[:-4])
        case _:
            return


def changes_of(by_kind: Mapping[str, Sequence[Stored]]) -> Iterable[tuple[b.BatchChange, int]]:
    """Jobs come before their states and chunks; of jobs the older first, as they were submitted."""
    for record in by_kind.get("job-definitions", ()):
        yield b.PutJobDefinition(codec.decode(JobDefinition, record.value)), record.mod_revision
    for record in by_kind.get("compute-environments", ()):
        yield b.PutComputeEnvironment(codec.decode(ComputeEnvironment, record.value)), record.mod_revision
    for record in by_kind.get("consumable-resources", ()):
        yield b.PutConsumableResource(codec.decode(ConsumableResource, record.value)), record.mod_revision
    for record in by_kind.get("job-queues", ()):
        yield b.PutJobQueue(codec.decode(JobQueue, record.value)), record.mod_revision
    jobs = [(codec.decode(Job, record.value), record.mod_revision) for record in by_kind.get("jobs", ())]
    for job, revision in sorted(jobs, key=lambda item: (item[0].created_at, item[0].id)):
        yield b.PutJob(job), revision
    for record in by_kind.get("job-states", ()):
        yield b.PutJobState(codec.decode(JobState, record.value)), record.mod_revision
    for record in by_kind.get("job-chunks", ()):
        yield b.PutJobChunk(codec.decode(JobChunk, record.value)), record.mod_revision


def deleted(key: bytes) -> b.BatchChange | None:
    """What the end of a key says; None for one that goes with another, or is not of batch."""
    (name, *_) = keys.parts(key)
    match keys.kind(key):
        case "job-queues":
            return b.DeleteJobQueue(name)
        case "compute-environments":
            return b.DeleteComputeEnvironment(name)
        case "consumable-resources":
            return b.DeleteConsumableResource(name)
        case "jobs":
            return b.DeleteJob(name)
        case _:
            return None


GO_WITH_THEIR_JOB = ("job-states", "job-chunks")


def holds(tables: BatchTables, change: object) -> bool | None:
    """Whether the tables hold just this; None for what is not of batch."""
    match change:
        case b.PutJobDefinition(definition):
            return tables.definitions.get(definition.name, {}).get(definition.revision) == definition
        case b.PutJobQueue(queue):
            return tables.queues.get(queue.name) == queue
        case b.PutComputeEnvironment(environment):
            return tables.environments.get(environment.name) == environment
        case b.PutConsumableResource(resource):
            return tables.consumables.get(resource.name) == resource
        case b.PutJob(job):
            return tables.jobs[job.id].job == job
        case b.PutJobState(state):
            return tables.jobs[state.job].state == state
        case b.PutJobChunk(chunk):
            return tables.jobs[chunk.job].chunks.get(chunk.number) == chunk
        case _:
            return None


def size(tables: BatchTables) -> int:
    """How many records they hold."""
    named = len(tables.queues) + len(tables.environments) + len(tables.consumables)
    definitions = sum(map(len, tables.definitions.values()))
    jobs = sum(1 + (entry.state_is_stored) + len(entry.chunks) for entry in tables.jobs.values())
    return named + definitions + jobs
