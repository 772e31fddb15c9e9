"""`shoal logs`, and the copying of a container's output that `shoal run` does, too."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator

import click

from shoal import errors
from shoal.cli import find, follow, text
from shoal.cli.options import connected, duration
from shoal.cli.session import Session, call
from shoal.lifecycle import has_started
from shoal.v1 import log_pb2

# A follower outlives a change of leader and a restarted agent, but does not hang for ever on a lost one.
RESUME_WITHIN_SECONDS = 60.0
RESUME_DELAY_SECONDS = 0.5


@click.command()
@click.argument("task")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as the container writes.")
@click.option("--since", type=duration, help="Only what is younger than this, as in 10m.")
@click.option("-n", "--tail", type=click.IntRange(min=0), help="Only the last lines.")
@click.option("-t", "--timestamps", is_flag=True, help="Show when each line was written.")
@click.option("-c", "--container", metavar="NAME", help="Which container, if there are several.")
@connected
def logs(
    task: str, following: bool, since: float | None, tail: int | None, timestamps: bool, container: str | None
) -> None:
    """Show what a task's container wrote, each stream to its own."""
    request = log_pb2.ReadLogsRequest(container=container, follow=following, tail=tail)
    if since is not None:
        request.since = int((time.time() - since) * 1000)

    async def work(session: Session) -> None:
        request.cluster = session.cluster
        request.task = (await find.task_ids(session, [task]))[0]
        if following:
            await _until_started(session, request.task)
        session.progress.say("Waiting for output")
        await copy(session, request, timestamps)

    call(work)


async def copy(session: Session, request: log_pb2.ReadLogsRequest, timestamps: bool = False) -> None:
    """Writes a container's output to ours, stdout to stdout and stderr to stderr, as it was written."""
    async for event in _events(session, request):
        session.progress.end()
        output = sys.stderr.buffer if event.stream == "stderr" else sys.stdout.buffer
        mark = f"{text.clock(event.timestamp)} ".encode() if timestamps else b""
        output.write(mark + event.message + b"\n")
        output.flush()


async def _until_started(session: Session, task_id: str) -> None:
    session.progress.say("Waiting for the task to start")
    async for task in follow.changes(session, [task_id]):
        if has_started(task.last_status):
            return


async def _events(session: Session, request: log_pb2.ReadLogsRequest) -> AsyncIterator[log_pb2.LogEvent]:
    """Resumes where it broke off: asks again from the last time stamp, and skips what it had of that instant."""
    at_last, give_up = 0, time.monotonic() + RESUME_WITHIN_SECONDS
    while True:
        skip = at_last
        try:
            async for answer in session.client.cluster.ReadLogs(request):
                for event in answer.events:
                    if skip and event.timestamp == request.since:
                        skip -= 1
                        continue
                    at_last = at_last + 1 if event.timestamp == request.since else 1
                    request.since, give_up = event.timestamp, time.monotonic() + RESUME_WITHIN_SECONDS
                    yield event
            return
        except errors.Unreachable:
            if time.monotonic() > give_up:
                raise
        if at_last:  # the last lines were counted from the end as it was
            request.ClearField("tail")
        await asyncio.sleep(RESUME_DELAY_SECONDS)
