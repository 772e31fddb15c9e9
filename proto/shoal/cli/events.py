import json
import time
from collections.abc import AsyncIterator, Sequence

import click

from shoal import arn, errors
from shoal.cli import find, job_find, text
from shoal.cli.failures import warn
from shoal.cli.options import connected
from shoal.cli.session import Session, call
from shoal.v1 import event_pb2

JOB_EVENT = "Batch Job State Change"


@click.command()
@click.argument("tasks", metavar="[TASK...]", nargs=-1)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as things happen.")
@click.option("-n", "--tail", type=click.IntRange(min=0), help="Of the past, only the last events.")
@click.option(
    "-o", "--output", type=click.Choice(("table", "json", "name")), default="table", help="json: one document a line."
)
@connected
def events(tasks: tuple[str, ...], following: bool, tail: int | None, output: str) -> None:
    """Show what happened to tasks, instances and services, the oldest first."""

    async def work(session: Session) -> None:
        ids = await find.task_ids(session, tasks)
        past = await _past(session, ids)
        session.progress.end()
        for event in past if tail is None else past[len(past) - min(tail, len(past)) :]:
            _print(event, output)
        if following:
            async for event in _future(session, ids, past[-1].revision if past else None):
                _print(event, output)

    call(work)


async def _past(session: Session, ids: Sequence[str]) -> list[event_pb2.Event]:
    request = event_pb2.ListEventsRequest(cluster=session.cluster, tasks=ids)
    return [event async for page in find.pages(session.client.cluster.ListEvents, request) for event in page.events]


async def _future(session: Session, ids: Sequence[str], after: int | None) -> AsyncIterator[event_pb2.Event]:
    while True:
        try:
            async for answer in session.client.watch(session.cluster, ids, after):
                for event in answer.events:
                    yield event
        except errors.HistoryLost:
            warn("some events were missed: they are no longer kept")
            after = None


def _print(event: event_pb2.Event, output: str) -> None:
    if output == "json":
        from shoal import awsjson

        click.echo(json.dumps(awsjson.to_document(event), ensure_ascii=False))
    elif output == "name":
        click.echo(_subject(event)[1])
    else:
        kind, name = _subject(event)
        shorten = {"task": text.short_task, "instance": text.short_instance, "job": job_find.short}
        short = shorten.get(kind, text.printable)(name)
        when = text.stamp(event.time, int(time.time() * 1000))
        click.echo(f"{when}   {kind:<8}   {short:<12}   {text.printable(event.message)}".rstrip())


def _subject(event: event_pb2.Event) -> tuple[str, str]:
    """(task, instance, alarm, job or service, its id or name)"""
    if event.WhichOneof("detail") == "service_action":
        return "service", arn.short(event.service_action.service_arn)
    if event.WhichOneof("detail") == "alarm":
        return "alarm", event.alarm.alarm_name
    if event.detail_type == JOB_EVENT:
        return "job", event.job.job_id
    if event.WhichOneof("detail") == "container_instance":
        return "instance", arn.short(event.container_instance.container_instance_arn)
    return "task", arn.short(event.task.task_arn)
