"""`shoal job-definition`: templates of jobs, by name and revision."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from shoal import arn, awsjson, errors
from shoal.cli import find, show, text
from shoal.cli.failures import NOT_FOUND, Failed, warn
from shoal.cli.options import connected, output_option
from shoal.cli.register import read_document, read_message
from shoal.cli.session import Session, call
from shoal.v1 import job_definition_pb2 as pb

COLUMNS = ("DEFINITION", "STATUS", "VCPUS", "MEMORY", "ATTEMPTS", "TIMEOUT", "COMMAND")

# A page of definitions at their longest stays below the 4 MiB of a message.
PAGE_MAX = 100


@click.group("job-definition")
def job_definition() -> None:
    """Register, list and deregister job definitions."""


@job_definition.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option("-f", "--file", "option", type=click.Path(path_type=Path, allow_dash=True), help="The same.")
@click.option("--strict", is_flag=True, help="Refuse a file with fields that are not known, instead of warning.")
@output_option
@connected
def register(file: Path | None, option: Path | None, strict: bool, output: str) -> None:
    """Register a job definition from FILE ("-" is standard input).

    FILE is the JSON of `aws batch register-job-definition --cli-input-json`, or a definition as it was described.
    Prints the name and revision it became.
    """
    chosen = file or option
    if chosen is None or (file is not None and option is not None):
        raise click.UsageError("Name one file.")
    document = _definition(read_document(chosen), str(chosen))
    request = read_message(document, pb.RegisterJobDefinitionRequest, str(chosen), strict)

    async def work(session: Session) -> pb.RegisterJobDefinitionResponse:
        return await session.client.batch.RegisterJobDefinition(request)

    answer = call(work)
    for warning in answer.warnings:
        warn(f"{warning.field}: {warning.message}")
    if output in ("json", "yaml"):
        show.print_document(output, awsjson.to_document(answer))
    else:
        click.echo(f"{answer.job_definition_name}:{answer.revision}")


def _definition(document: Any, name: str) -> Any:
    """The one of an answer to DescribeJobDefinitions, if it is one. Raises InvalidInput."""
    described = document.get("jobDefinitions") if isinstance(document, dict) else None
    if not isinstance(described, list):
        return document
    if len(described) != 1:
        raise errors.InvalidInput(f"{name} holds {len(described)} job definitions: keep the one to register.")
    return described[0]


@job_definition.command("ls")
@click.argument("name", required=False)
@click.option("-a", "--all", "every", is_flag=True, help="Inactive revisions as well.")
@output_option
@connected
def list_all(name: str | None, every: bool, output: str) -> None:
    """List job definitions, the newest revision of each first."""
    request = pb.DescribeJobDefinitionsRequest(job_definition_name=name, status=None if every else "ACTIVE")
    answer = _read(request)
    found = sorted(answer.job_definitions, key=lambda each: (each.job_definition_name, -each.revision))
    empty = f"No job definitions named {name!r}." if name else "No job definitions."
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each) for each in found], empty),
        lambda: {"jobDefinitions": [awsjson.to_document(each) for each in found]},
        [_name(each) for each in found],
    )


@job_definition.command()
@click.argument("names", metavar="NAME[:REV]...", nargs=-1, required=True)
@output_option
@connected
def describe(names: tuple[str, ...], output: str) -> None:
    """Show job definitions as they were registered; without a revision, the newest active one."""
    found = [_one(name) for name in names]
    if output in ("table", "wide"):
        output = "yaml"  # what was registered is a document
    show.emit(
        output,
        lambda: show.Table((), ()),
        lambda: {"jobDefinitions": [awsjson.to_document(each) for each in found]},
        [_name(each) for each in found],
    )


@job_definition.command()
@click.argument("names", metavar="NAME:REV...", nargs=-1, required=True)
@connected
def deregister(names: tuple[str, ...]) -> None:
    """Make revisions inactive: no new jobs of them; those that were submitted go on."""

    async def work(session: Session) -> None:
        for name in names:
            request = pb.DeregisterJobDefinitionRequest(job_definition=name)
            await session.client.batch.DeregisterJobDefinition(request)
            click.echo(arn.short(name))

    call(work)


def _one(name: str) -> pb.JobDefinition:
    short = arn.short(name)
    request = pb.DescribeJobDefinitionsRequest(job_definition_name=short, status="ACTIVE")
    if ":" in short:
        request = pb.DescribeJobDefinitionsRequest(job_definitions=[short])
    found = _read(request).job_definitions
    if not found:
        what = "job definition" if ":" in short else "active revision of job definition"
        raise Failed(f"There is no {what} {short!r}.", "shoal job-definition ls -a", NOT_FOUND)
    return max(found, key=lambda each: each.revision)


def _read(request: pb.DescribeJobDefinitionsRequest) -> pb.DescribeJobDefinitionsResponse:
    async def work(session: Session) -> pb.DescribeJobDefinitionsResponse:
        request.max_results = PAGE_MAX
        whole = pb.DescribeJobDefinitionsResponse()
        async for answer in find.pages(session.client.batch.DescribeJobDefinitions, request):
            whole.job_definitions.extend(answer.job_definitions)
        return whole

    return call(work)


def _name(it: pb.JobDefinition) -> str:
    return f"{it.job_definition_name}:{it.revision}"


def _row(it: pb.JobDefinition) -> Sequence[str]:
    timeout = it.timeout.attempt_duration_seconds
    several = it.ecs_properties.task_properties
    containers = several[0].containers if several else [it.container_properties]
    return (
        _name(it),
        it.status,
        _sum(containers, "VCPU", "vcpus"),
        f"{_sum(containers, 'MEMORY', 'memory')} MiB",
        str(it.retry_strategy.attempts or 1),
        text.span(timeout) if timeout else "-",
        _command(containers),
    )


def _sum(containers: Sequence[pb.ContainerProperties | pb.TaskContainerProperties], kind: str, legacy: str) -> str:
    """Of all containers together."""
    given = [float(each.value) for it in containers for each in it.resource_requirements if each.type == kind]
    return f"{sum(given) + sum(getattr(it, legacy, 0) for it in containers):g}"


def _command(containers: Sequence[pb.ContainerProperties | pb.TaskContainerProperties]) -> str:
    if len(containers) > 1:
        return f"{len(containers)} containers"
    return " ".join(containers[0].command) or f"of {containers[0].image}"
