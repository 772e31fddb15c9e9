"""`shoal job describe`: all there is to know of jobs, with every attempt."""

import shlex
import time
from collections.abc import Sequence

import click

from shoal import arn, awsjson
from shoal.cli import job_find, job_words, show, text
from shoal.cli.job_find import short
from shoal.cli.options import connected, output_option
from shoal.cli.session import Session, call
from shoal.v1 import job_definition_pb2, job_pb2


@click.command()
@click.argument("names", metavar="JOB...", nargs=-1, required=True)
@output_option
@connected
def describe(names: tuple[str, ...], output: str) -> None:
    """Show all there is to know of jobs: their attempts, what they wait for, what waits for them."""

    async def work(session: Session) -> list[job_pb2.JobDetail]:
        return await job_find.describe(session, await job_find.job_ids(session, names))

    found = call(work)
    if output in ("json", "yaml"):
        show.print_document(output, awsjson.to_document(job_pb2.DescribeJobsResponse(jobs=found)))
    elif output == "name":
        click.echo("\n".join(job.job_id for job in found))
    else:
        for job in found:
            show_job(job, int(time.time() * 1000))


def show_job(job: job_pb2.JobDetail, now_millis: int) -> None:
    array, retry, tasks = job.array_properties, job.retry_strategy, job.ecs_properties.task_properties
    fields = [
        ("Id", job.job_id),
        ("Status", job.status),
        ("Why", job_words.why(job)),
        ("Queue", arn.short(job.job_queue)),
        ("Definition", arn.short(job.job_definition)),
        ("Priority", str(job.scheduling_priority) if job.HasField("scheduling_priority") else ""),
        ("Overtaken", text.plural(job.overtaken, "time") if job.overtaken else ""),
        ("Child", f"{array.index} of {array.size:,}" if array.HasField("index") else ""),
        (
            "Children",
            "" if array.HasField("index") or not array.size else job_words.bar(array.status_summary, array.size),
        ),
        ("", job_words.counts(array.status_summary)),
        ("At a time", f"{array.max_concurrent:,}" if array.max_concurrent else ""),
        ("Retries", _retries(retry)),
        ("Timeout", f"{job.timeout.attempt_duration_seconds}s an attempt" if job.HasField("timeout") else ""),
        ("Command", shlex.join(job.container.command)),
        ("Image", job.container.image),
        ("Needs", _needs(job.container)),
        *((f"Container {each.name}", _container(each)) for task in tasks for each in task.containers),
        ("Parameters", "\n".join(f"{key}={value}" for key, value in sorted(job.parameters.items()))),
        ("Waits for", "\n".join(map(_dependency, job.depends_on))),
        ("Waited for by", "\n".join(map(_dependency, job.dependants))),
        *((name, text.moment(at)) for name, at in _moments(job) if at),
        ("Tags", ", ".join(f"{key}={value}" for key, value in sorted(job.tags.items()))),
    ]
    show.print_fields(f"Job {job.job_name}", fields)
    tried = job_words.attempts(job, now_millis)
    if tried.rows:
        click.echo()
        show.print_table(tried)


def _moments(job: job_pb2.JobDetail) -> Sequence[tuple[str, int]]:
    return ("Created", job.created_at), ("Started", job.started_at), ("Stopped", job.stopped_at)


def _retries(retry: job_definition_pb2.RetryStrategy) -> str:
    """`3 attempts, and 10 more if its host is lost`, and a line for each rule."""
    if not retry.attempts:
        return ""
    losses = f", and {retry.host_losses} more if its host is lost" if retry.HasField("host_losses") else ""
    rules = [
        f"rule {number}: {each.action} on {job_words.rule(each)}" for number, each in enumerate(retry.evaluate_on_exit)
    ]
    return "\n".join([f"{text.plural(retry.attempts, 'attempt')}{losses}", *rules])


def _needs(container: job_pb2.ContainerDetail) -> str:
    """However it was written: `VCPU 1, MEMORY 64`."""
    legacy = [f"{kind} {size}" for kind, size in (("VCPU", container.vcpus), ("MEMORY", container.memory)) if size]
    return ", ".join([*legacy, *(f"{each.type} {each.value}" for each in container.resource_requirements)])


def _container(each: job_pb2.TaskContainerDetails) -> str:
    """Of several: command, image and needs, a line each."""
    needs = ", ".join(f"{need.type} {need.value}" for need in each.resource_requirements)
    code = f"exit code {each.exit_code}" if each.HasField("exit_code") else ""
    return "\n".join(line for line in (shlex.join(each.command), each.image, needs, code) if line)


def _dependency(each: job_pb2.JobDependency) -> str:
    """`0123456789ab`, `0123456789ab child by child`, `the child before`."""
    if each.type == "SEQUENTIAL":
        return "the child before"
    return f"{short(each.job_id)}{' child by child' if each.type == 'N_TO_N' else ''}"
