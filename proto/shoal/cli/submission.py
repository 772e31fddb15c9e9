"""What several commands can say of tasks that are to run, and how it goes over a request from a file."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from shoal.cli import placement
from shoal.v1 import resource_pb2, task_pb2

Function = TypeVar("Function", bound=Callable[..., Any])
COUNT_MAX = 10_000

# The fields of a request, beside lists, that options have by the same name.
_PLAIN = ("count", "group", "started_by", "client_token", "queue", "enable_execute_command", "on_disconnect")


def placement_options(command: Function) -> Function:
    for option in (
        click.option("--group", metavar="NAME", help="The tasks' group.  [default: family:FAMILY]"),
        click.option(
            "--constraint",
            "constraints",
            multiple=True,
            metavar="RULE",
            help="distinctInstance, or 'memberOf(EXPRESSION)'.",
        ),
        click.option(
            "--strategy",
            "strategies",
            multiple=True,
            metavar="TYPE[:FIELD]",
            help="binpack:memory|cpu|gpu, spread:FIELD, fragmentation, image, random; in order.",
        ),
        click.option("--count", type=click.IntRange(1, COUNT_MAX), help="How many tasks.  [default: 1]"),
    ):
        command = option(command)
    return command


def put_options(request: task_pb2.RunTaskRequest, options: Mapping[str, Any]) -> None:
    """What the options say goes over what the request says. Raises UsageError."""
    try:
        given = task_pb2.RunTaskRequest(
            **{name: options[name] for name in _PLAIN if options.get(name) is not None},
            tags=[resource_pb2.Tag(key=key, value=value) for key, value in options.get("tags", {}).items()],
            placement_strategy=[placement.strategy(each) for each in options["strategies"]],
            placement_constraints=[placement.constraint(each) for each in options["constraints"]],
        )
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    for field in ("placement_strategy", "placement_constraints"):
        if len(getattr(given, field)):
            request.ClearField(field)
    request.MergeFrom(given)
