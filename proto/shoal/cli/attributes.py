import click

from shoal import arn, awsjson
from shoal.cli import find, show, text
from shoal.cli.options import connected, output_option
from shoal.cli.session import Session, call
from shoal.v1 import container_instance_pb2, resource_pb2

TARGET = "container-instance"


@click.group(invoke_without_command=True)
@click.option("--name", metavar="NAME", help="Only attributes of this name.")
@click.option("--value", metavar="VALUE", help="Only of this value.")
@output_option
@connected
@click.pass_context
def attributes(ctx: click.Context, name: str | None, value: str | None, output: str) -> None:
    """List the attributes of instances, which constraints speak of."""
    if ctx.invoked_subcommand is not None:
        return

    async def work(session: Session) -> list[resource_pb2.Attribute]:
        request = container_instance_pb2.ListAttributesRequest(
            cluster=session.cluster, target_type=TARGET, attribute_name=name, attribute_value=value
        )
        return [
            each
            async for page in find.pages(session.client.cluster.ListAttributes, request)
            for each in page.attributes
        ]

    found = call(work)
    rows = [(text.short_instance(arn.short(each.target_id)), each.name, each.value) for each in found]
    show.emit(
        output,
        lambda: show.Table(("INSTANCE", "ATTRIBUTE", "VALUE"), rows, "No attributes."),
        lambda: {"attributes": [awsjson.to_document(each) for each in found]},
        [each.name for each in found],
    )


@attributes.command()
@click.argument("instance")
@click.argument("pairs", metavar="NAME[=VALUE]...", nargs=-1, required=True)
@connected
def put(instance: str, pairs: tuple[str, ...]) -> None:
    """Put attributes on an instance, in place of those of the same name."""

    async def work(session: Session) -> None:
        request = container_instance_pb2.PutAttributesRequest(
            cluster=session.cluster, attributes=await _attributes(session, instance, pairs)
        )
        await session.client.cluster.PutAttributes(request)

    call(work)


@attributes.command()
@click.argument("instance")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@connected
def delete(instance: str, names: tuple[str, ...]) -> None:
    """Delete attributes of an instance."""

    async def work(session: Session) -> None:
        request = container_instance_pb2.DeleteAttributesRequest(
            cluster=session.cluster, attributes=await _attributes(session, instance, names)
        )
        await session.client.cluster.DeleteAttributes(request)

    call(work)


async def _attributes(session: Session, instance: str, pairs: tuple[str, ...]) -> list[resource_pb2.Attribute]:
    (target,) = await find.instance_ids(session, [instance])
    found = []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        attribute = resource_pb2.Attribute(name=name, target_type=TARGET, target_id=target)
        if equals:
            attribute.value = value
        found.append(attribute)
    return found
