"""Jobs and their children as the messages that describe them, in the shape of AWS Batch."""

from collections.abc import Sequence
from typing import Any

from shoal import arn, awsjson, requirements
from shoal.v1 import job_definition_pb2
from shoal.v1 import job_pb2 as pb

from shoal_scheduler.control.batch import children
from shoal_scheduler.control.batch.why import Reasons
from shoal_scheduler.model import job as m
from shoal_scheduler.model.job import Attempt, Job
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.task import LAUNCH_ID_DIGITS, Task, TaskKey
from shoal_scheduler.state.tables import Tables

DEFAULT_CLUSTER = "default"


def summaries(tables: Tables, job_id: str, indices: Sequence[int]) -> list[pb.JobSummary]:
    """Of children of an array that is there."""
    attempts = children.histories(tables, job_id, indices)
    return [_summary(tables, job_id, child, attempts[child]) for child in indices]


def summary(tables: Tables, job_id: str) -> pb.JobSummary:
    """Of a job that is there."""
    is_array = tables.batch.jobs[job_id].job.array_size
    return _summary(tables, job_id, None, [] if is_array else children.history(tables, job_id))


def _summary(tables: Tables, job_id: str, child: int | None, attempts: Sequence[Attempt]) -> pb.JobSummary:
    batch = tables.batch
    entry, job = batch.jobs[job_id], batch.jobs[job_id].job
    name = children.job_name(job, child)
    message = pb.JobSummary(
        job_arn=arn.job_arn(name),
        job_id=name,
        job_name=job.name,
        created_at=job.created_at,
        status=children.status(batch, job_id, child),
        status_reason=children.status_reason(batch, job_id, _alone(job, child)) or None,
        job_definition=definition_arn(job),
        is_cancelled=_wish(tables, job, child) == m.CANCEL or None,
        is_terminated=_wish(tables, job, child) == m.TERMINATE or None,
    )
    if job.array_size and child is None:
        if entry.state.stopped_at:
            message.stopped_at = entry.state.stopped_at
        message.array_properties.size = job.array_size
        message.array_properties.status_summary.update(children.counts(batch, job_id))
    else:
        _put_times(message, tables, job, child or 0, attempts)
        if child is not None:
            message.array_properties.index = child
    return message


def _alone(job: Job, child: int | None) -> int | None:
    """A job that is no array is its own only child."""
    return child if job.array_size else 0


def _wish(tables: Tables, job: Job, child: int | None) -> str:
    alone = _alone(job, child)
    own = children.record(tables.batch, job.id, alone).wish if alone is not None else ""
    return own or tables.batch.state(job.id).wish


def _put_times(
    message: pb.JobSummary | pb.JobDetail, tables: Tables, job: Job, child: int, attempts: Sequence[Attempt]
) -> None:
    """Of its last attempt, and what that ended with."""
    record = children.record(tables.batch, job.id, child)
    last = attempts[-1] if attempts else None
    is_over = children.status(tables.batch, job.id, child) in (m.SUCCEEDED, m.FAILED)
    if last is not None and last.started_at:
        message.started_at = last.started_at
    stopped_at = record.stopped_at or (last.stopped_at if last else 0) or tables.batch.state(job.id).stopped_at
    if is_over and stopped_at:
        message.stopped_at = stopped_at
    if last is None or not last.stopped_at:
        return
    if last.exit_code is not None:
        message.container.exit_code = last.exit_code
    if last.reason:
        message.container.reason = last.reason


def details(tables: Tables, wanted: Sequence[tuple[str, int | None]]) -> list[pb.JobDetail]:
    """Of jobs that are there and of children of them, with why they wait, if they do."""
    reasons, indices = Reasons(tables), dict[str, list[int]]()
    for job_id, child in wanted:
        indices.setdefault(job_id, []).append(child or 0)
    attempts = {job_id: children.histories(tables, job_id, listed) for job_id, listed in indices.items()}
    return [_detail(tables, reasons, job_id, child, attempts[job_id][child or 0]) for job_id, child in wanted]


def _detail(
    tables: Tables, reasons: Reasons, job_id: str, child: int | None, attempts: Sequence[Attempt]
) -> pb.JobDetail:
    batch = tables.batch
    entry, job = batch.jobs[job_id], batch.jobs[job_id].job
    definition = definition_of(tables, job)
    name = children.job_name(job, child)
    message = pb.JobDetail(
        job_arn=arn.job_arn(name),
        job_name=job.name,
        job_id=name,
        job_queue=arn.job_queue_arn(job.queue),
        status=children.status(batch, job_id, child),
        status_reason=reasons.of(job_id, child) or children.status_reason(batch, job_id, _alone(job, child)) or None,
        share_identifier=job.share_identifier or None,
        scheduling_priority=job.priority,
        created_at=job.created_at,
        retry_strategy=_retry(job.retry),
        depends_on=[_dependency(each) for each in job.depends_on],
        dependants=_dependants(tables, job),
        job_definition=definition_arn(job),
        parameters=_parameters(job, definition),
        tags=job.tags,
        propagate_tags=job.propagate_tags,
        platform_capabilities=(definition.document if definition else {}).get("platformCapabilities", ["EC2"]),
        is_cancelled=_wish(tables, job, child) == m.CANCEL,
        is_terminated=_wish(tables, job, child) == m.TERMINATE,
        overtaken=_overtaken(tables, job) or None,
    )
    if job.timeout_seconds:
        message.timeout.attempt_duration_seconds = job.timeout_seconds
    for resource, amount in job.consumables:
        message.consumable_resource_properties.consumable_resource_list.add(
            consumable_resource=resource, quantity=amount
        )
    _put_properties(message, job, definition)
    if job.array_size and child is None:
        if entry.state.stopped_at:
            message.stopped_at = entry.state.stopped_at
        message.array_properties.status_summary.update(children.counts(batch, job_id))
    else:
        _put_times(message, tables, job, child or 0, attempts)
        _put_attempts(message, tables, job, attempts)
    if job.array_size:
        message.array_properties.size = job.array_size
        message.array_properties.max_concurrent = job.max_concurrent
    if child is not None:
        message.array_properties.index = child
    return message


def _overtaken(tables: Tables, job: Job) -> int:
    waiting = tables.batch.waiting.get(job.queue)
    return waiting.overtaken(job.id) if waiting is not None and job.id in waiting else 0


def definition_arn(job: Job) -> str:
    name, _, revision = job.definition.rpartition(":")
    return arn.job_definition_arn(name, int(revision))


def definition_of(tables: Tables, job: Job) -> JobDefinition | None:
    name, _, revision = job.definition.rpartition(":")
    return tables.batch.definitions.get(name, {}).get(int(revision))


def _retry(retry: m.RetryStrategy) -> job_definition_pb2.RetryStrategy:
    return job_definition_pb2.RetryStrategy(
        attempts=retry.attempts,
        host_losses=retry.host_losses,
        evaluate_on_exit=[
            job_definition_pb2.EvaluateOnExit(
                action=rule.action,
                on_status_reason=rule.on_status_reason or None,
                on_reason=rule.on_reason or None,
                on_exit_code=rule.on_exit_code or None,
            )
            for rule in retry.evaluate_on_exit
        ],
    )


def _dependency(each: m.Dependency) -> pb.JobDependency:
    return pb.JobDependency(job_id=each.job or None, type=each.type or None)


def _dependants(tables: Tables, job: Job) -> list[pb.JobDependency]:
    """Those that are not over."""
    batch = tables.batch
    return [
        pb.JobDependency(job_id=other, type=each.type or None)
        for other in batch.dependants.get(job.id, ())
        for each in batch.jobs[other].job.depends_on
        if each.job == job.id
    ]


def _parameters(job: Job, definition: JobDefinition | None) -> dict[str, str]:
    defaults = definition.document.get("parameters", {}) if definition else {}
    return {**defaults, **job.document.get("parameters", {})}


def _put_properties(message: pb.JobDetail, job: Job, definition: JobDefinition | None) -> None:
    """What its containers are run with: the definition's, changed as the submission says."""
    if definition is None:
        return
    changed = {each["name"]: each for each in job.overrides.get("containerOverrides", ())}
    given = {each.get("name", ""): each for each in _overridden(job.document)}
    document = definition.document
    if "containerProperties" in document:
        own = document["containerProperties"]
        merged = _merged(own, next(iter(changed.values()), {}), next(iter(given.values()), {}))
        message.container.MergeFrom(awsjson.to_message(merged, pb.ContainerDetail)[0])
        return
    for task in document.get("ecsProperties", {}).get("taskProperties", ()):
        containers = [
            _merged(each, changed.get(each.get("name"), {}), given.get(each.get("name", ""), {}))
            for each in task.get("containers", ())
        ]
        described = awsjson.to_message({**task, "containers": containers}, pb.EcsTaskDetails)[0]
        message.ecs_properties.task_properties.append(described)


def _overridden(document: dict[str, Any]) -> list[dict[str, Any]]:
    tasks = document.get("ecsPropertiesOverride", {}).get("taskProperties", ())
    listed = [each for task in tasks for each in task.get("containers", ())]
    return [document["containerOverrides"], *listed] if "containerOverrides" in document else listed


def _merged(container: dict[str, Any], override: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """`override`: what its tasks are launched with; `said`: what the submission says of sizes, in Batch's words."""
    merged = {**container, **{key: override[key] for key in ("command",) if key in override}}
    environment = {each["name"]: each for each in (*container.get("environment", ()), *override.get("environment", ()))}
    wanted = list(requirements.effective(container, said))
    sizes: dict[str, Any] = {key: said[key] for key in ("vcpus", "memory") if key in said}
    return {**merged, "environment": list(environment.values()), "resourceRequirements": wanted, **sizes}


def _put_attempts(message: pb.JobDetail, tables: Tables, job: Job, attempts: Sequence[Attempt]) -> None:
    """Those that are over, with their numbers; of the one that is under way, where it is."""
    for number, attempt in enumerate(attempts, start=1):
        if attempt.stopped_at or number < len(attempts):
            message.attempts.append(_attempt(tables, job, number, attempt))
            if message.ecs_properties.task_properties:
                _put_attempt_containers(message.attempts[-1], tables, attempt)
    if not attempts:
        return
    where, key = _place(tables, job, attempts[-1]), TaskKey.parse(attempts[-1].task)
    if message.ecs_properties.task_properties:
        described = message.ecs_properties.task_properties[0]
        described.task_arn, described.container_instance_arn = where
        _put_exit_codes(described, tables.task(key) if key is not None else None)
    else:
        message.container.task_arn, message.container.container_instance_arn = where


def _put_attempt_containers(message: pb.AttemptDetail, tables: Tables, attempt: Attempt) -> None:
    """Of several: how each ended, for as long as the task is kept."""
    described = message.task_properties.add()
    described.task_arn = message.container.task_arn
    described.container_instance_arn = message.container.container_instance_arn
    key = TaskKey.parse(attempt.task)
    task = tables.task(key) if key is not None else None
    for state in task.containers if task is not None else ():
        described.containers.add(name=state.name, exit_code=state.exit_code, reason=state.reason or None)


def _put_exit_codes(described: pb.EcsTaskDetails, task: Task | None) -> None:
    states = {state.name: state for state in task.containers} if task is not None else {}
    for container in described.containers:
        state = states.get(container.name)
        if state is not None and state.exit_code is not None:
            container.exit_code = state.exit_code
        if state is not None and state.reason:
            container.reason = state.reason


def _attempt(tables: Tables, job: Job, number: int, attempt: Attempt) -> pb.AttemptDetail:
    task_arn, instance_arn = _place(tables, job, attempt)
    message = pb.AttemptDetail(
        attempt=number,
        created_at=attempt.created_at,
        stopped_at=attempt.stopped_at,
        status_reason=attempt.status_reason or None,
        host_lost=attempt.host_lost or None,
        action=attempt.action or None,
        matched_rule=attempt.rule,
    )
    if attempt.started_at:
        message.started_at = attempt.started_at
    container = message.container
    container.task_arn, container.container_instance_arn = task_arn, instance_arn
    if attempt.exit_code is not None:
        container.exit_code = attempt.exit_code
    if attempt.reason:
        container.reason = attempt.reason
    return message


def _place(tables: Tables, job: Job, attempt: Attempt) -> tuple[str, str]:
    """ARNs of its task and instance. A task that is not kept any more was in the cluster that its queue leads to."""
    launched = tables.launches.get(attempt.task[:LAUNCH_ID_DIGITS])
    cluster = launched.launch.cluster if launched is not None else _cluster_of(tables, job)
    instance = arn.container_instance_arn(cluster, attempt.instance) if attempt.instance else ""
    return arn.task_arn(cluster, attempt.task), instance


def _cluster_of(tables: Tables, job: Job) -> str:
    queue = tables.batch.queues.get(job.queue)
    found = (tables.batch.environments.get(name) for name in (queue.environments if queue else ()))
    return next((each.cluster for each in found if each is not None), DEFAULT_CLUSTER)
