"""`shoal autoscaling schedule`: counts by the clock."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from shoal import awsjson
from shoal.cli import find, show, text
from shoal.cli.autoscaling_resource import resource_id, service_of
from shoal.cli.options import connected, int32, output_option
from shoal.cli.register import file_option, read_document, read_message
from shoal.cli.session import Session, call
from shoal.v1 import autoscaling_pb2 as pb

COLUMNS = ("SERVICE", "ACTION", "SCHEDULE", "TIME ZONE", "MIN", "MAX", "NEXT")


@click.group()
def schedule() -> None:
    """Change the bounds of a service by the clock."""


@schedule.command()
@click.argument("service", required=False)
@click.argument("name", required=False)
@file_option
@click.option("--schedule", "when", metavar="WHEN", help="at(...), rate(...) or cron(...), as AWS writes it.")
@click.option("--timezone", metavar="ZONE", help="As Europe/Vienna.  [default: UTC]")
@click.option("--min", "low", type=int32, metavar="N", help="The least tasks from then on.")
@click.option("--max", "high", type=int32, metavar="N", help="The most tasks from then on.")
@click.option("--start", metavar="TIME", help="Not before, as 2027-01-31T08:00:00Z.")
@click.option("--end", metavar="TIME", help="Not after.")
@connected
def put(
    service: str | None,
    name: str | None,
    file: Path | None,
    when: str | None,
    timezone: str | None,
    low: int | None,
    high: int | None,
    start: str | None,
    end: str | None,
) -> None:
    """Make a scheduled action, or change what is given of the one of that name.

    The file is the JSON of `aws application-autoscaling put-scheduled-action --cli-input-json`.

    \b
    cron(0 8 ? * MON-FRI *)     minutes, hours, day of month, month, day of week, year
    rate(30 minutes)            from --start on
    at(2027-01-31T08:00:00)     once
    """
    if (file is None) == (name is None):
        raise click.UsageError("Name the service and the action, or give a file with all there is to say.")
    document = None if file is None else read_document(file)
    between = _millis("--start", start), _millis("--end", end)

    async def work(session: Session) -> str:
        if document is not None:
            request = read_message(document, pb.PutScheduledActionRequest, str(file), strict=False)
        else:
            assert service is not None
            request = pb.PutScheduledActionRequest(
                resource_id=resource_id(session, service),
                scheduled_action_name=name,
                schedule=when,
                timezone=timezone,
                start_time=between[0],
                end_time=between[1],
            )
            if low is not None or high is not None:
                bounds = pb.ScalableTargetAction(min_capacity=low, max_capacity=high)
                request.scalable_target_action.CopyFrom(bounds)
        await session.client.autoscaling.PutScheduledAction(request)
        return request.scheduled_action_name

    click.echo(call(work))


def _millis(option: str, given: str | None) -> int | None:
    """Without a zone it is UTC."""
    if given is None:
        return None
    try:
        time_ = datetime.fromisoformat(given)
    except ValueError:
        raise click.UsageError(f"{option} {given} is no time: want one like 2027-01-31T08:00:00Z.") from None
    return int((time_ if time_.tzinfo else time_.replace(tzinfo=UTC)).timestamp() * 1000)


@schedule.command("ls")
@click.argument("service", required=False)
@output_option
@connected
def list_all(service: str | None, output: str) -> None:
    """List the scheduled actions of a service, or of all."""

    async def work(session: Session) -> pb.DescribeScheduledActionsResponse:
        whole = pb.DescribeScheduledActionsResponse()
        request = pb.DescribeScheduledActionsRequest(resource_id=resource_id(session, service) if service else None)
        async for answer in find.pages(session.client.autoscaling.DescribeScheduledActions, request):
            whole.scheduled_actions.extend(answer.scheduled_actions)
        return whole

    answer = call(work)
    now_millis = int(time.time() * 1000)
    show.emit(
        output,
        lambda: show.Table(
            COLUMNS, [_row(each, now_millis) for each in answer.scheduled_actions], "No scheduled actions."
        ),
        lambda: {"ScheduledActions": [], **awsjson.to_document(answer)},
        [each.scheduled_action_name for each in answer.scheduled_actions],
    )


def _row(it: pb.ScheduledAction, now_millis: int) -> Sequence[str]:
    bounds = it.scalable_target_action
    return (
        service_of(it.resource_id),
        it.scheduled_action_name,
        it.schedule,
        it.timezone or "UTC",
        str(bounds.min_capacity) if bounds.HasField("min_capacity") else "-",
        str(bounds.max_capacity) if bounds.HasField("max_capacity") else "-",
        text.stamp(it.next_time, now_millis) if it.HasField("next_time") else "never again",
    )


@schedule.command("rm")
@click.argument("service")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@connected
def remove(service: str, names: tuple[str, ...]) -> None:
    """Delete scheduled actions of a service."""

    async def work(session: Session) -> None:
        for name in names:
            request = pb.DeleteScheduledActionRequest(
                resource_id=resource_id(session, service), scheduled_action_name=name
            )
            await session.client.autoscaling.DeleteScheduledAction(request)
            click.echo(name)

    call(work)
