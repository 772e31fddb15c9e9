"""`shoal queue`: where jobs wait, and what they may run on."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from shoal import arn, awsjson
from shoal.cli import find, show, text
from shoal.cli.failures import NOT_FOUND, Failed
from shoal.cli.options import connected, duration, int32, output_option, parse_pairs
from shoal.cli.register import file_option, read_document, read_message
from shoal.cli.session import Session, call
from shoal.v1 import job_queue_pb2 as pb

COLUMNS = ("QUEUE", "STATE", "PRIORITY", "JOBS", "RUNNING", "AT A TIME", "ENVIRONMENTS")
FRONT_COLUMNS = ("PLACE", "JOB", "NAME", "SINCE", "OVERTAKEN", "WHY IT WAITS")
DEFAULT_REASON = "RUNNABLE for too long"

environments_option = click.option(
    "--environment",
    "environments",
    multiple=True,
    metavar="NAME",
    help="A compute environment; several are tried in this order.",
)
max_concurrent_option = click.option(
    "--max-concurrent", type=int32, metavar="N", help="Tasks of its jobs at a time; 0 for no bound."
)
overtaking_option = click.option(
    "--overtaking-max", type=int32, metavar="N", help="How many later starts may overtake a job that waits for room."
)
limit_option = click.option(
    "--cancel-after",
    "limit_seconds",
    type=duration,
    metavar="DURATION",
    help="Cancels the first job when it has been RUNNABLE for so long (10m to 1d); 0 for never.",
)


@click.group()
def queue() -> None:
    """Create, list, change and delete job queues."""


@queue.command()
@click.argument("name", required=False)
@file_option
@environments_option
@click.option("--priority", type=int32, default=1, show_default=True, metavar="N", help="The higher is served first.")
@max_concurrent_option
@overtaking_option
@limit_option
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", callback=parse_pairs, help="A tag.")
@connected
def create(
    name: str | None,
    file: Path | None,
    environments: tuple[str, ...],
    priority: int,
    tags: dict[str, str],
    **options: Any,
) -> None:
    """Create a job queue; one that is there just so is fine.

    \b
    shoal compute-environment create hosts
    shoal queue create main --environment hosts
    shoal queue create -f queue.json               as `aws batch create-job-queue --cli-input-json` takes it
    """
    request = pb.CreateJobQueueRequest(
        job_queue_name=name,
        priority=priority,
        compute_environment_order=_order(environments),
        job_state_time_limit_actions=_limits(options["limit_seconds"]),
        tags=tags,
        max_concurrent=options["max_concurrent"],
        overtaking_max=options["overtaking_max"],
    )
    if (name is None) == (file is None):
        raise click.UsageError("Name the queue, or give a file with all there is to say of it.")
    if file is not None:
        request = read_message(read_document(file), pb.CreateJobQueueRequest, str(file), strict=False)

    async def work(session: Session) -> pb.CreateJobQueueResponse:
        return await session.client.batch.CreateJobQueue(request)

    click.echo(call(work).job_queue_name)


@queue.command()
@click.argument("name")
@environments_option
@click.option("--priority", type=int32, metavar="N", help="The higher is served first.")
@max_concurrent_option
@overtaking_option
@limit_option
@connected
def update(name: str, environments: tuple[str, ...], priority: int | None, **options: Any) -> None:
    """Change a job queue; what is not given stays."""
    request = pb.UpdateJobQueueRequest(
        job_queue=name,
        priority=priority,
        compute_environment_order=_order(environments),
        job_state_time_limit_actions=_limits(options["limit_seconds"]),
        max_concurrent=options["max_concurrent"],
        overtaking_max=options["overtaking_max"],
        remove_time_limits=True if options["limit_seconds"] == 0 else None,
    )
    click.echo(_update(request))


@queue.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@connected
def enable(names: tuple[str, ...]) -> None:
    """Take new jobs again."""
    for name in names:
        click.echo(_update(pb.UpdateJobQueueRequest(job_queue=name, state="ENABLED")))


@queue.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@connected
def disable(names: tuple[str, ...]) -> None:
    """Take no new jobs; those that are there go on."""
    for name in names:
        click.echo(_update(pb.UpdateJobQueueRequest(job_queue=name, state="DISABLED")))


@queue.command("rm")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@connected
def remove(names: tuple[str, ...]) -> None:
    """Delete queues that are disabled and whose jobs are over."""

    async def work(session: Session) -> None:
        for name in names:
            await session.client.batch.DeleteJobQueue(pb.DeleteJobQueueRequest(job_queue=name))
            click.echo(name)

    call(work)


@queue.command("ls")
@click.argument("names", metavar="[NAME...]", nargs=-1)
@output_option
@connected
def list_all(names: tuple[str, ...], output: str) -> None:
    """List job queues, and how many of their jobs are not over."""
    answer = _read(names)
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each) for each in answer.job_queues], "No job queues."),
        lambda: {"jobQueues": [], **awsjson.to_document(answer)},
        [each.job_queue_name for each in answer.job_queues],
    )


@queue.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@output_option
@connected
def describe(names: tuple[str, ...], output: str) -> None:
    """Show all there is to know of job queues."""
    answer = _read(names)
    missing = {arn.short(name) for name in names} - {each.job_queue_name for each in answer.job_queues}
    if missing:
        raise Failed(f"There is no job queue {text.sentence_list(sorted(missing))}.", "shoal queue ls", NOT_FOUND)
    if output in ("json", "yaml", "name"):
        show.emit(
            output,
            lambda: show.Table(COLUMNS, []),
            lambda: awsjson.to_document(answer),
            [each.job_queue_name for each in answer.job_queues],
        )
        return
    for each in answer.job_queues:
        show_queue(each)


@queue.command()
@click.argument("name")
@output_option
@connected
def snapshot(name: str, output: str) -> None:
    """Show the first jobs of a queue in the order in which they start, and why each waits."""

    async def work(session: Session) -> pb.GetJobQueueSnapshotResponse:
        return await session.client.batch.GetJobQueueSnapshot(pb.GetJobQueueSnapshotRequest(job_queue=name))

    answer = call(work)
    now_millis = int(time.time() * 1000)
    rows = [
        (
            str(place),
            arn.short(each.job_arn),
            each.job_name,
            text.age(each.earliest_time_at_position, now_millis),
            f"{each.overtaken} of {answer.overtaking_max}",
            each.waiting_reason,
        )
        for place, each in enumerate(answer.front_of_queue.jobs, start=1)
    ]
    show.emit(
        output,
        lambda: show.Table(FRONT_COLUMNS, rows, "No job is RUNNABLE."),
        lambda: awsjson.to_document(answer),
        [row[1] for row in rows],
    )


def _read(names: Sequence[str]) -> pb.DescribeJobQueuesResponse:
    async def work(session: Session) -> pb.DescribeJobQueuesResponse:
        whole = pb.DescribeJobQueuesResponse()
        request = pb.DescribeJobQueuesRequest(job_queues=names)
        async for answer in find.pages(session.client.batch.DescribeJobQueues, request):
            whole.job_queues.extend(answer.job_queues)
        return whole

    return call(work)


def _update(request: pb.UpdateJobQueueRequest) -> str:
    async def work(session: Session) -> pb.UpdateJobQueueResponse:
        return await session.client.batch.UpdateJobQueue(request)

    return call(work).job_queue_name


def _order(names: Sequence[str]) -> list[pb.ComputeEnvironmentOrder]:
    return [pb.ComputeEnvironmentOrder(order=at, compute_environment=name) for at, name in enumerate(names, start=1)]


def _limits(seconds: float | None) -> list[pb.JobStateTimeLimitAction]:
    if not seconds:
        return []
    limit = pb.JobStateTimeLimitAction(
        reason=DEFAULT_REASON, state="RUNNABLE", max_time_seconds=int(seconds), action="CANCEL"
    )
    return [limit]


def _environments(it: pb.JobQueueDetail) -> str:
    return ", ".join(arn.short(each.compute_environment) for each in it.compute_environment_order)


def _row(it: pb.JobQueueDetail) -> Sequence[str]:
    return (
        it.job_queue_name,
        it.state,
        str(it.priority),
        str(it.unfinished_jobs),
        str(it.running_tasks),
        str(it.max_concurrent or "-"),
        _environments(it),
    )


def show_queue(it: pb.JobQueueDetail) -> None:
    limits = [
        f"{each.action} the first job when it is {each.state} for {text.span(each.max_time_seconds)}: {each.reason}"
        for each in it.job_state_time_limit_actions
    ]
    fields = [
        ("ARN", it.job_queue_arn),
        ("State", it.state),
        ("Status", f"{it.status} ({it.status_reason})"),
        ("Created", text.moment(it.created_at)),
        ("Priority", str(it.priority)),
        ("Environments", _environments(it)),
        ("Jobs not over", str(it.unfinished_jobs)),
        ("Tasks", f"{it.running_tasks} run" + (f", {it.max_concurrent} may" if it.max_concurrent else "")),
        ("Overtaking", f"a job that waits is overtaken by at most {it.overtaking_max} later starts"),
        ("Time limits", "\n".join(limits)),
        ("Tags", ", ".join(f"{key}={value}" for key, value in sorted(it.tags.items()))),
    ]
    show.print_fields(it.job_queue_name, fields)
