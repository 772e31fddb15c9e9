import time
from collections.abc import Sequence

import click

from shoal import arn
from shoal.cli import find, show, text
from shoal.cli.failures import FAILED, OK
from shoal.cli.options import connected, duration
from shoal.cli.session import Session, call
from shoal.v1 import service_pb2 as pb

# The most that the cluster takes in one call.
TASKS_AT_ONCE = 10


@click.command()
@click.argument("names", metavar="TASK...", nargs=-1, required=True)
@click.option("--for", "seconds", type=duration, metavar="DURATION", help="1m to 2d.  [default: 2h]")
@click.option("--off", is_flag=True, help="Take the protection away.")
@connected
def protect(names: tuple[str, ...], seconds: float | None, off: bool) -> int:
    """Keep deployments and scale-ins from stopping tasks of services, until so long from now.

    For a task that does something long and should not be asked to stop meanwhile.
    """
    if off and seconds is not None:
        raise click.UsageError("--for and --off are not for the same call.")
    minutes = None if seconds is None else -(-int(seconds) // 60)
    answer = call(lambda session: _protect(session, names, minutes, off))
    for task in answer.protected_tasks:
        name = text.short_task(arn.short(task.task_arn))
        until = text.stamp(task.expiration_date, int(time.time() * 1000)) if task.protection_enabled else ""
        click.echo(f"{name}   {f'protected until {until}' if until else 'not protected'}")
    for failure in answer.failures:
        why = failure.detail or "there is no such task"
        click.echo(f"{text.short_task(arn.short(failure.arn))}   {show.styled('fail')}: {why}", err=True)
    return FAILED if answer.failures else OK


async def _protect(
    session: Session, names: Sequence[str], minutes: int | None, off: bool
) -> pb.UpdateTaskProtectionResponse:
    whole = pb.UpdateTaskProtectionResponse()
    for batch in find.batches(await find.task_ids(session, names), TASKS_AT_ONCE):
        request = pb.UpdateTaskProtectionRequest(
            cluster=session.cluster, tasks=batch, protection_enabled=not off, expires_in_minutes=minutes
        )
        whole.MergeFrom(await session.client.services.UpdateTaskProtection(request))
    return whole
