import asyncio
import json
import time
from collections.abc import Iterable

import click

from shoal import awsjson
from shoal.cli import service_find, text
from shoal.cli.options import connected
from shoal.cli.session import Session, call
from shoal.v1 import service_pb2 as pb

LOOK_SECONDS = 1.0


@click.command()
@click.argument("name", metavar="SERVICE")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as things happen.")
@click.option("-n", "--tail", type=click.IntRange(min=0), help="Of the past, only the last events.")
@click.option(
    "-o", "--output", type=click.Choice(("table", "json")), default="table", help="json: one document a line."
)
@connected
def events(name: str, following: bool, tail: int | None, output: str) -> None:
    """Show what happened to a service, the oldest first. The last hundred events are kept."""

    async def work(session: Session) -> None:
        found = await service_find.service(session, name)
        past = list(reversed(found.events))
        session.progress.end()
        _print(past if tail is None else past[len(past) - min(tail, len(past)) :], output)
        seen = {each.id for each in past}
        while following:
            await asyncio.sleep(LOOK_SECONDS)
            found = await service_find.service(session, name)
            new = [each for each in reversed(found.events) if each.id not in seen]
            seen = {each.id for each in found.events}
            _print(new, output)

    call(work)


def _print(events: Iterable[pb.ServiceEvent], output: str) -> None:
    for event in events:
        if output == "json":
            click.echo(json.dumps(awsjson.to_document(event), ensure_ascii=False))
        else:
            when = text.stamp(event.created_at, int(time.time() * 1000))
            click.echo(f"{when}   {text.printable(event.message)}")
