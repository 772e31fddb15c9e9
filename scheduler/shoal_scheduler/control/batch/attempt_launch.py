"""The launch that starts an attempt of some of a job's children: a task each."""

from collections.abc import Sequence

from shoal_scheduler.control.context import Context
from shoal_scheduler.model.ask import Ask, Strategy
from shoal_scheduler.model.job import Job, JobPart, ranges
from shoal_scheduler.model.job_definition import task_definition_of
from shoal_scheduler.model.job_queue import ComputeEnvironment
from shoal_scheduler.model.task import Launch, group_of_queue

# So that as much as can be is left in one piece, for jobs that are big: of GPUs first.
_PACKED = (Strategy("binpack", "gpu"), Strategy("binpack", "cpu"))
_PACKED_ON_GPUS = (Strategy("fragmentation"),)


def asked_in(ask: Ask, environment: ComputeEnvironment) -> Ask:
    """What a task of a job asks for where it runs: the ask of its launch."""
    return ask._replace(
        expressions=(*_expressions(environment), *ask.expressions), strategies=_strategies(bool(ask.resources.gpus))
    )


def launch_of(
    job: Job, ask: Ask, environment: ComputeEnvironment, attempt: int, children: Sequence[int], context: Context
) -> Launch:
    part = JobPart(job.id, job.queue, environment.name, attempt, job.array_size, ranges(children))
    return Launch(
        id=context.ids.launch_id(),
        cluster=environment.cluster,
        definition=task_definition_of(job.definition),
        created_at=context.now,
        count=len(children),
        group=group_of_queue(job.queue),
        started_by=job.id,
        expressions=_expressions(environment),
        strategies=_strategies(bool(ask.resources.gpus)),
        on_disconnect="keep",
        job=part,
        overrides=job.overrides,
        tags=job.tags if job.propagate_tags else {},
        enable_execute_command=job.enable_execute_command,
    )


def _expressions(environment: ComputeEnvironment) -> tuple[str, ...]:
    return (environment.expression,) if environment.expression else ()


def _strategies(has_gpus: bool) -> tuple[Strategy, ...]:
    return _PACKED_ON_GPUS if has_gpus else _PACKED
