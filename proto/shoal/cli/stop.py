import asyncio
from collections.abc import Sequence

import click

from shoal.cli import find, follow
from shoal.cli.options import connected
from shoal.cli.session import Session, call
from shoal.v1 import task_pb2

AT_ONCE = 32
STOP_ALL_TIMEOUT_SECONDS = 120.0


@click.command()
@click.argument("tasks", nargs=-1, required=True)
@click.option("--reason", metavar="TEXT", help="Why; kept with the task.")
@click.option("--wait", "waiting", is_flag=True, help="Wait until they have stopped.")
@connected
def stop(tasks: tuple[str, ...], reason: str | None, waiting: bool) -> None:
    """Stop tasks: asks their containers to end, and ends them when their stop timeout is over."""

    async def work(session: Session) -> Sequence[str]:
        ids = await find.task_ids(session, tasks)
        await ask_to_stop(session, ids, reason)
        if waiting:
            await _until_stopped(session, ids)
        return ids

    for task_id in call(work, "Stopping"):
        click.echo(task_id)


async def stop_all(session: Session) -> int:
    """Stops every task of the cluster and waits for them. Answers how many have not stopped in time."""
    arns = await find.task_arns(session, desired_status="RUNNING")
    await ask_to_stop(session, arns, "the cluster is shut down")
    ids = await find.task_ids(session, arns)
    try:
        async with asyncio.timeout(STOP_ALL_TIMEOUT_SECONDS):
            await _until_stopped(session, ids)
    except TimeoutError:
        answer = await find.describe_tasks(session, ids)
        return sum(task.last_status != "STOPPED" for task in answer.tasks)
    return 0


async def ask_to_stop(session: Session, names: Sequence[str], reason: str | None) -> None:
    for batch in find.batches(names, AT_ONCE):
        requests = [task_pb2.StopTaskRequest(cluster=session.cluster, task=name, reason=reason) for name in batch]
        await asyncio.gather(*(session.client.cluster.StopTask(request) for request in requests))


async def _until_stopped(session: Session, ids: Sequence[str]) -> None:
    if not ids:
        return
    stopped = set()
    async for task in follow.changes(session, ids):
        if task.last_status == "STOPPED":
            stopped.add(task.task_arn)
            session.progress.say(f"Stopping: {len(stopped)} of {len(ids)} have stopped")
