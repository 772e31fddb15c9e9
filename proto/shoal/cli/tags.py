import click

from shoal import awsjson
from shoal.cli import show, things
from shoal.cli.options import connected, output_option, parse_pairs
from shoal.cli.session import Session, call
from shoal.v1 import resource_pb2


@click.command()
@click.argument("resource")
@click.argument("pairs", metavar="[KEY=VALUE...]", nargs=-1, callback=parse_pairs)
@output_option
@connected
def tag(resource: str, pairs: dict[str, str], output: str) -> None:
    """Put tags on a resource; without tags, list those it has.

    RESOURCE is anything that `shoal describe` takes.
    """

    async def work(session: Session) -> resource_pb2.ListTagsForResourceResponse | None:
        arn = await _arn(session, resource)
        if not pairs:
            request = resource_pb2.ListTagsForResourceRequest(resource_arn=arn)
            return await session.client.cluster.ListTagsForResource(request)
        tags = [resource_pb2.Tag(key=key, value=value) for key, value in pairs.items()]
        await session.client.cluster.TagResource(resource_pb2.TagResourceRequest(resource_arn=arn, tags=tags))
        return None

    answer = call(work)
    if answer is None:
        return
    show.emit(
        output,
        lambda: show.Table(("KEY", "VALUE"), [(each.key, each.value) for each in answer.tags], "No tags."),
        lambda: {"tags": [], **awsjson.to_document(answer)},
        [each.key for each in answer.tags],
    )


@click.command()
@click.argument("resource")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@connected
def untag(resource: str, keys: tuple[str, ...]) -> None:
    """Remove tags from a resource."""

    async def work(session: Session) -> None:
        arn = await _arn(session, resource)
        await session.client.cluster.UntagResource(resource_pb2.UntagResourceRequest(resource_arn=arn, tag_keys=keys))

    call(work)


async def _arn(session: Session, name: str) -> str:
    if name.startswith("arn:"):
        return name
    thing = await things.locate(session, name)
    return thing.arn(session.cluster)
