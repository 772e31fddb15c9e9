import time

import click

from shoal import awsjson
from shoal.cli import service_find, service_words, show
from shoal.cli.options import connected, output_option
from shoal.cli.session import Session, call
from shoal.v1 import service_pb2 as pb


@click.command()
@click.argument("names", metavar="[SERVICE...]", nargs=-1)
@output_option
@connected
def ls(names: tuple[str, ...], output: str) -> None:
    """List services, and how many of their tasks run."""

    async def work(session: Session) -> list[pb.Service]:
        chosen = list(names) or await service_find.every_name(session)
        return await service_find.services(session, chosen) if chosen else []

    found = sorted(call(work), key=lambda each: each.service_name)
    now_millis = int(time.time() * 1000)
    show.emit(
        output,
        lambda: show.Table(
            service_words.COLUMNS, [service_words.row(each, now_millis) for each in found], "No services."
        ),
        lambda: {"services": [awsjson.to_document(each) for each in found]},
        [each.service_name for each in found],
    )
