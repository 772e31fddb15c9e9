"""SubmitJob: from a request to a job, with all that its definition says worked in. Pure."""

from typing import Any

from shoal import arn

from shoal_scheduler.control import definitions
from shoal_scheduler.control.batch import dependencies, queues
from shoal_scheduler.control.batch.definitions import enables_execute_command, submittable
from shoal_scheduler.control.batch.job_inputs import SubmitJob
from shoal_scheduler.control.batch.overrides import overrides_of
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.job import Dependency, ExitRule, Job, RetryStrategy
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.job_queue import DISABLED, JobQueue
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.changes import Change
from shoal_scheduler.state.overlay import Overlay

# That are not over; an array is one.
OPEN_JOBS_MAX = 1_000_000


def submit(view: Overlay, request: SubmitJob, context: Context) -> Outcome:
    """The same client token gets the same job, for as long as that is kept."""
    if request.client_token:
        known = view.batch.job_by_token(request.client_token)
        if known is not None:
            return Outcome(_again(request, known))
    document = request.document
    queue = _queue(view, document["jobQueue"])
    definition = submittable(view.batch, document["jobDefinition"])
    if view.batch.open_count() >= OPEN_JOBS_MAX:
        raise Refused(
            "exhausted",
            f"{OPEN_JOBS_MAX} jobs are not over yet, more may not be submitted: wait, cancel some, or submit arrays.",
        )
    task_definition = definitions.find(view, definition.task_definition)
    job = _job(request, queue, definition, task_definition, context)
    dependencies.check(view, job)
    changes: list[Change] = [b.PutJob(job)]
    state = dependencies.at_first(view, job, context.now)
    if state is not None:
        changes.append(b.PutJobState(state))
    return Outcome(job, changes)


def _again(request: SubmitJob, known: Job) -> Job:
    if known.request_digest != request.request_digest:
        raise Refused(
            "conflict",
            "clientToken: it was used for a different request. Use a new token for a new request.",
            reason="ConflictException",
        )
    return known


def _queue(view: Overlay, name: str) -> JobQueue:
    queue = queues.find(view.batch, name)
    if queue.state == DISABLED:
        raise Refused(
            "failed_precondition",
            f"jobQueue: {queue.name} is DISABLED: it takes no new jobs. Enable it, or name another.",
        )
    return queue


def _job(
    request: SubmitJob,
    queue: JobQueue,
    definition: JobDefinition,
    task_definition: Definition,
    context: Context,
) -> Job:
    document, template = request.document, definition.document
    array = document.get("arrayProperties", {})
    propagates = document.get("propagateTags", template.get("propagateTags", False))
    timeout = document.get("timeout") or template.get("timeout", {})
    consumables = document.get("consumableResourcePropertiesOverride") or template.get("consumableResourceProperties")
    return Job(
        id=context.ids.job_id(),
        name=document["jobName"],
        queue=queue.name,
        definition=definition.full_name,
        created_at=context.now,
        array_size=array.get("size", 0),
        max_concurrent=array.get("maxConcurrent", 0),
        priority=document.get("schedulingPriorityOverride", template.get("schedulingPriority", 0)),
        share_identifier=document.get("shareIdentifier", ""),
        depends_on=_dependencies(document),
        retry=_retry(document.get("retryStrategy") or template.get("retryStrategy") or {}),
        timeout_seconds=timeout.get("attemptDurationSeconds", 0),
        consumables=_consumables(consumables or {}),
        overrides=overrides_of(document, template.get("parameters", {}), task_definition),
        document=document,
        tags=(definition.tags if propagates else {}) | request.tags,
        propagate_tags=propagates,
        enable_execute_command=enables_execute_command(definition),
        client_token=request.client_token,
        request_digest=request.request_digest if request.client_token else "",
    )


def _dependencies(document: dict[str, Any]) -> tuple[Dependency, ...]:
    listed = document.get("dependsOn", ())
    return tuple(Dependency(arn.short(each.get("jobId", "")), each.get("type", "")) for each in listed)


def _retry(document: dict[str, Any]) -> RetryStrategy:
    rules = tuple(
        ExitRule(
            action=rule["action"].upper(),
            on_status_reason=rule.get("onStatusReason", ""),
            on_reason=rule.get("onReason", ""),
            on_exit_code=rule.get("onExitCode", ""),
        )
        for rule in document.get("evaluateOnExit", ())
    )
    default = RetryStrategy()
    return RetryStrategy(
        document.get("attempts", default.attempts), rules, document.get("hostLosses", default.host_losses)
    )


def _consumables(document: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    listed = document.get("consumableResourceList", ())
    return tuple((arn.short(each["consumableResource"]), each["quantity"]) for each in listed)
