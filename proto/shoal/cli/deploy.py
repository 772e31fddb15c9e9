"""`shoal deploy`: one line for a pipeline."""

from dataclasses import dataclass
from pathlib import Path

import click

from shoal import arn
from shoal.cli import deployment_follow, image_definition, service_find, service_words, task_definition_images
from shoal.cli.failures import OK, warn
from shoal.cli.options import connected, duration, int32
from shoal.cli.register import read_document, read_message
from shoal.cli.session import Session, call
from shoal.v1 import service_pb2 as pb
from shoal.v1 import task_definition_pb2


@dataclass(frozen=True, slots=True)
class Ask:
    """What the options say. stay_seconds: 0 is not at all."""

    service: str
    images: tuple[str, ...]
    definition: str | None
    count: int | None
    force: bool
    stay_seconds: float


@click.command()
@click.argument("service", metavar="SERVICE")
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="[CONTAINER=]IMAGE",
    help="What a container is to run. Without its name: the only one, or the one that runs this repository.",
)
@click.option(
    "--task-definition",
    "definition",
    metavar="FAMILY[:REV] | FILE",
    help="What to deploy, instead of what the service runs: a registered one, or a JSON file.",
)
@click.option("--count", type=int32, metavar="N", help="How many tasks are to run.")
@click.option(
    "--force", is_flag=True, help="Start all tasks anew even if nothing changes: a tag may mean another image."
)
@click.option("--wait/--no-wait", "waits", default=True, show_default=True, help="Stay until the deployment is over.")
@click.option("--timeout", type=duration, default="10m", show_default=True, help="How long to stay, at most.")
@connected
def deploy(
    service: str,
    images: tuple[str, ...],
    definition: str | None,
    count: int | None,
    force: bool,
    waits: bool,
    timeout: float,
) -> int:
    """Deploy to a service, and stay until it runs there or is rolled back.

    \b
    shoal deploy web --image registry.example.com/web:7
    shoal deploy web --image app=web:7 --image side=proxy:2 --timeout 5m
    shoal deploy web --task-definition web.json --count 6

    A new revision of the task definition is registered where it says something new. Old and new tasks are shown as
    they come and go.

    \b
    Exits with 0    the new tasks run, or they did already
               1    it failed, or was rolled back; the reason is said
               124  it was not over in time; it goes on
    """
    ask = Ask(service, images, definition, count, force, timeout if waits else 0.0)
    return call(lambda session: _deploy(session, ask), "Deploying")


async def _deploy(session: Session, ask: Ask) -> int:
    before = await service_find.service(session, ask.service)
    name = await _definition(session, ask, before)
    request = pb.UpdateServiceRequest(
        cluster=session.cluster,
        service=ask.service,
        task_definition=name if name != arn.short(before.task_definition) else None,
        desired_count=ask.count,
        force_new_deployment=ask.force or None,
    )
    answer = await session.client.services.UpdateService(request)
    for warning in answer.warnings:
        warn(f"{warning.field}: {warning.message}")
    return await _stay(session, ask, before, answer.service)


async def _definition(session: Session, ask: Ask, service: pb.Service) -> str:
    """FAMILY:REVISION of what is to run."""
    base = ask.definition or arn.short(service.task_definition)
    if base.endswith(".json") or "/" in arn.short(base):
        document = read_document(Path(base))
        registration = read_message(document, task_definition_pb2.RegisterTaskDefinitionRequest, base, strict=False)
        base = await image_definition.definition_for(session, registration)
    return await task_definition_images.with_images(session, base, ask.images)


async def _stay(session: Session, ask: Ask, before: pb.Service, after: pb.Service) -> int:
    name, runs = after.service_name, arn.short(after.task_definition)
    began = deployment_follow.new_deployment(before, after)
    if began:
        click.echo(f"{name}: {arn.short(before.task_definition)} -> {runs}, deployment {service_words.short_id(began)}")
    elif after.current_service_deployment:
        click.echo(f"{name}: {runs} is being deployed already")
    else:
        changed = f", {after.desired_count} tasks" if after.desired_count != before.desired_count else ""
        click.echo(f"{name}: nothing to deploy, {runs} runs already{changed}")
        return OK
    if not ask.stay_seconds:
        return OK
    return await deployment_follow.attend(session, name, began or after.current_service_deployment, ask.stay_seconds)
