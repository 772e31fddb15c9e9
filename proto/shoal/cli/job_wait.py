"""`shoal job wait`: until jobs are over, with how far their children are."""

import asyncio
import sys
from collections.abc import Sequence

import click

from shoal import awsjson
from shoal.cli import job_find, job_words, show
from shoal.cli.failures import FAILED, OK, TIMED_OUT, Failed
from shoal.cli.options import connected, duration, output_option
from shoal.cli.session import Session, call
from shoal.v1 import job_pb2

# A short job is seen to end at once; of a long one nobody misses two seconds.
_LOOK_FIRST_SECONDS = 0.2
_LOOK_MAX_SECONDS = 2.0


@click.command()
@click.argument("names", metavar="JOB...", nargs=-1, required=True)
@click.option("--timeout", type=duration, help="Give up after this time, with exit code 5.")
@output_option
@connected
def wait(names: tuple[str, ...], timeout: float | None, output: str) -> int:
    """Wait until jobs are over. Exits with 0 if all SUCCEEDED, with 1 if any FAILED.

    On a terminal, shows how far each is: of an array, how many children are over (#, x those that failed), run (=)
    and wait (.).
    """

    async def work(session: Session) -> list[job_pb2.JobDetail]:
        ids = await job_find.job_ids(session, names)
        async with asyncio.timeout(timeout):
            return await until_over(session, ids)

    try:
        found = call(work, "Waiting for jobs")
    except TimeoutError:
        raise Failed(f"Not over within {timeout:g} s.", "shoal job describe JOB", TIMED_OUT) from None
    return report(found, output)


async def attend(session: Session, ids: Sequence[str]) -> int:
    """The same for who has just submitted them: answers the exit code, says which failed."""
    return report(await until_over(session, ids), "table")


async def until_over(session: Session, ids: Sequence[str]) -> list[job_pb2.JobDetail]:
    """In the order given. Raises NotFound."""
    pause, found, open_ids = _LOOK_FIRST_SECONDS, dict[str, job_pb2.JobDetail](), list(dict.fromkeys(ids))
    while True:
        waited_for = []
        for job in await job_find.describe(session, open_ids):
            found[job.job_id] = job
            if job.status not in job_words.OVER:
                waited_for.append(job)
        open_ids = [job.job_id for job in waited_for]
        if not open_ids:
            session.progress.end()
            return [found[each] for each in ids]
        session.progress.say("\n".join(job_words.progress(job) for job in waited_for[: _lines()]))
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LOOK_MAX_SECONDS)


def _lines() -> int:
    """How many jobs a terminal has room for."""
    import shutil

    return max(1, shutil.get_terminal_size().lines - 2)


def report(found: Sequence[job_pb2.JobDetail], output: str) -> int:
    show.emit(
        output,
        lambda: show.Table(("JOB", "NAME", "STATUS", "CHILDREN", "WHY"), [_row(job) for job in found]),
        lambda: awsjson.to_document(job_pb2.DescribeJobsResponse(jobs=found)),
        [job.job_id for job in found],
    )
    sys.stdout.flush()
    return FAILED if any(job.status == "FAILED" for job in found) else OK


def _row(job: job_pb2.JobDetail) -> Sequence[str]:
    children = job_words.counts(job.array_properties.status_summary) if job.array_properties.size else ""
    return job_find.short(job.job_id), job.job_name, job_words.ended(job), children, job_words.why(job)
