"""Stays with a deployment until it is over: old and new tasks as they come and go, and how it went."""

import asyncio
import contextlib
import sys
import time

import click

from shoal import errors
from shoal.cli import deployment_failures, outages, service_find, service_words, show, text
from shoal.cli.failures import FAILED, INTERRUPTED, OK
from shoal.cli.session import Session
from shoal.v1 import service_pb2 as pb

# As timeout(1) says it: what was waited for may still happen.
DEPLOYMENT_TIMED_OUT = 124

OVER = frozenset({"SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"})
LOOK_SECONDS = 0.5


async def attend(session: Session, name: str, deployment: str, timeout_seconds: float) -> int:
    """`deployment`: its ARN. 0 once it was SUCCESSFUL, 1 if it ended otherwise, 124 when the time is up; it goes on
    then, as it does after Ctrl-C."""
    shown = _Shown(session, name)
    try:
        async with asyncio.timeout(timeout_seconds):
            ended = await _until_over(session, name, deployment, shown)
    except TimeoutError:
        shown.end()
        click.echo(f"{name}: not over within {text.span(timeout_seconds)}; it goes on.", err=True)
        shown.say_last_event()
        await _say_why(session, deployment)
        _say_how(f"shoal service wait {name}, or shoal service rollback {name}")
        return DEPLOYMENT_TIMED_OUT
    except asyncio.CancelledError:
        shown.end()
        click.echo(f"\n{name}: the deployment goes on without you.", err=True)
        _say_how(f"shoal service wait {name}, or shoal service rollback {name}")
        return INTERRUPTED
    shown.end()
    code = _report(name, ended)
    if code != OK:
        await _say_why(session, deployment)
        _say_how(f"shoal service events {name}; shoal ps -a --service {name}; shoal logs TASK")
    return code


async def _until_over(session: Session, name: str, deployment: str, shown: "_Shown") -> pb.ServiceDeployment:
    async def look() -> pb.ServiceDeployment:
        found = await service_find.deployment(session, deployment)
        shown.look(await service_find.service(session, name), found.created_at)
        return found

    while True:
        found = await outages.through(session, look)
        if found.status in OVER:
            return found
        await asyncio.sleep(LOOK_SECONDS)


def _report(name: str, ended: pb.ServiceDeployment) -> int:
    seconds = (ended.finished_at or ended.stopped_at or ended.updated_at) - ended.created_at
    took = text.span(seconds / 1000)
    if ended.status == "SUCCESSFUL":
        click.echo(f"{name}: {show.styled('SUCCESSFUL')} in {took}")
        return OK
    sys.stdout.flush()
    reason = ended.rollback.reason or ended.status_reason or "no reason was given"
    click.echo(f"{name}: {show.styled(ended.status)} after {took}: {text.printable(reason)}", err=True)
    if ended.HasField("rollback"):
        click.echo(f"It went back to revision {service_words.short_id(ended.rollback.service_revision_arn)}.", err=True)
    return FAILED


async def _say_why(session: Session, deployment: str) -> None:
    """What its tasks ended of, as far as that can be asked now."""
    with contextlib.suppress(errors.ShoalError):
        for reason in await deployment_failures.reasons(session, deployment):
            click.echo(f"  {text.printable(reason)}", err=True)


def _say_how(hint: str) -> None:
    click.echo(f"{click.style('Try:', bold=True)} {hint}", err=True)


class _Shown:
    """What was said so far: on a terminal one line that changes, elsewhere a line for each change, and each event."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._name = name
        self._line = ""
        self._known: set[str] = set()
        self._last_event = ""

    def look(self, service: pb.Service, began_millis: int) -> None:
        """What the service says of the deployment may come with its very beginning, as that it cannot go on."""
        new = [each for each in service.events if each.id not in self._known and each.created_at >= began_millis]
        self._known = {each.id for each in service.events}
        if new:
            self._last_event = new[0].message
        line = f"{self._name}: {service_words.stands(service)}"
        if sys.stderr.isatty():
            self._session.progress.say(line)
            return
        for event in reversed(new):
            _say(event.message, event.created_at)
        if line != self._line:
            self._line = line
            _say(line, int(time.time() * 1000))

    def say_last_event(self) -> None:
        """Which tells what a deployment waits for, and is not shown on a terminal otherwise."""
        if self._last_event:
            click.echo(f"  {text.printable(self._last_event)}", err=True)

    def end(self) -> None:
        self._session.progress.end()


def _say(line: str, millis: int) -> None:
    click.echo(f"{text.clock(millis)}   {text.printable(line)}", err=True)


def new_deployment(before: pb.Service, after: pb.Service) -> str:
    """The ARN of the deployment that a change began; empty if it began none."""
    began = service_find.primary(after).service_deployment_arn
    return began if began != service_find.primary(before).service_deployment_arn else ""
