"""`shoal repository events`: what happened to images."""

import json
import time
from collections import deque
from datetime import datetime
from typing import Any

import click

from shoal import errors
from shoal.cli import text
from shoal.cli.failures import warn
from shoal.cli.options import connected
from shoal.cli.registry_reach import registry_option
from shoal.cli.repository_calls import ask

POLL_SECONDS = 1.0
PAGE = 1000


@click.command(short_help="Show what happened to images in the last week.")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on as things happen.")
@click.option("-n", "--tail", type=click.IntRange(min=0), help="Of the past, only the last events.")
@click.option(
    "-o", "--output", type=click.Choice(("table", "json")), default="table", help="json: one document a line."
)
@registry_option
@connected
def events(name: str | None, following: bool, tail: int | None, output: str, registry: str | None) -> None:
    """Show pushes, pulls and deletions of images in the last week, the oldest first: of one repository, or of all."""
    request: dict[str, Any] = {"maxResults": PAGE, **({"repositoryName": name} if name else {})}
    past: deque[dict[str, Any]] = deque(maxlen=tail)
    while True:
        answer = ask(registry, "ListImageEvents", request)
        request["nextToken"] = answer["nextToken"]
        past.extend(answer["events"])
        if answer["isLast"]:
            break
    for event in past:
        _print(event, output)
    is_away = False
    while following:
        time.sleep(POLL_SECONDS)
        try:
            answer = ask(registry, "ListImageEvents", request)
        except (errors.Unreachable, errors.TimedOut) as error:
            # It may be started again just now, and tells then what happened meanwhile.
            if not is_away:
                warn(f"{error.message} It is asked again.")
            is_away = True
            continue
        is_away = False
        request["nextToken"] = answer["nextToken"]
        for event in answer["events"]:
            _print(event, output)


def _print(event: dict[str, Any], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(event, ensure_ascii=False))
        return
    detail = event["detail"]
    at = int(datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp() * 1000)
    when = text.stamp(at, int(time.time() * 1000))
    tag = f":{detail['image-tag']}" if "image-tag" in detail else ""
    image = f"{detail['repository-name']}{tag}@{detail['image-digest'][:19]}"
    words = f"{when}   {detail['action-type']:<7}   {image}   by {text.printable(detail.get('caller', '?'))}"
    click.echo(words)
