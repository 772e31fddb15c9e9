"""`shoal service wait`: until services are as they are wanted."""

import asyncio
from collections.abc import Sequence

import click

from shoal.cli import outages, service_find, service_words, show
from shoal.cli.failures import FAILED, OK, TIMED_OUT, Failed
from shoal.cli.options import connected, duration
from shoal.cli.session import Session, call
from shoal.v1 import service_pb2 as pb

STEADY, INACTIVE = "STEADY", "INACTIVE"
LOOK_SECONDS = 0.5


@click.command()
@click.argument("names", metavar="SERVICE...", nargs=-1, required=True)
@click.option(
    "--for",
    "wanted",
    type=click.Choice((STEADY, INACTIVE), case_sensitive=False),
    default=STEADY,
    show_default=True,
    help="STEADY: as many tasks as are wanted run, of one deployment. INACTIVE: deleted, and no task is left.",
)
@click.option("--timeout", type=duration, default="10m", show_default=True, help="Give up then, with exit code 5.")
@connected
def wait(names: tuple[str, ...], wanted: str, timeout: float) -> int:
    """Wait until services are steady, or gone.

    Exits with 0 once they are; with 1 if the last deployment of one has failed; with 5 on timeout.
    """
    return call(lambda session: attend(session, names, wanted.upper(), timeout), f"Waiting for {wanted.upper()}")


async def attend(session: Session, names: Sequence[str], wanted: str, timeout_seconds: float) -> int:
    """The exit code. Raises Failed."""
    try:
        async with asyncio.timeout(timeout_seconds):
            found = await _until(session, names, wanted)
    except TimeoutError:
        hint = f"shoal service describe {' '.join(names)}"
        raise Failed(f"Not {wanted} within {timeout_seconds:g} s.", hint, TIMED_OUT) from None
    session.progress.end()
    failed = [each for each in found if service_find.primary(each).rollout_state == "FAILED"]
    for each in failed:
        reason = service_find.primary(each).rollout_state_reason or "its last deployment failed"
        click.echo(f"{each.service_name}: {show.styled('FAILED')}: {reason}", err=True)
    return FAILED if failed else OK


async def _until(session: Session, names: Sequence[str], wanted: str) -> list[pb.Service]:
    while True:
        found = await outages.through(session, lambda: service_find.services(session, names))
        open_ones = [each for each in found if not _is_so(each, wanted)]
        if not open_ones:
            return found
        session.progress.say("\n".join(f"{each.service_name}: {service_words.stands(each)}" for each in open_ones))
        await asyncio.sleep(LOOK_SECONDS)


def _is_so(service: pb.Service, wanted: str) -> bool:
    if wanted == INACTIVE:
        return service.status == INACTIVE
    if service.status != "ACTIVE":
        raise Failed(f"Service {service.service_name} is {service.status}: it was deleted.", "shoal service ls")
    return service_find.is_steady(service)
