"""`shoal consumable`: what jobs take for as long as they run, or use up."""

from collections.abc import Sequence

import click

from shoal import awsjson
from shoal.cli import find, show
from shoal.cli.options import connected, int64, output_option, parse_pairs
from shoal.cli.session import Session, call
from shoal.v1 import job_queue_pb2 as pb

COLUMNS = ("RESOURCE", "TOTAL", "IN USE", "TYPE")
JOB_COLUMNS = ("JOB", "NAME", "STATUS", "TAKES")


@click.group()
def consumable() -> None:
    """Create, list, change and delete consumable resources."""


@consumable.command()
@click.argument("name")
@click.argument("total", type=int64)
@click.option("--used-up", is_flag=True, help="What a job takes does not come back when it ends.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", callback=parse_pairs, help="A tag.")
@connected
def create(name: str, total: int, used_up: bool, tags: dict[str, str]) -> None:
    """Create a resource of which there are TOTAL."""
    request = pb.CreateConsumableResourceRequest(
        consumable_resource_name=name,
        total_quantity=total,
        resource_type="NON_REPLENISHABLE" if used_up else "REPLENISHABLE",
        tags=tags,
    )

    async def work(session: Session) -> pb.CreateConsumableResourceResponse:
        return await session.client.batch.CreateConsumableResource(request)

    click.echo(call(work).consumable_resource_name)


@consumable.command("set")
@click.argument("name")
@click.argument("total", type=int64)
@connected
def set_total(name: str, total: int) -> None:
    """Say how many there are."""
    _update(name, "SET", total)


@consumable.command()
@click.argument("name")
@click.argument("quantity", type=int64)
@connected
def add(name: str, quantity: int) -> None:
    """There are so many more."""
    _update(name, "ADD", quantity)


@consumable.command()
@click.argument("name")
@click.argument("quantity", type=int64)
@connected
def take(name: str, quantity: int) -> None:
    """There are so many less."""
    _update(name, "REMOVE", quantity)


@consumable.command("rm")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@connected
def remove(names: tuple[str, ...]) -> None:
    """Delete resources that no unfinished job takes of."""

    async def work(session: Session) -> None:
        for name in names:
            request = pb.DeleteConsumableResourceRequest(consumable_resource=name)
            await session.client.batch.DeleteConsumableResource(request)
            click.echo(name)

    call(work)


@consumable.command("ls")
@click.argument("pattern", metavar="[NAME|BEGINNING*]", required=False)
@output_option
@connected
def list_all(pattern: str | None, output: str) -> None:
    """List consumable resources, and how many are taken now."""
    filters = [pb.KeyValuesPair(name="CONSUMABLE_RESOURCE_NAME", values=[pattern])] if pattern else []

    async def work(session: Session) -> pb.ListConsumableResourcesResponse:
        whole = pb.ListConsumableResourcesResponse()
        request = pb.ListConsumableResourcesRequest(filters=filters)
        async for answer in find.pages(session.client.batch.ListConsumableResources, request):
            whole.consumable_resources.extend(answer.consumable_resources)
        return whole

    answer = call(work)
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each) for each in answer.consumable_resources], "No consumable resources."),
        lambda: {"consumableResources": [], **awsjson.to_document(answer)},
        [each.consumable_resource_name for each in answer.consumable_resources],
    )


@consumable.command()
@click.argument("name")
@output_option
@connected
def describe(name: str, output: str) -> None:
    """Show a consumable resource."""

    async def work(session: Session) -> pb.DescribeConsumableResourceResponse:
        request = pb.DescribeConsumableResourceRequest(consumable_resource=name)
        return await session.client.batch.DescribeConsumableResource(request)

    answer = call(work)
    if output in ("json", "yaml"):
        show.print_document(output, awsjson.to_document(answer))
    elif output == "name":
        click.echo(answer.consumable_resource_name)
    else:
        fields = [
            ("ARN", answer.consumable_resource_arn),
            ("Type", answer.resource_type),
            ("Total", str(answer.total_quantity)),
            ("In use", str(answer.in_use_quantity)),
            ("Available", str(answer.available_quantity)),
            ("Tags", ", ".join(f"{key}={value}" for key, value in sorted(answer.tags.items()))),
        ]
        show.print_fields(answer.consumable_resource_name, fields)


@consumable.command()
@click.argument("name")
@output_option
@connected
def jobs(name: str, output: str) -> None:
    """List the jobs that take of a resource."""

    async def work(session: Session) -> pb.ListJobsByConsumableResourceResponse:
        whole = pb.ListJobsByConsumableResourceResponse()
        request = pb.ListJobsByConsumableResourceRequest(consumable_resource=name)
        async for answer in find.pages(session.client.batch.ListJobsByConsumableResource, request):
            whole.jobs.extend(answer.jobs)
        return whole

    answer = call(work)
    ids = [each.job_arn.rsplit("/", 1)[-1] for each in answer.jobs]
    rows = [
        (job, each.job_name, each.job_status, str(each.quantity)) for job, each in zip(ids, answer.jobs, strict=True)
    ]
    show.emit(
        output,
        lambda: show.Table(JOB_COLUMNS, rows, f"No job takes of {name}."),
        lambda: {"jobs": [], **awsjson.to_document(answer)},
        ids,
    )


def _update(name: str, operation: str, quantity: int) -> None:
    request = pb.UpdateConsumableResourceRequest(consumable_resource=name, operation=operation, quantity=quantity)

    async def work(session: Session) -> pb.UpdateConsumableResourceResponse:
        return await session.client.batch.UpdateConsumableResource(request)

    click.echo(str(call(work).total_quantity))


def _row(it: pb.ConsumableResourceSummary) -> Sequence[str]:
    return (it.consumable_resource_name, str(it.total_quantity), str(it.in_use_quantity), it.resource_type)
