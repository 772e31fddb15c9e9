import sys
from pathlib import Path
from typing import Any, TypeVar

import click
from google.protobuf.message import Message

from shoal import errors
from shoal.cli.failures import warn
from shoal.cli.options import connected, output_option
from shoal.cli.session import Session, call
from shoal.cli.show import print_document
from shoal.v1 import task_definition_pb2

Anything = TypeVar("Anything", bound=Message)


file_option = click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="PATH",
    help="All of it as AWS JSON, instead of options.",
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--strict", is_flag=True, help="Refuse a file with fields that are not known, instead of warning.")
@output_option
@connected
def register(file: Path, strict: bool, output: str) -> None:
    """Register a task definition from FILE ("-" is standard input).

    FILE is the JSON of `aws ecs register-task-definition --cli-input-json`, or what a describe printed.
    Prints the family and revision it became.
    """
    document = read_document(file)
    request = read_message(document, task_definition_pb2.RegisterTaskDefinitionRequest, str(file), strict)
    answer = call(lambda session: _register(session, request))
    for warning in answer.warnings:
        warn(f"{warning.field}: {warning.message}" if warning.field else warning.message)
    definition = answer.task_definition
    if output in ("json", "yaml"):
        from shoal import awsjson

        print_document(output, awsjson.to_document(answer))
    else:
        click.echo(f"{definition.family}:{definition.revision}")


async def _register(
    session: Session, request: task_definition_pb2.RegisterTaskDefinitionRequest
) -> task_definition_pb2.RegisterTaskDefinitionResponse:
    return await session.client.cluster.RegisterTaskDefinition(request)


def read_document(file: Path) -> Any:
    """The JSON of a file or of standard input. Raises InvalidInput."""
    from shoal import awsjson

    content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    try:
        return awsjson.loads(content.decode("utf-8-sig"))
    except awsjson.BadDocument as error:
        raise errors.InvalidInput(f"{file} is not usable JSON.", problems=error.problems) from None
    except UnicodeDecodeError as error:
        raise errors.InvalidInput(f"{file} is not UTF-8 text: {error.reason} at byte {error.start}.") from None


def read_message(document: Any, message_type: type[Anything], name: str, strict: bool) -> Anything:
    """An AWS-style document as a message; warns of each field it does not know. Raises InvalidInput."""
    from shoal import awsjson

    try:
        message, problems = awsjson.to_message(document, message_type, strict=strict)
    except awsjson.BadDocument as error:
        raise errors.InvalidInput(f"{name} was not sent: it is wrong.", problems=error.problems) from None
    for problem in problems:
        warn(f"{problem.field}: {problem.message}")
    return message
