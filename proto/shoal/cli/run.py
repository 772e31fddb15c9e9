"""`shoal run`: tasks of a definition, or one container of an image with its output on the screen."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from shoal import errors
from shoal.cli import explanation, find, image_definition, placement, show, tasks, text
from shoal.cli.attend import attend
from shoal.cli.failures import FAILED, OK
from shoal.cli.options import connected, mebibytes, output_option, parse_pairs
from shoal.cli.register import read_document, read_message
from shoal.cli.session import Session, call
from shoal.cli.submission import placement_options, put_options
from shoal.v1 import placement_pb2, task_definition_pb2, task_pb2

# What only an image can be run with, and how a person writes it.
OF_IMAGES = {
    "container_name": "--name",
    "cpu": "--cpu",
    "memory": "-m",
    "publish": "-p",
    "user": "-u",
    "network": "--network",
    "command": "a command",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """What the options say, whichever form of the command it is. image_run is None: a definition."""

    request: task_pb2.RunTaskRequest
    image_run: image_definition.ImageRun | None
    environment: dict[str, str]
    container: str | None
    detached: bool
    waits: bool
    output: str


@click.command()
@click.argument("name", metavar="FAMILY[:REV] | IMAGE", required=False)
@click.argument("command", metavar="[-- COMMAND...]", nargs=-1)
@placement_options
@click.option("--started-by", metavar="WHO", help="Who or what starts them; a filter of lists.")
@click.option(
    "-e",
    "--env",
    "environment",
    multiple=True,
    metavar="KEY=VALUE",
    callback=parse_pairs,
    help="Environment of the container.",
)
@click.option("--container", metavar="NAME", help="Whose environment --env is, in a definition of several.")
@click.option("--wait", "waits", is_flag=True, help="Wait until they stop; exit with their exit code.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", callback=parse_pairs, help="A tag of the tasks.")
@click.option("--queue", is_flag=True, default=None, help="What finds no room waits for it, instead of failing.")
@click.option(
    "--on-disconnect",
    type=click.Choice(("keep", "stop", "exclusive")),
    help="What becomes of the tasks when their host is lost: replaced while it may still run there (keep), only once"
    " its agent must have stopped it (stop), or its watchdog as well (exclusive).  [default: nothing, as in ECS]",
)
@click.option("--enable-execute-command", is_flag=True, default=None, help="Allow `shoal exec` in the tasks.")
@click.option("--dry-run", is_flag=True, help="Only show where they would go, or why nowhere; then exit with 1.")
@click.option("--client-token", metavar="TOKEN", help="Same token, same tasks: makes it safe to repeat.")
@click.option(
    "--cli-input-json",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="A RunTask request as AWS-style JSON; options override it.",
)
@click.option("--image", "as_image", is_flag=True, help="NAME is an image, whatever it looks like.")
@click.option("--name", "container_name", metavar="NAME", help="Image: name of the container and its family.")
@click.option("--cpu", type=click.IntRange(min=0), help="Image: cpu units, 1024 to the core.")
@click.option("-m", "--memory", type=mebibytes, metavar="SIZE", help="Image: hard limit, as 64 (MiB), 64m or 1g.")
@click.option("-p", "--publish", multiple=True, metavar="[HOST:]PORT", help="Image: publish a port, as 8080:80.")
@click.option("-u", "--user", help="Image: user to run as.")
@click.option("--network", type=click.Choice(("bridge", "host", "none")), help="Image: network mode.")
@click.option("-d", "--detach", "detached", is_flag=True, help="Image: print the task's id and leave it.")
@output_option
@connected
def run(**options: Any) -> int:
    """Run tasks.

    \b
    shoal run web:3 --count 5 --strategy binpack:memory     tasks of a registered definition
    shoal run busybox -- echo hello                         a command in an image, as docker run
    shoal run nginx:latest -p 8080:80 -d                    the same, left running
    shoal run web:3 --count 5 --dry-run                     where they would go and why; nothing runs

    The second form registers a definition (or takes the latest, if it says the same), shows what the container
    writes and exits with its exit code. Ctrl-C stops the task.
    """
    return call(lambda session: _run(session, options), "Running", timeout_seconds=60.0)


async def _run(session: Session, options: dict[str, Any]) -> int:
    request = _request(session, options)
    ask = Ask(
        request,
        await _image_run(session, request, options),
        options["environment"],
        options["container"],
        options["detached"],
        options["waits"],
        options["output"],
    )
    if options["dry_run"]:
        return await _dry_run(session, ask)
    if ask.image_run is not None:
        return await _run_image(session, ask, ask.image_run)
    return await _run_definition(session, ask)


async def _dry_run(session: Session, ask: Ask) -> int:
    request = placement_pb2.ExplainPlacementRequest(run_task=ask.request)
    if ask.image_run is not None:
        request.task_definition.CopyFrom(_definition_of(ask.image_run))
        request.run_task.ClearField("task_definition")
    answer = await session.client.cluster.ExplainPlacement(request)
    session.progress.end()
    explanation.emit(ask.output, answer)
    return OK if ask.request.queue or answer.placed_count == answer.task_count else FAILED


def _definition_of(image_run: image_definition.ImageRun) -> task_definition_pb2.RegisterTaskDefinitionRequest:
    """Raises UsageError."""
    try:
        return image_definition.registration(image_run)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None


def _request(session: Session, options: dict[str, Any]) -> task_pb2.RunTaskRequest:
    file, name = options["cli_input_json"], options["name"]
    request = task_pb2.RunTaskRequest()
    if file is not None:
        request = read_message(read_document(file), task_pb2.RunTaskRequest, str(file), strict=False)
    elif name is None:
        raise click.UsageError("Say what to run: FAMILY[:REV], or IMAGE -- COMMAND.")
    if name is not None:
        request.task_definition = name
    put_options(request, options)
    if not request.HasField("cluster"):
        request.cluster = session.cluster
    return request


async def _image_run(
    session: Session, request: task_pb2.RunTaskRequest, options: dict[str, Any]
) -> image_definition.ImageRun | None:
    """None if it is a definition that is to be run."""
    name = options["name"]
    if name is None:
        return None
    of_images = [words for option, words in OF_IMAGES.items() if options[option] not in (None, ())]
    certain = options["as_image"] or image_definition.looks_like_image(name)
    if not (of_images or certain):
        await _demand_definition(session, name)
        return None
    # With --name NAME the family of that name may be the one that the same command made before.
    if (
        not certain
        and options["container_name"] != name
        and await image_definition.described(session, name) is not None
    ):
        raise click.UsageError(
            f"{name} is a task definition; {of_images[0]} is for images. Use --image to mean the image {name}."
        )
    return image_definition.ImageRun(
        image=name,
        command=options["command"],
        name=options["container_name"],
        cpu=options["cpu"],
        memory=options["memory"],
        publish=options["publish"],
        environment=options["environment"],
        user=options["user"],
        network=options["network"],
    )


async def _demand_definition(session: Session, name: str) -> task_definition_pb2.TaskDefinition:
    request = task_definition_pb2.DescribeTaskDefinitionRequest(task_definition=name)
    try:
        return (await session.client.cluster.DescribeTaskDefinition(request)).task_definition
    except errors.Refused as error:
        raise errors.NotFound(
            f"There is no task definition {name!r}.",
            f"{await _nearest(session, name)}; or, if it is an image: shoal run --image {name}",
            code=error.code,
            reason=error.reason,
        ) from None


async def _nearest(session: Session, name: str) -> str:
    """Of a name that is no definition: the revisions its family has, or where to look for all."""
    family, colon, _ = name.partition(":")
    newest = await image_definition.described(session, family) if colon and family else None
    if newest is None:
        return "shoal definitions"
    return f"{family} has revisions up to {newest.revision}: shoal definitions --family {family}"


async def _run_definition(session: Session, ask: Ask) -> int:
    if ask.environment:
        await _override_environment(session, ask)
    answer = await session.client.cluster.RunTask(ask.request)
    ids = await _report(session, ask, answer)
    if ask.waits and ids:
        code = await attend(session, ids, shows_logs=False)
        return code or (FAILED if answer.failures else 0)
    return FAILED if answer.failures else 0


async def _run_image(session: Session, ask: Ask, image_run: image_definition.ImageRun) -> int:
    if ask.request.count > 1 and not ask.detached:
        raise click.UsageError("Output of several tasks is not shown at once: add --detach.")
    ask.request.task_definition = await image_definition.definition_for(session, _definition_of(image_run))
    answer = await session.client.cluster.RunTask(ask.request)
    if ask.detached or answer.failures:
        await _report(session, ask, answer)
        return FAILED if answer.failures else 0
    return await attend(session, _ids(answer), shows_logs=True)


async def _override_environment(session: Session, ask: Ask) -> None:
    definition = await _demand_definition(session, ask.request.task_definition)
    names = [each.name for each in definition.container_definitions]
    if ask.container is None and len(names) > 1:
        raise click.UsageError(f"Say whose environment it is: --container {'|'.join(names)}.")
    override = ask.request.overrides.container_overrides.add(name=ask.container or names[0])
    for key, value in ask.environment.items():
        override.environment.add(name=key, value=value)


async def _report(session: Session, ask: Ask, answer: task_pb2.RunTaskResponse) -> list[str]:
    """Prints what was placed, and on stderr what was not and why. Answers the ids of all that was."""
    ids = _ids(answer)
    session.progress.end()
    if ask.output in ("json", "yaml"):
        from shoal import awsjson

        show.print_document(ask.output, {"tasks": [], "failures": [], **awsjson.to_document(answer)})
    elif ask.output == "name" or ask.detached:
        for each in ids:
            click.echo(each)
    else:
        show.print_table(tasks.table(answer.tasks, _newest(answer), ask.output == "wide"))
        if len(ids) > len(answer.tasks):
            click.echo(f"... and {len(ids) - len(answer.tasks):,} more. All ids: -o name", err=True)
    if answer.failures:
        _say_failures(ask, answer, len(ids))
    if ask.request.queue and ids and not ask.waits:
        await _say_what_waits(session, answer, ids)
    return ids


async def _say_what_waits(session: Session, answer: task_pb2.RunTaskResponse, ids: list[str]) -> None:
    """Those that were placed come first: if any waits, the last one does."""
    (last,) = (await find.describe_tasks(session, ids[-1:])).tasks or [None]
    if last is None or last.last_status != "PROVISIONING":
        return
    placed = next((at for at, task in enumerate(answer.tasks) if task.last_status == "PROVISIONING"), None)
    how_many = "Some of the tasks wait" if placed is None else text.waiting(len(ids) - placed, len(ids))
    sys.stdout.flush()
    click.echo(f"{how_many} for room: {text.printable(last.waiting_reason)}.", err=True)
    click.echo(f"{click.style('Try:', bold=True)} shoal explain {text.short_task(ids[-1])}", err=True)


def _say_failures(ask: Ask, answer: task_pb2.RunTaskResponse, placed: int) -> None:
    wanted = ask.request.count or 1
    headline = "The task was not placed." if wanted == 1 else f"{placed:,} of {wanted:,} tasks were placed."
    sys.stdout.flush()
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {headline}", err=True)
    for line in placement.failure_lines(answer.failures):
        click.echo(f"  {text.printable(line)}", err=True)
    click.echo(f"{click.style('Try:', bold=True)} {placement.hint(answer.failures)}", err=True)


def _ids(answer: task_pb2.RunTaskResponse) -> list[str]:
    return tasks.expand(answer.task_id_ranges) or [tasks.task_id(task) for task in answer.tasks]


def _newest(answer: task_pb2.RunTaskResponse) -> int:
    """Ages are counted from the answer itself: nothing in it is older than the call."""
    return max((task.created_at for task in answer.tasks), default=0)
