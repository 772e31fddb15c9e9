from collections.abc import Sequence

import click

from shoal import awsjson
from shoal.cli import find, show
from shoal.cli.options import connected, output_option, parse_pairs
from shoal.cli.session import Session, call
from shoal.v1 import cluster_pb2, resource_pb2

COLUMNS = ("CLUSTER", "STATUS", "INSTANCES", "RUNNING", "PENDING", "SERVICES")


@click.group(invoke_without_command=True)
@output_option
@connected
@click.pass_context
def clusters(ctx: click.Context, output: str) -> None:
    """List clusters."""
    if ctx.invoked_subcommand is not None:
        return
    answer = call(_read)
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each) for each in answer.clusters], "No clusters."),
        lambda: {"clusters": [], **awsjson.to_document(answer)},
        [each.cluster_name for each in answer.clusters],
    )


@clusters.command()
@click.argument("name", default="default")
@click.option(
    "--setting", "settings", multiple=True, metavar="NAME=VALUE", callback=parse_pairs, help="A cluster setting."
)
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", callback=parse_pairs, help="A tag.")
@connected
def create(name: str, settings: dict[str, str], tags: dict[str, str]) -> None:
    """Create a cluster; one that exists already is fine."""
    request = cluster_pb2.CreateClusterRequest(
        cluster_name=name,
        settings=_settings(settings),
        tags=[resource_pb2.Tag(key=key, value=value) for key, value in tags.items()],
    )

    async def work(session: Session) -> cluster_pb2.CreateClusterResponse:
        return await session.client.cluster.CreateCluster(request)

    click.echo(call(work).cluster.cluster_name)


@clusters.command()
@click.argument("name")
@click.option(
    "--setting",
    "settings",
    multiple=True,
    required=True,
    metavar="NAME=VALUE",
    callback=parse_pairs,
    help="A cluster setting.",
)
@connected
def update(name: str, settings: dict[str, str]) -> None:
    """Change a cluster's settings."""

    async def work(session: Session) -> cluster_pb2.UpdateClusterResponse:
        request = cluster_pb2.UpdateClusterRequest(cluster=name, settings=_settings(settings))
        return await session.client.cluster.UpdateCluster(request)

    click.echo(call(work).cluster.cluster_name)


@clusters.command()
@click.argument("name")
@connected
def delete(name: str) -> None:
    """Delete a cluster without instances and tasks."""

    async def work(session: Session) -> cluster_pb2.DeleteClusterResponse:
        return await session.client.cluster.DeleteCluster(cluster_pb2.DeleteClusterRequest(cluster=name))

    click.echo(call(work).cluster.cluster_name)


async def _read(session: Session) -> cluster_pb2.DescribeClustersResponse:
    request = cluster_pb2.ListClustersRequest()
    arns = [
        each async for page in find.pages(session.client.cluster.ListClusters, request) for each in page.cluster_arns
    ]
    whole = cluster_pb2.DescribeClustersResponse()
    for batch in find.batches(arns):
        asked = cluster_pb2.DescribeClustersRequest(clusters=batch, include=["SETTINGS", "TAGS"])
        whole.MergeFrom(await session.client.cluster.DescribeClusters(asked))
    return whole


def _settings(pairs: dict[str, str]) -> list[cluster_pb2.ClusterSetting]:
    return [cluster_pb2.ClusterSetting(name=name, value=value) for name, value in pairs.items()]


def _row(cluster: cluster_pb2.ClusterDescription) -> Sequence[str]:
    return (
        cluster.cluster_name,
        cluster.status,
        str(cluster.registered_container_instances_count),
        str(cluster.running_tasks_count),
        str(cluster.pending_tasks_count),
        str(cluster.active_services_count),
    )
