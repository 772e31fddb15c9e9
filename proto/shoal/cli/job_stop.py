"""`shoal job cancel` and `shoal job terminate`."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from shoal.cli import find, job_find, job_words
from shoal.cli.failures import FAILED, OK, warn
from shoal.cli.options import connected
from shoal.cli.session import Session, call
from shoal.cli.text import printable
from shoal.v1 import job_pb2

# The most that one call takes.
AT_ONCE = 50

reason_option = click.option("--reason", default="By shoal job", show_default=True, help="Kept with the job.")


@click.command()
@click.argument("names", metavar="JOB...", nargs=-1, required=True)
@reason_option
@connected
def cancel(names: tuple[str, ...], reason: str) -> int:
    """Cancel jobs that have not started: they become FAILED. What has started is left alone.

    Of an array, its children that have not started; ID:INDEX is one child.
    """
    return call(lambda session: _stop(session, names, reason, job_pb2.CancelJobsRequest))


@click.command()
@click.argument("names", metavar="JOB...", nargs=-1, required=True)
@reason_option
@connected
def terminate(names: tuple[str, ...], reason: str) -> int:
    """End jobs, whatever they are at: what runs is stopped, what waits does not start; all become FAILED."""
    return call(lambda session: _stop(session, names, reason, job_pb2.TerminateJobsRequest))


async def _stop(session: Session, names: Sequence[str], reason: str, request_type: type[Any]) -> int:
    """Prints the ids of those that were told, and on stderr which were not and why."""
    batch = session.client.batch
    cancels = request_type is job_pb2.CancelJobsRequest
    method: Any = batch.CancelJobs if cancels else batch.TerminateJobs
    errors = []
    for part in find.batches(await job_find.job_ids(session, names), AT_ONCE):
        before = await job_find.known(session, part)
        answer = await method(request_type(jobs=part, reason=reason))
        for each in answer.successful:
            click.echo(each)
        sys.stdout.flush()
        for job in before:
            if why := _left_alone(job, cancels):
                warn(f"{job_find.short(job.job_id)} {why}")
        errors += answer.errors
    for error in errors:
        said = f"{job_find.short(error.job)}: {error.message}"
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {printable(said)}", err=True)
    return FAILED if errors else OK


def _left_alone(job: job_pb2.JobDetail, cancels: bool) -> str:
    """Why the job is as it was, though that is no error: "" if it is not."""
    if job.status in job_words.OVER:
        return f"is over already: {job.status}"
    if cancels and job.status in ("STARTING", "RUNNING"):
        return "has started and is left alone; shoal job terminate stops it"
    return ""
