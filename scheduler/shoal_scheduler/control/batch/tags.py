"""What has tags in batch: see `control.tags`."""

from typing import Any

from shoal import arn
from shoal.problems import quoted

from shoal_scheduler.control.batch import consumables, definitions, environments, queues
from shoal_scheduler.model.job import Job
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.job_queue import ComputeEnvironment, ConsumableResource, JobQueue
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.batch_overlay import BatchOverlay

FIELD = "resourceArn"


def resolve(view: BatchOverlay, name: str) -> Any:
    """The record an ARN names. Raises Refused."""
    match name.removeprefix(arn.BATCH_PREFIX).partition("/")[0]:
        case "job-definition":
            return definitions.find(view, name, revision_required=True)
        case "job-queue":
            return queues.find(view, name, FIELD)
        case "compute-environment":
            return environments.find(view, name, FIELD)
        case "consumable-resource":
            return consumables.find(view, name, FIELD)
        case "job":
            return _job(view, arn.short(name))
        case other:
            raise invalid_field(FIELD, f"{quoted(other)} has no tags.")


def _job(view: BatchOverlay, name: str) -> Job:
    if ":" in name:
        raise invalid_field(FIELD, f"{quoted(name)} is a child of an array: it has the tags of that.")
    job = view.job(name)
    if job is None:
        raise Refused("not_found", f"{FIELD}: there is no job {quoted(name)}. List them with ListJobs.")
    return job


def put_of(record: Any) -> b.BatchChange | None:
    """The change that stores a record; None for one that is not of batch."""
    match record:
        case JobDefinition():
            return b.PutJobDefinition(record)
        case JobQueue():
            return b.PutJobQueue(record)
        case ComputeEnvironment():
            return b.PutComputeEnvironment(record)
        case ConsumableResource():
            return b.PutConsumableResource(record)
        case Job():
            return b.PutJob(record)
        case _:
            return None
