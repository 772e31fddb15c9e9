"""`shoal compute-environment`: which instances of a cluster jobs run on, and how much of them."""

from collections.abc import Sequence
from pathlib import Path

import click

from shoal import arn, awsjson
from shoal.cli import find, show, text
from shoal.cli.failures import NOT_FOUND, Failed, warn
from shoal.cli.options import connected, int32, output_option, parse_pairs, target
from shoal.cli.register import file_option, read_document, read_message
from shoal.cli.session import Session, call
from shoal.v1 import job_queue_pb2 as pb

COLUMNS = ("ENVIRONMENT", "STATE", "STATUS", "CLUSTER", "VCPUS", "INSTANCES")

where_option = click.option(
    "--where", metavar="EXPRESSION", help="Only instances that match, as 'attribute:rack == r1'; '' for all."
)
vcpus_option = click.option("--max-vcpus", type=int32, metavar="N", help="What its jobs hold at most; 0 for no bound.")


@click.group("compute-environment")
def compute_environment() -> None:
    """Create, list, change and delete compute environments."""


@compute_environment.command()
@click.argument("name", required=False)
@file_option
@where_option
@vcpus_option
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", callback=parse_pairs, help="A tag.")
@connected
def create(name: str | None, file: Path | None, where: str | None, max_vcpus: int | None, tags: dict[str, str]) -> None:
    """Create an environment of the cluster's instances; one that is there just so is fine."""
    if (name is None) == (file is None):
        raise click.UsageError("Name the environment, or give a file with all there is to say of it.")
    document = None if file is None else read_document(file)

    async def work(session: Session) -> pb.CreateComputeEnvironmentResponse:
        if document is not None:
            asked = read_message(document, pb.CreateComputeEnvironmentRequest, str(file), strict=False)
            return await session.client.batch.CreateComputeEnvironment(asked)
        request = pb.CreateComputeEnvironmentRequest(
            compute_environment_name=name,
            type="UNMANAGED",
            cluster=session.cluster,
            expression=where,
            unmanagedv_cpus=max_vcpus,
            tags=tags,
        )
        return await session.client.batch.CreateComputeEnvironment(request)

    answer = call(work)
    for warning in answer.warnings:
        warn(f"{warning.field}: {warning.message}")
    click.echo(answer.compute_environment_name)


@compute_environment.command()
@click.argument("name")
@where_option
@vcpus_option
@connected
def update(name: str, where: str | None, max_vcpus: int | None) -> None:
    """Change an environment; what is not given stays, the cluster unless --cluster names one."""
    request = pb.UpdateComputeEnvironmentRequest(
        compute_environment=name, cluster=target().cluster, expression=where, unmanagedv_cpus=max_vcpus
    )
    click.echo(_update(request))


@compute_environment.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@connected
def enable(names: tuple[str, ...]) -> None:
    """Start jobs there again."""
    for name in names:
        click.echo(_update(pb.UpdateComputeEnvironmentRequest(compute_environment=name, state="ENABLED")))


@compute_environment.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@connected
def disable(names: tuple[str, ...]) -> None:
    """Start no more jobs there; those that run go on."""
    for name in names:
        click.echo(_update(pb.UpdateComputeEnvironmentRequest(compute_environment=name, state="DISABLED")))


@compute_environment.command("rm")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@connected
def remove(names: tuple[str, ...]) -> None:
    """Delete environments that are disabled and in no queue's order."""

    async def work(session: Session) -> None:
        for name in names:
            request = pb.DeleteComputeEnvironmentRequest(compute_environment=name)
            await session.client.batch.DeleteComputeEnvironment(request)
            click.echo(name)

    call(work)


@compute_environment.command("ls")
@click.argument("names", metavar="[NAME...]", nargs=-1)
@output_option
@connected
def list_all(names: tuple[str, ...], output: str) -> None:
    """List compute environments, of every cluster."""
    answer = _read(names)
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each) for each in answer.compute_environments], "No compute environments."),
        lambda: {"computeEnvironments": [], **awsjson.to_document(answer)},
        [each.compute_environment_name for each in answer.compute_environments],
    )


@compute_environment.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@output_option
@connected
def describe(names: tuple[str, ...], output: str) -> None:
    """Show all there is to know of compute environments."""
    answer = _read(names)
    found = [each.compute_environment_name for each in answer.compute_environments]
    missing = sorted({arn.short(name) for name in names} - set(found))
    if missing:
        what = text.sentence_list(missing)
        raise Failed(f"There is no compute environment {what}.", "shoal compute-environment ls", NOT_FOUND)
    if output in ("json", "yaml", "name"):
        show.emit(output, lambda: show.Table((), ()), lambda: awsjson.to_document(answer), found)
        return
    for each in answer.compute_environments:
        show_environment(each)


def _read(names: Sequence[str]) -> pb.DescribeComputeEnvironmentsResponse:
    async def work(session: Session) -> pb.DescribeComputeEnvironmentsResponse:
        whole = pb.DescribeComputeEnvironmentsResponse()
        request = pb.DescribeComputeEnvironmentsRequest(compute_environments=names)
        async for answer in find.pages(session.client.batch.DescribeComputeEnvironments, request):
            whole.compute_environments.extend(answer.compute_environments)
        return whole

    return call(work)


def _update(request: pb.UpdateComputeEnvironmentRequest) -> str:
    async def work(session: Session) -> pb.UpdateComputeEnvironmentResponse:
        return await session.client.batch.UpdateComputeEnvironment(request)

    return call(work).compute_environment_name


def _vcpus(it: pb.ComputeEnvironmentDetail) -> str:
    return f"{it.used_vcpus:g} of {it.unmanagedv_cpus}" if it.unmanagedv_cpus else f"{it.used_vcpus:g}"


def _row(it: pb.ComputeEnvironmentDetail) -> Sequence[str]:
    name = it.compute_environment_name
    return (name, it.state, it.status, it.cluster, _vcpus(it), it.expression or "all")


def show_environment(it: pb.ComputeEnvironmentDetail) -> None:
    fields = [
        ("ARN", it.compute_environment_arn),
        ("State", it.state),
        ("Status", f"{it.status} ({it.status_reason})"),
        ("Type", it.type),
        ("Cluster", it.cluster),
        ("Instances", it.expression or "all"),
        ("vCPUs held", _vcpus(it)),
        ("Tags", ", ".join(f"{key}={value}" for key, value in sorted(it.tags.items()))),
    ]
    show.print_fields(it.compute_environment_name, fields)
