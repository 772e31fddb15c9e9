import asyncio
import time
from collections.abc import Sequence

import click

from shoal.cli import find, follow, show, tasks
from shoal.cli.failures import TIMED_OUT, Failed
from shoal.cli.options import connected, duration, output_option
from shoal.cli.session import Session, call
from shoal.lifecycle import RANK
from shoal.v1 import task_pb2


@click.command()
@click.argument("names", metavar="TASK...", nargs=-1, required=True)
@click.option(
    "--for",
    "wanted",
    type=click.Choice(("RUNNING", "STOPPED"), case_sensitive=False),
    default="STOPPED",
    show_default=True,
    help="What to wait for.",
)
@click.option("--timeout", type=duration, help="Give up after this time, with exit code 5.")
@output_option
@connected
def wait(names: tuple[str, ...], wanted: str, timeout: float | None, output: str) -> int:
    """Wait until tasks run, or have stopped.

    Waiting for STOPPED exits with the exit code of the task: the first of its containers' that is not 0 (of the
    tasks in the order given), 125 if a container never had one. Waiting for RUNNING exits with 1 if a task
    stopped before it ran.
    """

    async def work(session: Session) -> list[task_pb2.Task]:
        ids = await find.task_ids(session, names)
        async with asyncio.timeout(timeout):
            return await until(session, ids, wanted.upper())

    try:
        found = call(work, f"Waiting for {wanted.upper()}")
    except TimeoutError:
        raise Failed(f"Not {wanted.upper()} within {timeout:g} s.", "shoal describe TASK", TIMED_OUT) from None
    report(found, output)
    if wanted.upper() == "STOPPED":
        return next((code for code in map(tasks.exit_code, found) if code != 0), 0)
    return 1 if any(never_ran(task) for task in found) else 0


async def until(session: Session, ids: Sequence[str], wanted: str) -> list[task_pb2.Task]:
    """The tasks, in the order given, once each has the wanted status or one after it."""
    found: dict[str, task_pb2.Task] = {}
    missing = set(ids)
    async for task in follow.changes(session, ids):
        task_id = tasks.task_id(task)
        found[task_id] = task
        if RANK[task.last_status] >= RANK[wanted]:
            missing.discard(task_id)
        if not missing:
            break
        session.progress.say(f"Waiting for {wanted}: {len(missing)} of {len(ids)} are not yet")
    return [found[each] for each in ids]


def never_ran(task: task_pb2.Task) -> bool:
    return task.last_status == "STOPPED" and not task.started_at


def report(found: Sequence[task_pb2.Task], output: str) -> None:
    def document() -> object:
        from shoal import awsjson

        return awsjson.to_document(task_pb2.DescribeTasksResponse(tasks=found))

    show.emit(
        output,
        lambda: tasks.table(found, int(time.time() * 1000), wide=output == "wide"),
        document,
        [tasks.task_id(task) for task in found],
    )
