"""`shoal image prepull`: an image onto instances before tasks need it there."""

from collections import Counter
from collections.abc import Iterable, Sequence

import click

from shoal import arn
from shoal.cli import chosen, find, show, text
from shoal.cli.failures import FAILED, Failed
from shoal.cli.options import connected, output_option
from shoal.cli.session import Session, call
from shoal.v1 import image_pb2

AT_ONCE_MAX = 64
COLUMNS = ("INSTANCE", "HOST", "IMAGE", "WHY")
_WORDS = {
    "WAITING": "waiting",
    "PULLING": "pulling",
    "PULLED": "pulled",
    "PRESENT": "there already",
    "FAILED": "failed",
}


@click.command()
@click.argument("image")
@click.argument("names", metavar="[INSTANCE...]", nargs=-1)
@click.option(
    "--where",
    "--instances",
    "expression",
    metavar="EXPRESSION",
    help="All instances that match, as 'attribute:rack == r1'.",
)
@click.option("--wait", "waits", is_flag=True, help="Wait until every instance has it; Ctrl-C ends what is under way.")
@click.option("--at-once", type=click.IntRange(1, AT_ONCE_MAX), metavar="N", help="So many at a time.  [default: 16]")
@output_option
@connected
def prepull(
    image: str, names: tuple[str, ...], expression: str | None, waits: bool, at_once: int | None, output: str
) -> None:
    """Have instances fetch an image, so that tasks of it start there without a pull.

    \b
    shoal image prepull web:7                             every active instance, in the background
    shoal image prepull web:7 --wait                      and say how it goes, and who has it
    shoal image prepull web:7 host-1 1f2e                 these instances
    shoal image prepull web:7 --where 'attribute:gpu == a100'

    IMAGE is named as in a task definition. Agents fetch it as they would for a task, with the credentials they have
    for its registry, and keep it for a day at least. An instance that has it already asks its registry only if it
    would for a task (image_pull_behavior in agent.toml). With --wait the exit code is 1 if any instance failed.
    """
    if names and expression is not None:
        raise click.UsageError("Name instances or choose them by --where, not both.")
    request = image_pb2.PullImageRequest(image=image, filter=expression, background=not waits, max_concurrency=at_once)
    pulls = call(lambda session: _pull(session, request, names), f"Pulling {image}")
    show.emit(output, lambda: _table(pulls), lambda: _document(pulls), [_id(each) for each in pulls])
    failed = [each for each in pulls if each.status == "FAILED"]
    if failed:
        raise Failed(
            f"{chosen.some([_id(each) for each in failed])} of {len(pulls):,} could not pull {image}.", exit_code=FAILED
        )


async def _pull(
    session: Session, request: image_pb2.PullImageRequest, names: Sequence[str]
) -> Sequence[image_pb2.ImagePull]:
    """The last that is known of each instance, by the names of their hosts."""
    request.cluster = session.cluster
    request.container_instances.extend(await find.instance_ids(session, names) if names else ())
    found: dict[str, image_pb2.ImagePull] = {}
    async for answer in session.client.cluster.PullImage(request):
        found |= {each.container_instance_arn: each for each in answer.pulls}
        session.progress.say(summary(request.image, found.values()))
    return sorted(found.values(), key=lambda each: (each.ec2_instance_id, each.container_instance_arn))


def summary(image: str, pulls: Iterable[image_pb2.ImagePull]) -> str:
    """`web:7: 12 pulled, 3 pulling (40 %), 5 waiting`"""
    pulls = list(pulls)
    counts = Counter(each.status for each in pulls)
    percents = [each.percent for each in pulls if each.status == "PULLING" and each.HasField("percent")]
    how_far = f" ({sum(percents) // len(percents)} %)" if percents else ""
    parts = [
        f"{counts[status]:,} {words}{how_far if status == 'PULLING' else ''}"
        for status, words in reversed(_WORDS.items())
        if counts[status]
    ]
    return f"{image}: {', '.join(parts)}"


def _table(pulls: Sequence[image_pb2.ImagePull]) -> show.Table:
    rows = [
        (text.short_instance(_id(each)), each.ec2_instance_id or "-", _WORDS.get(each.status, each.status), each.reason)
        for each in pulls
    ]
    return show.Table(COLUMNS, rows)


def _document(pulls: Sequence[image_pb2.ImagePull]) -> object:
    from shoal import awsjson

    return {"pulls": [awsjson.to_document(each) for each in pulls]}


def _id(pull: image_pb2.ImagePull) -> str:
    return arn.short(pull.container_instance_arn)
