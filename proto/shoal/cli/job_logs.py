"""`shoal job logs`: what an attempt of a job wrote."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import click

from shoal import arn
from shoal.cli import job_find, job_words, log_sources, log_streams
from shoal.cli.failures import Failed
from shoal.cli.options import connected
from shoal.cli.session import Session, call
from shoal.v1 import job_pb2, log_pb2

_LOOK_SECONDS = 0.5


@click.command()
@click.argument("name", metavar="JOB[:INDEX]")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Which attempt.  [default: the last]")
@click.option("-f", "--follow", "following", is_flag=True, help="Wait until it starts, go on as it writes.")
@click.option("-n", "--tail", type=click.IntRange(min=0), help="Only the last lines, of each container.")
@click.option("-t", "--timestamps", is_flag=True, help="Show when each line was written.")
@click.option("-c", "--container", metavar="NAME", help="Only of this container.")
@connected
def logs(
    name: str, attempt: int | None, following: bool, tail: int | None, timestamps: bool, container: str | None
) -> None:
    """Show what a job's last attempt wrote, or the N-th; of an array, name the child: ID:INDEX."""

    async def work(session: Session) -> None:
        (job_id,) = await job_find.job_ids(session, [name])
        task = await _task(session, job_id, attempt, following)
        within = replace(session, cluster=arn.cluster_of(task) or session.cluster)
        sources = await log_sources.of_tasks(within, [task], container)
        request = log_pb2.ReadLogsRequest(cluster=within.cluster, follow=following, tail=tail)
        await log_streams.copy(within, sources, request, timestamps)

    call(work)


async def _task(session: Session, job_id: str, attempt: int | None, following: bool) -> str:
    """The ARN of the attempt's task. Raises Failed if there is none, and nobody wants to wait for it."""
    while True:
        (job,) = await job_find.describe(session, [job_id])
        if job.array_properties.size and not job.array_properties.HasField("index"):
            size = job.array_properties.size
            raise Failed(
                f"{job.job_name} is an array of {size:,}: name the child whose output you want.",
                f"shoal job logs {job_find.short(job_id)}:0",
            )
        tasks = tasks_of(job)
        wanted = attempt or len(tasks)
        if 1 <= wanted <= len(tasks) and tasks[wanted - 1]:
            return tasks[wanted - 1]
        if not following or job.status in job_words.OVER:
            raise _none_such(job, attempt, tasks)
        session.progress.say(f"Waiting for {job.job_name} to start: it is {job.status}")
        await asyncio.sleep(_LOOK_SECONDS)


def tasks_of(job: job_pb2.JobDetail) -> list[str]:
    """The task's ARN of each attempt, by its number; the one that runs is the last."""
    found = [each.container.task_arn or _first_task(each.task_properties) for each in job.attempts]
    running = job.container.task_arn or _first_task(job.ecs_properties.task_properties)
    return [*found, running] if running and running not in found else found


def _first_task(tasks: Sequence[job_pb2.AttemptEcsTaskDetails] | Sequence[job_pb2.EcsTaskDetails]) -> str:
    return tasks[0].task_arn if tasks else ""


def _none_such(job: job_pb2.JobDetail, attempt: int | None, tasks: Sequence[str]) -> Failed:
    why = f": {job.status_reason}" if job.status_reason else ""
    if attempt and tasks:
        return Failed(f"{job.job_name} has had {len(tasks)} attempts, no attempt {attempt}.", "leave --attempt out")
    if job.status in job_words.OVER:
        return Failed(f"{job.job_name} ended without having started{why}.")
    return Failed(f"{job.job_name} has not started yet; it is {job.status}{why}.", "shoal job logs -f waits for it")
