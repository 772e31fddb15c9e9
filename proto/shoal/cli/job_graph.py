"""`shoal job graph`: which jobs wait for which, as a tree or as SVG."""

from collections.abc import Sequence
from pathlib import Path

import click

from shoal import arn
from shoal.cli import job_drawing, job_find, job_words
from shoal.cli.failures import Failed, warn
from shoal.cli.options import connected
from shoal.cli.session import Session, call
from shoal.v1 import job_pb2
from shoal.v1.job_queue_pb2 import KeyValuesPair

# More nobody can read; and each generation is one more call.
JOBS_MAX = 1000
LOOKED_AT_MAX = 2000


@click.command()
@click.argument("names", metavar="[JOB]...", nargs=-1)
@click.option("--queue", metavar="NAME", help="Of all jobs of this queue that are kept.")
@click.option("--svg", "file", type=click.Path(path_type=Path, dir_okay=False), help="Draw it into FILE instead.")
@connected
def graph(names: tuple[str, ...], queue: str | None, file: Path | None) -> None:
    """Show the jobs that JOB waits for and that wait for it, all the way, each with its status.

    \b
    shoal job graph montage
    shoal job graph montage --svg jobs.svg
    """
    if bool(names) == (queue is not None):
        raise click.UsageError("Name jobs, or --queue.")

    async def work(session: Session) -> list[job_pb2.JobDetail]:
        if queue is None:
            ids = await job_find.job_ids(session, names)
        else:
            request = job_pb2.ListJobsRequest(job_queue=queue, filters=[job_find.EVERY])
            ids = [each.job_id async for each in job_find.summaries(session, request)]
        return await _related(session, [each.partition(":")[0] for each in ids])

    jobs = call(work)
    if not jobs:
        raise Failed(f"Queue {queue} has no jobs.", "shoal job ls -a")
    nodes, edges = job_drawing.nodes_of(jobs), job_drawing.edges_of(jobs)
    if file is None:
        click.echo("\n".join(job_drawing.tree(nodes, edges)))
        return
    file.write_text(job_drawing.svg(nodes, edges))
    click.echo(file)


Jobs = dict[str, job_pb2.JobDetail]


async def _related(session: Session, ids: Sequence[str]) -> list[job_pb2.JobDetail]:
    """Those jobs, all they wait for and all that wait for them; what is forgotten is left out."""
    found: Jobs = {}
    await _walk(session, found, ids)
    if any(job.status in job_words.OVER for job in found.values()):
        await _walk(session, found, await _that_waited(session, found))
    return list(found.values())


async def _walk(session: Session, found: Jobs, ids: Sequence[str]) -> None:
    """Adds these jobs and all that the jobs name, from one to the next."""
    wanted = [each for each in dict.fromkeys(ids) if each not in found]
    asked = {*found, *wanted}
    while wanted and len(found) < JOBS_MAX:
        for job in await job_find.known(session, wanted[: JOBS_MAX - len(found)]):
            found[job.job_id] = job
        near = (each.job_id for job in found.values() for each in (*job.depends_on, *job.dependants))
        wanted = [each for each in dict.fromkeys(name.partition(":")[0] for name in near) if each and each not in asked]
        asked |= set(wanted)
    if wanted:
        warn(f"only {len(found):,} jobs are shown; there are more")


async def _that_waited(session: Session, found: Jobs) -> list[str]:
    """Jobs that waited for these: a job that is over does not name what waited for it and is over as well. They were
    submitted later, and are looked for in the same queues."""
    since = min(job.created_at for job in found.values()) - 1
    filters = [KeyValuesPair(name="AFTER_CREATED_AT", values=[str(since)])]
    later: list[str] = []
    for queue in {arn.short(job.job_queue) for job in found.values()}:
        async for each in job_find.summaries(session, job_pb2.ListJobsRequest(job_queue=queue, filters=filters)):
            if len(later) == LOOKED_AT_MAX:
                warn(f"only the newest {LOOKED_AT_MAX:,} jobs were asked whether they waited for these")
                break
            if each.job_id not in found:
                later.append(each.job_id)
    waited_for = {
        job.job_id: {each.job_id.partition(":")[0] for each in job.depends_on}
        for job in await job_find.known(session, later)
    }
    reached, waited = set(found), list[str]()
    while more := [job for job, others in waited_for.items() if job not in reached and others & reached]:
        reached |= set(more)
        waited += more
    return waited
