"""`shoal rebalance`: moves tasks of services to other instances, a few at a time; the plan first."""

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

from shoal import arn, awsjson
from shoal.cli import find, show, text
from shoal.cli.failures import FAILED, NOT_FOUND, TIMED_OUT, Failed
from shoal.cli.options import connected, duration, int32, output_option
from shoal.cli.session import Session, call
from shoal.v1 import rebalance_pb2 as pb

MOVES = ("TASK", "SERVICE", "FROM", "TO", "WHY")
EFFECTS = ("INSTANCE", "HOST", "ZONE", "TASKS", "CPU", "MEMORY")
STATES = ("TASK", "SERVICE", "STATUS", "FROM", "TO", "WHY")
LOOK_SECONDS = 0.5
OVER = ("MOVED", "GIVEN_UP")


@click.group(invoke_without_command=True)
@click.option("--plan", "only_plan", is_flag=True, help="Show what would move, and change nothing.")
@click.option("--spread", is_flag=True, help="Even out each service over zones, then instances.  [default]")
@click.option("--zones", is_flag=True, help="Even out over availability zones alone.")
@click.option("--empty", metavar="INSTANCE", multiple=True, help="Take the tasks off it; may be repeated.")
@click.option("--consolidate", is_flag=True, help="Empty as many instances as the others have room for.")
@click.option("--service", "services", metavar="NAME", multiple=True, help="Only tasks of this service.")
@click.option("--max-moves", type=int32, metavar="N", help="Move no more tasks than so many.  [default: 100]")
@click.option("--parallel", type=int32, metavar="N", help="So many at once.  [default: 5]")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--wait", "waits", is_flag=True, help="Wait until it is over, and say what moves.")
@click.option("--timeout", type=duration, metavar="TIME", help="Wait no longer than this; then exit with 5.")
@output_option
@connected
def rebalance(
    only_plan: bool,
    services: tuple[str, ...],
    yes: bool,
    waits: bool,
    timeout: float | None,
    output: str,
    **how: Any,
) -> None:
    """Move tasks of services to other instances: shows the plan, asks, and begins.

    \b
    shoal rebalance --plan                        what would even out the services, after hosts have joined
    shoal rebalance --yes --wait                  do it, and wait
    shoal rebalance --empty 1f2e --empty 77a0     take the services' tasks off two instances
    shoal rebalance --consolidate --max-moves 20  empty instances that are hardly used
    shoal rebalance status                        how far it is
    shoal rebalance stop                          let what has not moved stay

    Each task's replacement runs and is healthy before the task stops, wherever the service's maximumPercent allows;
    never are fewer healthy than its minimumHealthyPercent. Tasks that are protected, or whose service is being
    deployed, stay. `shoal clusters update NAME --setting taskRebalancing=enabled` has the cluster do it by itself.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    if timeout is not None and not waits:
        raise click.UsageError("--timeout is how long to wait: add --wait.")
    fields = _fields(services, **how)
    found, fields = call(lambda session: _planned(session, fields), "Planning")
    if only_plan or not found.moves:
        _show_plan(found, output)
        return
    if output in ("table", "wide"):
        _show_plan(found, output)
    _ask(len(found.moves), yes)
    started = call(lambda session: _started(session, fields))
    if not waits:
        show.emit(
            output,
            lambda: show.Table(("REBALANCE", "MOVES"), [(started.rebalance_id, str(len(started.moves)))]),
            lambda: {"rebalance": awsjson.to_document(started)},
            [started.rebalance_id],
        )
        return
    tells = output in ("table", "wide")
    ended = call(lambda session: _until_over(session, started, timeout, tells), "Rebalancing", timeout_seconds=60.0)
    if not tells:
        show.emit(
            output, lambda: show.Table((), []), lambda: {"rebalance": awsjson.to_document(ended)}, [ended.rebalance_id]
        )
    _check_ended(ended)


@rebalance.command()
@click.argument("rebalance_id", metavar="[REBALANCE]", required=False, default="")
@output_option
@connected
def status(rebalance_id: str, output: str) -> None:
    """Show the last rebalance, or the one of that id: which tasks have moved, and which are still to."""

    async def work(session: Session) -> pb.DescribeRebalancesResponse:
        request = pb.DescribeRebalancesRequest(
            cluster=session.cluster, rebalances=[rebalance_id] if rebalance_id else []
        )
        return await session.client.rebalancing.DescribeRebalances(request)

    answer = call(work)
    if answer.failures:
        raise Failed(f"There is no rebalance {rebalance_id!r}.", "shoal rebalance status", NOT_FOUND)
    found = answer.rebalances[:1]
    show.emit(
        output,
        lambda: show.Table(STATES, [_state_row(move) for each in found for move in each.moves], "No rebalance yet."),
        lambda: {"rebalances": [awsjson.to_document(each) for each in found]},
        [each.rebalance_id for each in found],
    )
    if found and output in ("table", "wide"):
        click.echo(_summary(found[0], int(time.time() * 1000)), err=True)


@rebalance.command()
@click.option("--reason", metavar="TEXT", help="Kept with the moves that are given up for it.")
@connected
def stop(reason: str | None) -> None:
    """Stop the rebalance in progress. What has moved stays where it is."""

    async def work(session: Session) -> pb.StopRebalanceResponse:
        request = pb.StopRebalanceRequest(cluster=session.cluster, reason=reason)
        return await session.client.rebalancing.StopRebalance(request)

    click.echo(call(work).rebalance.rebalance_id)


def _fields(
    services: Sequence[str],
    spread: bool,
    zones: bool,
    empty: Sequence[str],
    consolidate: bool,
    max_moves: int | None,
    parallel: int | None,
) -> dict[str, Any]:
    """Of the request. Raises UsageError unless one thing is asked for."""
    if sum(map(bool, (spread, zones, empty, consolidate))) > 1:
        raise click.UsageError("Choose one of --spread, --zones, --empty and --consolidate.")
    kind = "EMPTY" if empty or consolidate else "ZONES" if zones else "SPREAD"
    return {
        "kind": kind,
        "container_instances": empty,
        "services": services,
        "max_moves": max_moves,
        "max_parallel": parallel,
    }


async def _planned(session: Session, fields: dict[str, Any]) -> tuple[pb.PlanRebalanceResponse, dict[str, Any]]:
    """The plan; and the fields with whole ids of instances, which may be given by how they begin."""
    if fields["container_instances"]:
        ids = await find.instance_ids(session, fields["container_instances"])
        fields = {**fields, "container_instances": list(dict.fromkeys(ids))}
    request = pb.PlanRebalanceRequest(cluster=session.cluster, **fields)
    return await session.client.rebalancing.PlanRebalance(request), fields


async def _started(session: Session, fields: dict[str, Any]) -> pb.Rebalance:
    request = pb.StartRebalanceRequest(cluster=session.cluster, **fields)
    return (await session.client.rebalancing.StartRebalance(request)).rebalance


def _show_plan(found: pb.PlanRebalanceResponse, output: str) -> None:
    show.emit(
        output,
        lambda: show.Table(MOVES, [_move_row(each) for each in found.moves], found.note or "Nothing is to be moved."),
        lambda: {"moves": [], "effects": [], **awsjson.to_document(found)},
        [arn.short(each.task_arn) for each in found.moves],
    )
    if output not in ("table", "wide"):
        return
    if found.note and found.moves:
        click.echo(text.printable(found.note), err=True)
    if found.effects:
        click.echo()
        show.print_table(show.Table(EFFECTS, [_effect_row(each) for each in found.effects]))
    for each in found.failures:
        name = arn.short(each.arn)
        what = f"Task {text.short_task(name)} stays" if each.reason == "STAYS" else f"No task of service {name} moves"
        click.echo(f"{what}: {text.printable(each.detail)}.", err=True)


def _ask(count: int, yes: bool) -> None:
    if yes:
        return
    if not is_terminal():
        raise click.UsageError("Nobody can be asked here: add --yes to begin, or --plan to see what would move.")
    click.confirm(f"Move {text.plural(count, 'task')}?", abort=True, err=True)


def is_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


async def _until_over(session: Session, started: pb.Rebalance, timeout: float | None, tells: bool) -> pb.Rebalance:
    told: set[str] = set()
    request = pb.DescribeRebalancesRequest(cluster=session.cluster, rebalances=[started.rebalance_id])
    seen = started
    try:
        async with asyncio.timeout(timeout):
            while seen.status == "IN_PROGRESS":
                await asyncio.sleep(LOOK_SECONDS)
                found = (await session.client.rebalancing.DescribeRebalances(request)).rebalances
                if not found:
                    raise Failed("The rebalance is not known any more.", "shoal rebalance status", NOT_FOUND)
                seen = found[0]
                _tell(session, seen, told, tells)
    except TimeoutError:
        left = sum(move.status not in OVER for move in seen.moves)
        raise Failed(
            f"After {text.span(timeout or 0.0)} {text.plural(left, 'task')} {'is' if left == 1 else 'are'} still to"
            " move; it goes on.",
            "shoal rebalance status; shoal rebalance stop",
            TIMED_OUT,
        ) from None
    return seen


def _tell(session: Session, seen: pb.Rebalance, told: set[str], tells: bool) -> None:
    over = [move for move in seen.moves if move.status in OVER]
    session.progress.say(f"Rebalancing: {len(over)} of {text.plural(len(seen.moves), 'task')}")
    for move in over:
        if tells and move.task_arn not in told:
            why = f": {text.printable(move.status_reason)}" if move.status_reason else ""
            source = text.short_instance(arn.short(move.source_container_instance_arn))
            click.echo(f"{_task(move)}   {move.service_name}   {move.status}   from {source}{why}")
        told.add(move.task_arn)


def _check_ended(ended: pb.Rebalance) -> None:
    """Raises Failed unless all that was planned has moved."""
    stayed = sum(move.status == "GIVEN_UP" for move in ended.moves)
    if ended.status != "COMPLETED" or stayed:
        raise Failed(
            f"{text.plural(stayed, 'task')} did not move: {ended.status_reason}.", "shoal rebalance status", FAILED
        )


def _summary(seen: pb.Rebalance, now_millis: int) -> str:
    over = sum(move.status in OVER for move in seen.moves)
    why = f": {seen.status_reason}" if seen.status_reason else f": {over} of {text.plural(len(seen.moves), 'task')}"
    by = f" by {seen.created_by}" if seen.created_by else ""
    age = text.age(seen.created_at, now_millis)
    return text.printable(f"{seen.kind} {seen.status}{why}. Begun {age} ago{by}; {seen.rebalance_id}")


def _move_row(move: pb.TaskMove) -> Sequence[str]:
    return (_task(move), move.service_name, *_way(move), move.reason)


def _state_row(move: pb.TaskMove) -> Sequence[str]:
    return (_task(move), move.service_name, move.status, *_way(move), move.status_reason or move.reason)


def _task(move: pb.TaskMove) -> str:
    return text.short_task(arn.short(move.task_arn))


def _way(move: pb.TaskMove) -> tuple[str, str]:
    source, target = move.source_container_instance_arn, move.target_container_instance_arn
    return text.short_instance(arn.short(source)), text.short_instance(arn.short(target))


def _effect_row(effect: pb.RebalanceEffect) -> Sequence[str]:
    return (
        text.short_instance(arn.short(effect.container_instance_arn)),
        effect.ec2_instance_id or "-",
        effect.availability_zone or "-",
        f"{effect.tasks_before} -> {effect.tasks_after}",
        f"{_percent(effect.cpu_before, effect.cpu)} -> {_percent(effect.cpu_after, effect.cpu)}",
        f"{_percent(effect.memory_before, effect.memory)} -> {_percent(effect.memory_after, effect.memory)}",
    )


def _percent(part: int, whole: int) -> str:
    return f"{round(100 * part / whole)} %" if whole else "-"
