import time
from collections.abc import Iterable

import click

from shoal.cli import find, show, tasks, text
from shoal.cli.options import connected, output_option
from shoal.cli.session import Session, call
from shoal.v1 import task_pb2

# Of many different ones, this many are told; `-o wide` shows the reason of each task.
REASONS_MAX = 5


@click.command()
@click.option("-a", "--all", "every", is_flag=True, help="Also those that have stopped.")
@click.option("--family", metavar="NAME", help="Only tasks of this family.")
@click.option("--group", metavar="NAME", help="Only tasks of this group.")
@click.option("--service", metavar="NAME", help="Only tasks of this service.")
@click.option("--started-by", metavar="WHO", help="Only tasks started by this.")
@click.option("--instance", metavar="ID", help="Only tasks on this instance.")
@output_option
@connected
def ps(every: bool, instance: str | None, output: str, service: str | None, **filters: str | None) -> None:
    """List tasks, the newest first."""
    chosen = {name: value for name, value in filters.items() if value is not None}
    if service is not None:
        chosen["service_name"] = service
    answer = call(lambda session: _read(session, every, instance, chosen))
    empty = "No tasks." if every else "No tasks run. All of them: shoal ps -a"
    show.emit(
        output,
        lambda: tasks.table(answer.tasks, int(time.time() * 1000), output == "wide", empty),
        lambda: _document(answer),
        [tasks.task_id(task) for task in answer.tasks],
    )
    if output in ("table", "wide"):
        _say_what_waits(answer.tasks)
        _say_who_is_silent(answer.tasks)


def _say_who_is_silent(found: Iterable[task_pb2.Task]) -> None:
    """Of tasks whose host is silent, what becomes of them."""
    reasons: dict[str, list[str]] = {}
    for task in found:
        if task.disconnect_reason:
            reasons.setdefault(task.disconnect_reason, []).append(text.short_task(tasks.task_id(task)))
    for reason, names in list(reasons.items())[:REASONS_MAX]:
        click.echo(f"{text.sentence_list(names, 3)}: {text.printable(reason)}.", err=True)


def _say_what_waits(found: Iterable[task_pb2.Task]) -> None:
    """Below the table, once for each reason."""
    reasons: dict[str, list[str]] = {}
    for task in found:
        if task.waiting_reason:
            reasons.setdefault(task.waiting_reason, []).append(text.short_task(tasks.task_id(task)))
    for reason, names in list(reasons.items())[:REASONS_MAX]:
        verb = "waits" if len(names) == 1 else "wait"
        click.echo(f"{text.sentence_list(names, 3)} {verb} for room: {text.printable(reason)}.", err=True)
    if reasons:
        click.echo(f"{click.style('Try:', bold=True)} shoal explain {next(iter(reasons.values()))[0]}", err=True)


async def _read(
    session: Session, every: bool, instance: str | None, filters: dict[str, str]
) -> task_pb2.DescribeTasksResponse:
    if instance is not None:
        filters["container_instance"] = (await find.instance_ids(session, [instance]))[0]
    statuses = {} if every else {"desired_status": "RUNNING"}
    arns = await find.task_arns(session, **filters, **statuses)
    answer = await find.describe_tasks(session, arns)
    # What ended for good between the list and the look is no news here.
    return task_pb2.DescribeTasksResponse(tasks=tasks.newest_first(answer.tasks))


def _document(answer: task_pb2.DescribeTasksResponse) -> object:
    from shoal import awsjson

    return {"tasks": [], **awsjson.to_document(answer)}
