from pathlib import Path
from typing import Any

import click

from shoal.cli import explanation, things
from shoal.cli.failures import Failed
from shoal.cli.options import connected, output_option
from shoal.cli.register import read_document, read_message
from shoal.cli.session import Session, call
from shoal.cli.submission import placement_options, put_options
from shoal.v1 import placement_pb2, task_definition_pb2, task_pb2


@click.command()
@click.argument("name", metavar="TASK | FAMILY[:REV] | FILE")
@placement_options
@output_option
@connected
def explain(name: str, **options: Any) -> None:
    """Show why tasks find no room, what they lack, and the least that would help; or where they would go.

    \b
    shoal explain 5e1f90ab-17                      a task that waits
    shoal explain web --count 5                    tasks of a registered definition, if they were run now
    shoal explain web.json                         a task definition that need not be registered, or a RunTask
                                                   request; "-" is standard input

    Nothing is run or registered. Exits with 0 whatever the answer; `shoal run --dry-run` with 1 if tasks would be
    answered as failures.
    """
    request = _of_file(Path(name), options) if is_file(name) else None
    answer = call(lambda session: _explain(session, name, request, options), "Looking for room")
    explanation.emit(options["output"], answer)


def is_file(name: str) -> bool:
    """What can be no id, no family and no ARN; a file called like one is written ./NAME.

    >>> [is_file(each) for each in ("-", "web.json", "./web", "web", "web:3", "arn:shoal:ecs:local:0:task/default/1")]
    [True, True, True, False, False, False]
    """
    return name == "-" or (not name.startswith("arn:") and ("/" in name or "." in name))


def _of_file(file: Path, options: dict[str, Any]) -> placement_pb2.ExplainPlacementRequest:
    document = read_document(file)
    request = placement_pb2.ExplainPlacementRequest()
    if _is_definition(document):
        definition = read_message(document, task_definition_pb2.RegisterTaskDefinitionRequest, str(file), strict=False)
        request.task_definition.CopyFrom(definition)
    else:
        request.run_task.CopyFrom(read_message(document, task_pb2.RunTaskRequest, str(file), strict=False))
    put_options(request.run_task, options)
    return request


def _is_definition(document: Any) -> bool:
    """And no RunTask request, which names one."""
    return isinstance(document, dict) and not isinstance(document.get("taskDefinition"), str)


async def _explain(
    session: Session, name: str, request: placement_pb2.ExplainPlacementRequest | None, options: dict[str, Any]
) -> placement_pb2.ExplainPlacementResponse:
    request = request or await _of_name(session, name, options)
    if not request.run_task.cluster:
        request.cluster = session.cluster
    return await session.client.cluster.ExplainPlacement(request)


async def _of_name(session: Session, name: str, options: dict[str, Any]) -> placement_pb2.ExplainPlacementRequest:
    thing = await things.locate(session, name)
    if thing.kind == things.TASK:
        if any(options[each] for each in ("count", "group", "strategies", "constraints")):
            raise click.UsageError("A task is explained as it was submitted: the options are for definitions.")
        return placement_pb2.ExplainPlacementRequest(task=thing.name)
    if thing.kind != things.DEFINITION:
        raise Failed(f"{name} is a {thing.kind}: only tasks and definitions are placed.", f"shoal describe {name}")
    request = placement_pb2.ExplainPlacementRequest()
    request.run_task.task_definition = thing.name
    put_options(request.run_task, options)
    return request
