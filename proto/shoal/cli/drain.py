"""`shoal drain`: takes instances out of service, and says who is still there until nobody is."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import click

from shoal import arn
from shoal.cli import chosen, find, follow, instance_words, show, stop, tasks, text
from shoal.cli.failures import FAILED, NOT_FOUND, TIMED_OUT, Failed
from shoal.cli.instances import emit
from shoal.cli.options import connected, duration, output_option
from shoal.cli.session import Session, call
from shoal.v1 import container_instance_pb2
from shoal.v1.container_instance_pb2 import ContainerInstance

UPDATED_AT_ONCE = 10  # what the service takes
LOOK_SECONDS = 0.5
REASON = "Its instance is drained"
INTERRUPTION_SECONDS_MAX = 86_400  # what the service takes


@click.command()
@click.argument("names", metavar="[INSTANCE...]", nargs=-1)
@chosen.where_option
@click.option("--wait", "waits", is_flag=True, help="Wait until no task is left there, and say which ends.")
@click.option("--stop", "stops", is_flag=True, help="Stop the tasks that run there, and wait.")
@click.option("--deadline", type=duration, metavar="TIME", help="Wait so long, as 60s or 10m, then stop what is left.")
@click.option("--timeout", type=duration, metavar="TIME", help="Wait no longer than this; then exit with 5.")
@click.option("--interruption", type=duration, metavar="TIME", help="The hosts go in so long, as 120s: see below.")
@click.option("--reason", metavar="TEXT", help="Of an interruption; kept with the tasks that end for it.")
@click.option("--undo", is_flag=True, help="Place tasks there again, as `shoal activate`.")
@output_option
@connected
def drain(
    names: tuple[str, ...],
    expression: str | None,
    waits: bool,
    stops: bool,
    deadline: float | None,
    timeout: float | None,
    interruption: float | None,
    reason: str | None,
    undo: bool,
    output: str,
) -> None:
    """Place no more tasks on instances; those that run there go on until they end.

    \b
    shoal drain 1f2e                      no new tasks there
    shoal drain 1f2e --wait               and wait until the last one has ended
    shoal drain 1f2e --deadline 10m       and stop what is left after ten minutes
    shoal drain 1f2e --stop               and stop all of them at once
    shoal drain 1f2e --interruption 120s  the host goes in two minutes, as a spot host does
    shoal drain 1f2e --undo               take tasks again

    Of an interruption, tasks hear SIGTERM at once and have ended before the host goes, whatever their stopTimeout:
    their stop code is TerminationNotice. Those that were run with --on-disconnect go on elsewhere.
    """
    _check_interruption(interruption, reason, stops or deadline is not None)
    waits = waits or stops or deadline is not None
    if undo and (waits or timeout is not None or interruption is not None):
        raise click.UsageError("--undo waits for nothing: take the other options out.")
    if stops and deadline is not None:
        raise click.UsageError("Say --stop, to stop them at once, or --deadline, to stop them later; not both.")
    if timeout is not None and not waits:
        raise click.UsageError("--timeout is how long to wait: add --wait, --stop or --deadline.")
    going = {} if interruption is None else {"interruption_seconds": round(interruption), "reason": reason}
    ids = _set_status(names, expression, "ACTIVE" if undo else "DRAINING", output, **going)
    if waits:
        tells = output in ("table", "wide")
        call(lambda session: _empty(session, ids, 0.0 if stops else deadline, timeout, tells), "Draining")


def _check_interruption(seconds: float | None, reason: str | None, stops: bool) -> None:
    """Raises UsageError."""
    if seconds is None:
        if reason is not None:
            raise click.UsageError("--reason is of an interruption: add --interruption TIME, or take it out.")
        return
    if not 1 <= seconds <= INTERRUPTION_SECONDS_MAX:
        raise click.UsageError("--interruption must be from 1s to 24h. Until then, drain without it.")
    if stops:
        raise click.UsageError("--interruption stops the tasks itself: take --stop and --deadline out.")


@click.command()
@click.argument("names", metavar="[INSTANCE...]", nargs=-1)
@chosen.where_option
@output_option
@connected
def activate(names: tuple[str, ...], expression: str | None, output: str) -> None:
    """Place tasks on drained instances again."""
    _set_status(names, expression, "ACTIVE", output)


def _set_status(names: Sequence[str], expression: str | None, status: str, output: str, **going: Any) -> list[str]:
    """Says what became of each; their ids. Raises Failed if some could not be found; the others are changed all the
    same."""
    chosen.check_choice(names, expression)

    async def work(session: Session) -> container_instance_pb2.UpdateContainerInstancesStateResponse:
        ids = await chosen.instance_ids(session, names, expression)
        whole = container_instance_pb2.UpdateContainerInstancesStateResponse()
        for batch in find.batches(ids, UPDATED_AT_ONCE):
            request = container_instance_pb2.UpdateContainerInstancesStateRequest(
                cluster=session.cluster, container_instances=batch, status=status, **going
            )
            whole.MergeFrom(await session.client.cluster.UpdateContainerInstancesState(request))
        return whole

    answer = call(work)
    if answer.container_instances or output in ("json", "yaml"):
        rows = [_status_row(each) for each in answer.container_instances]
        emit(answer, output, lambda: show.Table(("INSTANCE", "HOST", "STATUS", "TASKS"), rows))
    if answer.failures:
        known = {"MISSING": "there is no such instance"}
        lines = [
            f"{arn.short(each.arn)}: {known.get(each.reason) or each.detail or each.reason}" for each in answer.failures
        ]
        missing = all(each.reason == "MISSING" for each in answer.failures)
        raise Failed("\n".join(lines), "shoal instances", NOT_FOUND if missing else FAILED)
    return [_id(each) for each in answer.container_instances]


def _status_row(instance: ContainerInstance) -> Sequence[str]:
    there = _tasks_there(instance)
    words = f"{text.plural(there, 'task')} there" if there else "none"
    if there and instance.HasField("interruption"):
        left = instance_words.time_left(instance, int(time.time() * 1000))
        words = f"{there:,} end{'s' if there == 1 else ''}, {left}"
    elif there and instance.status == "DRAINING":
        words = f"{there:,} go{'es' if there == 1 else ''} on"
    return (text.short_instance(_id(instance)), instance.ec2_instance_id or "-", instance.status, words)


async def _empty(
    session: Session, ids: Sequence[str], deadline: float | None, timeout: float | None, tells: bool
) -> None:
    """Until no task is left on these instances. After `deadline` seconds, what is left is stopped; after `timeout`, it
    raises Failed, which says who is left."""
    await _warn_of_silent(session, ids)
    try:
        async with asyncio.timeout(timeout):
            if deadline is None or not await _is_empty_in(session, ids, deadline, tells):
                if deadline is not None:
                    await stop.ask_to_stop(session, await _running(session, ids), REASON)
                await _until_empty(session, ids, tells)
    except TimeoutError:
        raise await _not_in_time(session, ids, timeout or 0.0) from None
    if tells:
        click.echo(f"No task is left on {chosen.some(ids)}.")


async def _is_empty_in(session: Session, ids: Sequence[str], seconds: float, tells: bool) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await _until_empty(session, ids, tells)
    except TimeoutError:
        return False
    return True


async def _until_empty(session: Session, ids: Sequence[str], tells: bool) -> None:
    """First of those that nobody has asked to stop, then of all."""
    await _follow(session, await _running(session, ids), tells)
    while True:
        if not any(map(_tasks_there, await _described(session, ids))):
            return
        await asyncio.sleep(LOOK_SECONDS)


async def _follow(session: Session, left: Sequence[str], tells: bool) -> None:
    """Says of each that it has ended, and how many go on."""
    living = dict.fromkeys(left)
    _say_progress(session, list(living))
    async for task in follow.changes(session, left):
        name = tasks.task_id(task)
        if task.last_status != "STOPPED" or name not in living:
            continue
        del living[name]
        _say_progress(session, list(living))
        if tells:
            status = tasks.status(task, int(time.time() * 1000))
            definition = arn.short(task.task_definition_arn)
            click.echo(f"{text.short_task(name)}   {definition}   {status}   {len(living):,} left")


def _say_progress(session: Session, left: Sequence[str]) -> None:
    names = text.sentence_list(map(text.short_task, left))
    session.progress.say(f"Draining: {text.plural(len(left), 'task')} left{f', {names}' if left else ''}")


async def _running(session: Session, ids: Sequence[str]) -> list[str]:
    """Ids of the tasks there that nobody has asked to stop yet."""
    lists = [await find.task_arns(session, container_instance=each, desired_status="RUNNING") for each in ids]
    return [arn.short(each) for found in lists for each in found]


async def _described(session: Session, ids: Sequence[str]) -> Sequence[ContainerInstance]:
    return (await find.describe_instances(session, ids)).container_instances


async def _warn_of_silent(session: Session, ids: Sequence[str]) -> None:
    there = await _described(session, ids)
    silent = [_id(each) for each in there if not each.agent_connected and _tasks_there(each)]
    if silent:
        verb = "is" if len(silent) == 1 else "are"
        click.echo(
            f"{chosen.some(silent)} {verb} silent: what runs there ends when the host returns, or is given up by"
            f" `shoal instances deregister --force {text.short_instance(silent[0])}`.",
            err=True,
        )


async def _not_in_time(session: Session, ids: Sequence[str], seconds: float) -> Failed:
    left = await _running(session, ids)
    count = sum(map(_tasks_there, await _described(session, ids)))
    names = f": {text.sentence_list(map(text.short_task, left))}" if left else ""
    where = text.short_instance(ids[0])
    return Failed(
        f"{text.plural(count, 'task')} {'is' if count == 1 else 'are'} still there after {text.span(seconds)}{names}.",
        f"shoal ps --instance {where}; shoal drain {where} --stop",
        TIMED_OUT,
    )


def _tasks_there(instance: ContainerInstance) -> int:
    return instance.running_tasks_count + instance.pending_tasks_count


def _id(instance: ContainerInstance) -> str:
    return arn.short(instance.container_instance_arn)
