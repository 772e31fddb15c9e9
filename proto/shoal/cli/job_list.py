"""`shoal job ls`: jobs of queues, or the children of an array."""

import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import click

from shoal import arn, awsjson
from shoal.cli import job_find, job_words, show, text
from shoal.cli.failures import warn
from shoal.cli.job_find import EVERY
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
    wanted = (status.upper(),) if status else job_words.STATUSES if every else job_words.OPEN
    most = SHOWN_MAX + 1 if output in ("table", "wide") else None

    async def work(session: Session) -> Found:
        if array is not None:
            return await _children(session, array, wanted, most)
        found: Found = []
        for each in [queue] if queue is not None else await job_find.queues(session):
            for request in _requests(each, wanted, name, definition):
                found += [(each, job) async for job in _first(session, request, wanted, most)]
        return sorted(found, key=lambda item: (-item[1].created_at, item[1].job_id))

    found = call(work)
    shown = found[:SHOWN_MAX] if most else found
    empty = f"No {'child' if array else 'job'} is {text.sentence_list(wanted, len(wanted))}."
    if wanted == job_words.OPEN:
        empty = f"{'All children' if array else 'All jobs'} are over. They too: -a"
    show.emit(
        output,
        lambda: job_words.table(shown, int(time.time() * 1000), output == "wide", empty),
        lambda: awsjson.to_document(job_pb2.ListJobsResponse(job_summary_list=[job for _, job in found])),
        [job.job_id for _, job in found],
    )
    if len(shown) < len(found):
        warn(f"only the first {SHOWN_MAX} are shown; -o name lists all")


def _requests(
    queue: str, wanted: Sequence[str], name: str | None, definition: str | None
) -> Sequence[job_pb2.ListJobsRequest]:
    """With a filter, ListJobs gives jobs of every status; without one, of one."""
    if name is not None:
        return [_filtered(queue, KeyValuesPair(name="JOB_NAME", values=[name]))]
    if definition is not None:
        return [_filtered(queue, KeyValuesPair(name="JOB_DEFINITION", values=[definition]))]
    if len(wanted) == len(job_words.STATUSES):
        return [_filtered(queue, EVERY)]
    return [job_pb2.ListJobsRequest(job_queue=queue, job_status=each) for each in wanted]


def _filtered(queue: str, passes: KeyValuesPair) -> job_pb2.ListJobsRequest:
    return job_pb2.ListJobsRequest(job_queue=queue, filters=[passes])


async def _first(
    session: Session, request: job_pb2.ListJobsRequest, wanted: Sequence[str], most: int | None
) -> AsyncIterator[job_pb2.JobSummary]:
    """Those with one of these statuses, as many as are needed."""
    count = 0
    async with contextlib.aclosing(job_find.summaries(session, request)) as summaries:
        async for job in summaries:
            if job.status not in wanted:
                continue
            yield job
            count += 1
            if count == most:
                return


async def _children(session: Session, name: str, wanted: Sequence[str], most: int | None) -> Found:
    (array,) = await job_find.job_ids(session, [name])
    (parent,) = await job_find.describe(session, [array])
    queue = arn.short(parent.job_queue)
    found: Found = []
    for each in wanted:
        request = job_pb2.ListJobsRequest(array_job_id=array, job_status=each)
        found += [(queue, job) async for job in _first(session, request, wanted, most)]
    return sorted(found, key=lambda item: item[1].array_properties.index)
