"""`shoal apply`: services as files say, and what that changes first."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from shoal import arn, awsjson, errors
from shoal.cli import deployment_follow, service_find, text
from shoal.cli.failures import OK, Failed, warn
from shoal.cli.options import connected, duration, target
from shoal.cli.register import read_document, read_message
from shoal.cli.service_difference import REMOVABLE, Difference, Line, difference
from shoal.cli.session import Session, call
from shoal.v1 import resource_pb2, task_definition_pb2
from shoal.v1 import service_pb2 as pb

# Values in a line of the plan are cut there.
SHOWN_CHARACTERS_MAX = 80


@dataclass(frozen=True, slots=True)
class Wanted:
    """One service of a file. `document`: what it says, with the lists that it empties."""

    name: str
    cluster: str
    request: pb.CreateServiceRequest
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """`there`: None if it is to be created."""

    wanted: Wanted
    there: pb.Service | None
    difference: Difference


@click.command()
@click.option(
    "-f",
    "--file",
    "files",
    type=click.Path(path_type=Path, allow_dash=True),
    multiple=True,
    required=True,
    metavar="PATH",
    help='Services as AWS JSON; "-" is standard input.',
)
@click.option("--plan", "only_plan", is_flag=True, help="Only show what would change.")
@click.option("--strict", is_flag=True, help="Refuse a file with fields that are not known, instead of warning.")
@click.option("--wait", "waits", is_flag=True, help="Stay until the deployments that begin are over.")
@click.option("--timeout", type=duration, default="10m", show_default=True, help="How long to stay with each, at most.")
@connected
def apply(files: tuple[Path, ...], only_plan: bool, strict: bool, waits: bool, timeout: float) -> int:
    """Make services as files say: create what is not there, change what differs, leave the rest.

    A file has one service or several, as `aws ecs create-service --cli-input-json` takes them or as a describe
    printed them. What it leaves out stays; an empty list takes away what was there. What changes is shown first.
    """

    async def work(session: Session) -> int:
        wanted = [each for file in files for each in _read(file, session.cluster, strict)]
        steps = [await _step(session, each) for each in wanted]
        session.progress.end()
        for step in steps:
            _show(step)
        _refuse_fixed(steps)
        if only_plan:
            return OK
        codes = [await _carry_out(session, step, timeout if waits else 0.0) for step in steps]
        return next((code for code in codes if code != OK), OK)

    return call(work, "Comparing")


def _read(file: Path, cluster: str, strict: bool) -> list[Wanted]:
    """Raises InvalidInput."""
    documents = _documents(read_document(file))
    if not documents:
        raise errors.InvalidInput(f"{file} holds no service.")
    return [
        _wanted(each, f"{file}" if len(documents) == 1 else f"{file}[{at}]", cluster, strict)
        for at, each in enumerate(documents)
    ]


def _documents(document: Any) -> list[Any]:
    """One service, a list of them, or what describe-services, create-service and update-service print."""
    if isinstance(document, list):
        return document
    if isinstance(document, dict) and isinstance(document.get("services"), list):
        return list(document["services"])
    if isinstance(document, dict) and isinstance(document.get("service"), dict):
        return [document["service"]]
    return [document]


def _wanted(raw: Any, name: str, cluster: str, strict: bool) -> Wanted:
    request = read_message(raw, pb.CreateServiceRequest, name, strict)
    if not request.service_name:
        raise errors.InvalidInput(f"{name} was not sent: serviceName is required.")
    if request.scheduling_strategy == "DAEMON":
        request.ClearField("desired_count")  # a described one has it, and it says how many instances there are
    request.cluster = arn.short(request.cluster or target().cluster or raw.get("clusterArn") or cluster)
    document = awsjson.to_document(request)
    emptied: dict[str, Any] = {each: [] for each in (*REMOVABLE, "tags") if raw.get(each) == []}
    return Wanted(request.service_name, request.cluster, request, {**document, **emptied})


async def _step(session: Session, wanted: Wanted) -> Step:
    request = pb.DescribeServicesRequest(cluster=wanted.cluster, services=[wanted.name], include=["TAGS"])
    found = (await session.client.services.DescribeServices(request)).services
    there = found[0] if found and found[0].status != "INACTIVE" else None
    if there is None:
        return Step(wanted, None, difference(wanted.document, {}))
    document = {**wanted.document}
    if "taskDefinition" in document:
        document["taskDefinition"] = await _fixed_definition(session, document["taskDefinition"])
    return Step(wanted, there, difference(document, awsjson.to_document(there)))


async def _fixed_definition(session: Session, name: str) -> str:
    """With its revision."""
    if ":" in arn.short(name):
        return name
    request = task_definition_pb2.DescribeTaskDefinitionRequest(task_definition=arn.short(name))
    definition = (await session.client.cluster.DescribeTaskDefinition(request)).task_definition
    return f"{definition.family}:{definition.revision}"


def _show(step: Step) -> None:
    lines = step.difference.lines
    if step.there is None:
        what = "is created"
    elif not lines and not step.difference.fixed:
        what = "stays as it is"
    else:
        what = "changes" + (", and a deployment begins" if step.difference.begins_deployment else "")
    click.echo(f"{step.wanted.name} (cluster {step.wanted.cluster}): {what}")
    for line in (*lines, *step.difference.fixed):
        click.echo(f"  {_line(line)}")


def _line(line: Line) -> str:
    if line.before is None:
        return click.style(f"+ {line.path}: {_value(line.after)}", fg="green")
    if line.after is None:
        return click.style(f"- {line.path}: {_value(line.before)}", fg="red")
    return click.style(f"~ {line.path}: {_value(line.before)} -> {_value(line.after)}", fg="yellow")


def _value(value: Any) -> str:
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    words = text.printable(words)
    return words if len(words) <= SHOWN_CHARACTERS_MAX else f"{words[: SHOWN_CHARACTERS_MAX - 3]}..."


def _refuse_fixed(steps: Sequence[Step]) -> None:
    for step in steps:
        if step.there is not None and step.difference.fixed:
            names = text.sentence_list(line.path for line in step.difference.fixed)
            hint = f"shoal service delete {step.wanted.name} --force --wait, then apply again"
            raise Failed(f"{step.wanted.name}: {names} cannot be changed. Nothing was done.", hint)


async def _carry_out(session: Session, step: Step, stay_seconds: float) -> int:
    """The exit code."""
    if step.there is None:
        answer = await session.client.services.CreateService(step.wanted.request)
        after, began = answer.service, service_find.primary(answer.service).service_deployment_arn
        _warn(answer.warnings)
    elif step.difference.update:
        request, _ = awsjson.to_message(step.difference.update, pb.UpdateServiceRequest)
        request.cluster, request.service = step.wanted.cluster, step.wanted.name
        changed = await session.client.services.UpdateService(request)
        after, began = changed.service, deployment_follow.new_deployment(step.there, changed.service)
        _warn(changed.warnings)
    else:
        after, began = step.there, ""
    if step.there is not None:
        await _tag(session, after.service_arn, step.difference.tags)
    if not (began and stay_seconds):
        return OK
    here = Session(session.client, step.wanted.cluster, session.progress)
    return await deployment_follow.attend(here, step.wanted.name, began, stay_seconds)


async def _tag(session: Session, name: str, tags: dict[str, str | None]) -> None:
    put = [resource_pb2.Tag(key=key, value=value) for key, value in tags.items() if value is not None]
    gone = [key for key, value in tags.items() if value is None]
    if put:
        await session.client.cluster.TagResource(resource_pb2.TagResourceRequest(resource_arn=name, tags=put))
    if gone:
        request = resource_pb2.UntagResourceRequest(resource_arn=name, tag_keys=gone)
        await session.client.cluster.UntagResource(request)


def _warn(warnings: Sequence[task_definition_pb2.Warning]) -> None:
    for warning in warnings:
        warn(f"{warning.field}: {warning.message}")
