"""Job queues: create, update, delete."""

from collections.abc import Iterable

import msgspec
from shoal import arn
from shoal.problems import quoted

from shoal_scheduler.control.batch import environments
from shoal_scheduler.control.batch import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.job_queue import DISABLED, JobQueue
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.batch_overlay import BatchOverlay
from shoal_scheduler.state.overlay import Overlay

_NAMES_TOLD_MAX = 10
_SAID = {
    "priority": "priority",
    "state": "state",
    "environments": "computeEnvironmentOrder",
    "time_limits": "jobStateTimeLimitActions",
    "max_concurrent": "maxConcurrent",
    "overtaking_max": "overtakingMax",
    "tags": "tags",
}


def create(view: Overlay, request: i.CreateJobQueue, context: Context) -> Outcome:
    """The same again is answered with what is there."""
    known = view.batch.queue(request.queue.name)
    if known is not None:
        return Outcome(environments.unchanged("jobQueueName", known, request.queue, _SAID))
    environments.check_count("job queues", len(view.batch.queues()))
    queue = msgspec.structs.replace(request.queue, created_at=context.now)
    _check_environments(view.batch, queue)
    return Outcome(queue, [b.PutJobQueue(queue)])


def update(view: Overlay, request: i.UpdateJobQueue, _context: Context) -> Outcome:
    """Jobs that wait are looked at anew; those that run go on."""
    before = find(view.batch, request.name)
    queue = msgspec.structs.replace(before, **request.fields)
    if "environments" in request.fields:
        _check_environments(view.batch, queue)
    return Outcome(queue, [b.PutJobQueue(queue)] if queue != before else [])


def delete(view: Overlay, request: i.DeleteJobQueue, _context: Context) -> Outcome:
    queue = find(view.batch, request.name)
    if queue.state != DISABLED:
        raise Refused(
            "failed_precondition", f"jobQueue: {queue.name} is ENABLED: disable it first, with UpdateJobQueue."
        )
    jobs = view.batch.open_in(queue.name)
    if jobs:
        raise Refused(
            "failed_precondition",
            f"jobQueue: {queue.name} still has {jobs} jobs that are not over: wait for them, or terminate them.",
        )
    return Outcome(None, [b.DeleteJobQueue(queue.name)])


def find(view: BatchOverlay, name: str, field: str = "jobQueue") -> JobQueue:
    """By name or ARN. Raises Refused."""
    queue = view.queue(arn.short(name))
    if queue is None:
        known = listed(each.name for each in view.queues())
        advice = f"There are: {known}." if known else "There are none: make one with CreateJobQueue."
        raise Refused("not_found", f"{field}: there is no job queue {quoted(name)}. {advice}")
    return queue


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are.

    >>> listed(["c", "a", "b"]), listed([])
    ('a, b, c', '')
    """
    told = sorted(names)
    more = len(told) - _NAMES_TOLD_MAX
    return ", ".join(told[:_NAMES_TOLD_MAX]) + (f" and {more} more" if more > 0 else "")


def _check_environments(view: BatchOverlay, queue: JobQueue) -> None:
    for index, name in enumerate(queue.environments):
        environments.find(view, name, f"computeEnvironmentOrder[{index}].computeEnvironment")
