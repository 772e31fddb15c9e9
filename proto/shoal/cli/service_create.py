from pathlib import Path
from typing import Any

import click

from shoal.cli import deployment_follow, service_find, service_options
from shoal.cli.failures import OK, warn
from shoal.cli.options import connected, duration, parse_pairs
from shoal.cli.register import file_option, read_document, read_message
from shoal.cli.session import Session, call
from shoal.v1 import service_pb2 as pb


@click.command()
@click.argument("name", metavar="SERVICE", required=False)
@file_option
@service_options.service_options
@click.option("--daemon", is_flag=True, help="One task on each instance, instead of a count.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", callback=parse_pairs, help="A tag of the service.")
@click.option("--wait", "waits", is_flag=True, help="Stay until its first deployment is over; see `shoal deploy`.")
@click.option("--timeout", type=duration, default="10m", show_default=True, help="How long to stay, at most.")
@connected
def create(name: str | None, file: Path | None, daemon: bool, waits: bool, timeout: float, **options: Any) -> int:
    """Create a service; one that is there just so is fine.

    Without --count it is one task. Unless --no-circuit-breaker is given, or a file, deployments whose tasks fail are
    rolled back.

    \b
    shoal service create web --task-definition web --count 3
    shoal service create web --task-definition web:7 --count 3 --target-group web:app:80
    shoal service create agents --task-definition agent --daemon
    shoal service create -f service.json           as `aws ecs create-service --cli-input-json` takes it
    """
    if (name is None) == (file is None):
        raise click.UsageError("Name the service, or give a file with all there is to say of it.")
    request = pb.CreateServiceRequest(service_name=name)
    if file is None and options["breaker"] is None:
        options["breaker"] = True
    if file is not None:
        request = read_message(read_document(file), pb.CreateServiceRequest, str(file), strict=False)
    service_options.put_options(request, options)
    request.tags.extend(service_options.tags(options))
    if daemon:
        request.scheduling_strategy = "DAEMON"
    elif file is None and not request.HasField("desired_count"):
        request.desired_count = 1

    async def work(session: Session) -> int:
        if not request.HasField("cluster"):
            request.cluster = session.cluster
        answer = await session.client.services.CreateService(request)
        for warning in answer.warnings:
            warn(f"{warning.field}: {warning.message}")
        click.echo(answer.service.service_name)
        if not waits:
            return OK
        began = service_find.primary(answer.service).service_deployment_arn
        return await deployment_follow.attend(session, answer.service.service_name, began, timeout)

    return call(work, "Creating")
