"""`shoal job ls`: jobs of queues, or the children of an array."""

import time
from collections.abc import Sequence

import click

from shoal import awsjson
from shoal.cli import job_find, job_words, show
from shoal.cli.failures import warn
from shoal.cli.job_find import EVERY, short
from shoal.cli.options import connected, output_option
from shoal.cli.session import Session, call
from shoal.v1 import job_pb2
from shoal.v1.job_queue_pb2 import KeyValuesPair

# A table of more is for nobody; `-o name` and `-o json` give all.
SHOWN_MAX = 200

Found = list[tuple[str, job_pb2.JobSummary]]


@click.command()
@click.option("-a", "--all", "every", is_flag=True, help="Also those that are over.")
@click.option("--queue", metavar="NAME", help="Only of this queue.")
@click.option("--status", type=click.Choice(job_words.STATUSES, case_sensitive=False), help="Only with this status.")
@click.option("--name", metavar="NAME[*]", help="Only those called so; with * those that begin so.")
@click.option("--definition", metavar="NAME[:REV][*]", help="Only those of this definition.")
@click.option("--array", "array", metavar="JOB", help="The children of this array.")
@output_option
@connected
def ls(
    every: bool,
    queue: str | None,
    status: str | None,
    name: str | None,
    definition: str | None,
    array: str | None,
    output: str,
) -> None:
    """List jobs that are not over, the newest first, or the children of an array by their index."""
    if name is not None and definition is not None:
        raise click.UsageError("One of --name and --definition, not both.")
    wanted = status.upper() if status else None

    async def work(session: Session) -> Found:
        if array is not None:
            return await _children(session, array, wanted, every)
        filters = _filters(name, definition)
        found: Found = []
        for each in [queue] if queue is not None else await job_find.queues(session):
            request = job_pb2.ListJobsRequest(job_queue=each, filters=filters)
            found += [(each, job) async for job in job_find.summaries(session, request)]
        found.sort(key=lambda item: (-item[1].created_at, item[1].job_id))
        return [item for item in found if _is_wanted(item[1], wanted, every)]

    found = call(work)
    shown = found if output not in ("table", "wide") else found[:SHOWN_MAX]
    empty = "No jobs." if every or wanted else "All jobs are over. They too: shoal job ls -a"
    show.emit(
        output,
        lambda: job_words.table(shown, int(time.time() * 1000), output == "wide", empty),
        lambda: awsjson.to_document(job_pb2.ListJobsResponse(job_summary_list=[job for _, job in found])),
        [job.job_id for _, job in found],
    )
    if len(shown) < len(found):
        warn(f"{len(found) - len(shown):,} more are not shown; -o name lists all")


def _filters(name: str | None, definition: str | None) -> Sequence[KeyValuesPair]:
    if name is not None:
        return [KeyValuesPair(name="JOB_NAME", values=[name])]
    if definition is not None:
        return [KeyValuesPair(name="JOB_DEFINITION", values=[definition])]
    return [EVERY]


def _is_wanted(job: job_pb2.JobSummary, status: str | None, every: bool) -> bool:
    if status is not None:
        return job.status == status
    return every or job.status not in job_words.OVER


async def _children(session: Session, name: str, status: str | None, every: bool) -> Found:
    """One page after the other, of each status: a million children are never asked for at once without need."""
    (array,) = await job_find.job_ids(session, [name])
    statuses = [status] if status else [each for each in job_words.STATUSES if every or each not in job_words.OVER]
    found: Found = []
    for each in statuses:
        request = job_pb2.ListJobsRequest(array_job_id=array, job_status=each)
        found += [("", job) async for job in job_find.summaries(session, request)]
    found.sort(key=lambda item: item[1].array_properties.index)
    if not found:
        click.echo(f"No child of {short(array)} is {status or 'still to end; they too: -a'}.", err=True)
    return found
