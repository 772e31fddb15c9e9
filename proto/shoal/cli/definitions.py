from collections.abc import Sequence

import click

from shoal import arn, awsjson
from shoal.cli import find, show
from shoal.cli.failures import FAILED
from shoal.cli.options import GroupOfNamed, connected, output_option
from shoal.cli.session import Session, call
from shoal.v1 import task_definition_pb2

STATUSES = ("ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS")


status_option = click.option(
    "--status",
    type=click.Choice(STATUSES, case_sensitive=False),
    default="ACTIVE",
    show_default=True,
    help="Only of this status.",
)


def _named(family: str) -> click.Command:
    """`shoal definitions FAMILY`."""

    @click.command(family, help=f"List the revisions of {family}, the newest first.")
    @status_option
    @output_option
    @connected
    def of_family(status: str, output: str) -> None:
        _list(family, status, output)

    return of_family


@click.group(cls=GroupOfNamed, named=_named, invoke_without_command=True, subcommand_metavar="[FAMILY | COMMAND]")
@click.option("--family", metavar="NAME", help="Only revisions of this family.")
@status_option
@output_option
@connected
@click.pass_context
def definitions(ctx: click.Context, family: str | None, status: str, output: str) -> None:
    """List task definitions, the newest revision of each family first."""
    if ctx.invoked_subcommand is None:
        _list(family, status, output)


def _list(family: str | None, status: str, output: str) -> None:
    async def work(session: Session) -> list[str]:
        request = task_definition_pb2.ListTaskDefinitionsRequest(family_prefix=family, status=status.upper())
        return [
            each
            async for page in find.pages(session.client.cluster.ListTaskDefinitions, request)
            for each in page.task_definition_arns
        ]

    arns = call(work)
    names = sorted((arn.short(each) for each in arns), key=_order)
    empty = f"No task definitions of family {family!r}." if family else "No task definitions."
    show.emit(
        output,
        lambda: show.Table(("FAMILY", "REVISION", "NAME"), [_row(name) for name in names], empty),
        lambda: {"taskDefinitionArns": arns},
        names,
    )


@definitions.command()
@click.option("--prefix", metavar="NAME", help="Only families that begin so.")
@click.option(
    "--status", type=click.Choice(("ACTIVE", "INACTIVE", "ALL"), case_sensitive=False), help="Only of this status."
)
@connected
def families(prefix: str | None, status: str | None) -> None:
    """List the families, one a line."""

    async def work(session: Session) -> list[str]:
        request = task_definition_pb2.ListTaskDefinitionFamiliesRequest(family_prefix=prefix, status=status)
        return [
            each
            async for page in find.pages(session.client.cluster.ListTaskDefinitionFamilies, request)
            for each in page.families
        ]

    for family in call(work):
        click.echo(family)


@definitions.command()
@click.argument("names", metavar="FAMILY:REV...", nargs=-1, required=True)
@connected
def delete(names: tuple[str, ...]) -> int:
    """Delete inactive revisions for good."""

    async def work(session: Session) -> task_definition_pb2.DeleteTaskDefinitionsResponse:
        request = task_definition_pb2.DeleteTaskDefinitionsRequest(task_definitions=names)
        return await session.client.cluster.DeleteTaskDefinitions(request)

    answer = call(work)
    for definition in answer.task_definitions:
        click.echo(f"{definition.family}:{definition.revision} {definition.status}")
    for failure in answer.failures:
        click.echo(f"{arn.short(failure.arn)}: {failure.reason} {failure.detail}".rstrip(), err=True)
    return FAILED if answer.failures else 0


@click.command()
@click.argument("names", metavar="FAMILY:REV...", nargs=-1, required=True)
@output_option
@connected
def deregister(names: tuple[str, ...], output: str) -> None:
    """Make revisions inactive: no new tasks of them; those that run go on."""

    async def work(session: Session) -> list[task_definition_pb2.DeregisterTaskDefinitionResponse]:
        requests = [task_definition_pb2.DeregisterTaskDefinitionRequest(task_definition=name) for name in names]
        return [await session.client.cluster.DeregisterTaskDefinition(request) for request in requests]

    for answer in call(work):
        if output in ("json", "yaml"):
            show.print_document(output, awsjson.to_document(answer))
        else:
            click.echo(f"{answer.task_definition.family}:{answer.task_definition.revision}")


def _order(name: str) -> tuple[str, int]:
    family, _, revision = name.rpartition(":")
    return family, -int(revision)


def _row(name: str) -> Sequence[str]:
    family, _, revision = name.rpartition(":")
    return family, revision, name
