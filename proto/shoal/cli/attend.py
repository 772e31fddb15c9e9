"""Stays with tasks until they have stopped: their life as progress, their output, their exit code."""

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import Sequence

import click

from shoal import arn, errors
from shoal.cli import follow, log_sources, log_streams, tasks, text
from shoal.cli.failures import INTERRUPTED, NO_EXIT_CODE, warn
from shoal.cli.session import Session
from shoal.v1 import log_pb2, task_pb2

# What a container wrote last may come a moment after the word that it has ended.
LAST_LINES_SECONDS = 10.0
# Of many tasks that failed, this many are explained; they tend to have failed alike.
EXPLAINED_MAX = 10


async def attend(session: Session, task_ids: Sequence[str], shows_logs: bool) -> int:
    """The exit code of the first task, in order, that did not end with 0. Ctrl-C stops the tasks, once."""
    watching = asyncio.create_task(_watch(session, task_ids, shows_logs))
    try:
        return await asyncio.shield(watching)
    except asyncio.CancelledError:
        return await _interrupted(session, task_ids, watching)


async def _interrupted(session: Session, task_ids: Sequence[str], watching: "asyncio.Task[int]") -> int:
    current = asyncio.current_task()
    if current is not None:
        current.uncancel()
    what = "the task" if len(task_ids) == 1 else f"{len(task_ids):,} tasks"
    click.echo(f"\nStopping {what}; press Ctrl-C again to leave without waiting.", err=True)
    session.progress.begin()
    session.progress.say(f"Stopping {what}")
    for task_id in task_ids:
        with contextlib.suppress(errors.Refused):
            await session.client.cluster.StopTask(
                task_pb2.StopTaskRequest(cluster=session.cluster, task=task_id, reason="interrupted by the user")
            )
    await watching
    return INTERRUPTED


async def _watch(session: Session, task_ids: Sequence[str], shows_logs: bool) -> int:
    latest: dict[str, task_pb2.Task] = {}
    statuses: Counter[str] = Counter()
    output: asyncio.Task[None] | None = None
    told = False
    async for task in follow.changes(session, task_ids):
        task_id = tasks.task_id(task)
        if task_id in latest:
            statuses[latest[task_id].last_status] -= 1
        latest[task_id] = task
        statuses[task.last_status] += 1
        if task.waiting_reason and not told:
            told = True
            _say_it_waits(session, task, len(task_ids))
        session.progress.say(_line(task) if len(task_ids) == 1 else _summary(statuses, len(task_ids)))
        if shows_logs and output is None and _has_output(task):
            output = asyncio.create_task(_copy(session, task))
    if output is not None:
        await _finish(output)
    session.progress.end()
    _explain([latest[each] for each in task_ids], shows_logs)
    codes = [tasks.exit_code(latest[each]) for each in task_ids]
    return next((code for code in codes if code != 0), 0)


def _say_it_waits(session: Session, task: task_pb2.Task, count: int) -> None:
    """Once, and whether or not there is a terminal: it may wait for long."""
    session.progress.end()
    name = text.short_task(tasks.task_id(task))
    click.echo(f"{name} waits for room: {text.printable(task.waiting_reason)}.", err=True)
    what = "it" if count == 1 else f"all {count:,}"
    click.echo(f"Ctrl-C stops {what}; what would help: shoal explain {name}", err=True)
    session.progress.begin()


async def _copy(session: Session, task: task_pb2.Task) -> None:
    request = log_pb2.ReadLogsRequest(cluster=session.cluster, follow=True)
    try:
        await log_streams.copy(session, log_sources.sources(task), request)
    except errors.ShoalError as error:
        warn(f"the output cannot be shown: {error.message}")


async def _finish(output: "asyncio.Task[None]") -> None:
    try:
        await asyncio.wait_for(output, LAST_LINES_SECONDS)
    except TimeoutError:
        warn("the end of the output did not come in time: shoal logs shows it")


def _has_output(task: task_pb2.Task) -> bool:
    """True once a container ran; a task may well be STOPPING without one that ever did."""
    return bool(task.started_at) or any(each.HasField("exit_code") for each in task.containers)


def _line(task: task_pb2.Task) -> str:
    where = text.short_instance(arn.short(task.container_instance_arn))
    what = "waits for room" if task.last_status == "PROVISIONING" else task.last_status
    return f"{text.short_task(tasks.task_id(task))} {what}{f' on {where}' if where else ''}"


def _summary(statuses: Counter[str], count: int) -> str:
    waiting = f"{statuses['PROVISIONING']:,} waiting, " if statuses["PROVISIONING"] else ""
    return f"{waiting}{statuses['RUNNING']:,} running, {statuses['STOPPED']:,} of {count:,} stopped"


def _explain(ended: Sequence[task_pb2.Task], shows_logs: bool) -> None:
    """A task that ended well, with its output shown, speaks for itself; any other is explained."""
    sys.stdout.flush()
    if len(ended) == 1:
        if tasks.exit_code(ended[0]) != 0 or not shows_logs:
            _explain_one(ended[0])
        return
    failed = [task for task in ended if tasks.exit_code(task) != 0]
    for task in failed[:EXPLAINED_MAX]:
        _explain_one(task)
    click.echo(f"{text.plural(len(ended), 'task')} stopped, {len(failed):,} not with exit code 0.", err=True)


def _explain_one(task: task_pb2.Task) -> None:
    code = tasks.exit_code(task)
    name = text.short_task(tasks.task_id(task))
    said = "no exit code" if code == NO_EXIT_CODE else f"exit code {code}"
    click.echo(f"{name} STOPPED, {said}. {text.printable(tasks.why(task))}".rstrip(), err=True)
