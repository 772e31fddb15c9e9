"""`shoal logs`: what the containers of tasks wrote."""

import time
from collections.abc import Sequence

import click

from shoal.cli import log_sources, log_streams
from shoal.cli.options import connected, duration
from shoal.cli.session import Session, call
from shoal.v1 import log_pb2


def _since(value: str) -> int:
    """A click type: a duration before now, or a time as ISO 8601 writes it; in milliseconds since the epoch."""
    import datetime

    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError:
        return int((time.time() - duration(value)) * 1000)
    return int(moment.astimezone().timestamp() * 1000)  # without a zone it is local time


@click.command()
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as the containers write.")
@click.option("--group", metavar="NAME", help="Of all tasks of this group, as in family:web.")
@click.option("--log-group", metavar="NAME", help="Of all containers with this awslogs-group.")
@click.option("--since", type=_since, metavar="WHEN", help="Only what is younger: 10m, or 2026-01-31T12:00.")
@click.option("-n", "--tail", type=click.IntRange(min=0), help="Only the last lines, of each container.")
@click.option("-t", "--timestamps", is_flag=True, help="Show when each line was written.")
@click.option("-c", "--container", metavar="NAME", help="Only of this container.")
@connected
def logs(
    tasks: Sequence[str],
    following: bool,
    group: str | None,
    log_group: str | None,
    since: int | None,
    tail: int | None,
    timestamps: bool,
    container: str | None,
) -> None:
    """Show what tasks' containers wrote, each stream to its own.

    Of several containers, lines are in the order of their times and begin with the task, and with the container's
    name or its log stream; with -f they come as they are written, of the tasks that run. What shoal has to say of a
    log, such as that some of it is missing, goes to stderr.
    """
    if sum((bool(tasks), group is not None, log_group is not None)) != 1:
        raise click.UsageError("Name tasks, or --group, or --log-group.")
    request = log_pb2.ReadLogsRequest(follow=following, tail=tail, since=since)

    async def work(session: Session) -> None:
        request.cluster = session.cluster
        if group is not None:
            sources = await log_sources.of_group(session, group, container, following)
        elif log_group is not None:
            sources = await log_sources.of_log_group(session, log_group, container, following)
        else:
            sources = await log_sources.of_tasks(session, tasks, container)
        await log_streams.copy(session, sources, request, timestamps)

    call(work)
