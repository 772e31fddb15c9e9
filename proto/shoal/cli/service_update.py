"""`shoal service update` and `scale`."""

from typing import Any

import click

from shoal.cli import deployment_follow, service_find, service_options, service_wait
from shoal.cli.failures import OK, warn
from shoal.cli.options import connected, duration, int32
from shoal.cli.session import Session, call
from shoal.v1 import service_pb2 as pb

wait_option = click.option("--wait", "waits", is_flag=True, help="Stay until the deployment is over, if one begins.")
timeout_option = click.option(
    "--timeout", type=duration, default="10m", show_default=True, help="How long to stay, at most."
)
REMOVABLE = {
    "target-groups": "loadBalancers",
    "discovery": "serviceRegistries",
    "constraints": "placementConstraints",
    "strategies": "placementStrategy",
}


@click.command()
@click.argument("name", metavar="SERVICE")
@service_options.service_options
@click.option(
    "--remove", "removed", multiple=True, type=click.Choice(tuple(REMOVABLE)), help="What it is to have no longer."
)
@click.option("--force-new-deployment", is_flag=True, default=None, help="Start all its tasks anew.")
@wait_option
@timeout_option
@connected
def update(name: str, removed: tuple[str, ...], waits: bool, timeout: float, **options: Any) -> int:
    """Change a service; what is not given stays.

    A deployment begins where what its tasks are made of changes: the task definition, target groups, discovery.
    """
    request = pb.UpdateServiceRequest(
        service=name,
        remove=[REMOVABLE[each] for each in removed],
        force_new_deployment=options["force_new_deployment"],
    )
    service_options.put_options(request, options)
    return call(lambda session: change(session, request, timeout if waits else 0.0), "Updating")


@click.command()
@click.argument("name", metavar="SERVICE")
@click.argument("count", type=int32, metavar="COUNT")
@click.option("--wait", "waits", is_flag=True, help="Stay until so many tasks run.")
@timeout_option
@connected
def scale(name: str, count: int, waits: bool, timeout: float) -> int:
    """Change how many tasks of a service run."""

    async def work(session: Session) -> int:
        request = pb.UpdateServiceRequest(cluster=session.cluster, service=name, desired_count=count)
        answer = await session.client.services.UpdateService(request)
        click.echo(f"{answer.service.service_name}: {answer.service.desired_count}")
        return await service_wait.attend(session, [name], service_wait.STEADY, timeout) if waits else OK

    return call(work, "Scaling")


async def change(session: Session, request: pb.UpdateServiceRequest, stay_seconds: float) -> int:
    """Sends it, says what it began, and stays with that so long. The exit code."""
    request.cluster = session.cluster
    before = await service_find.service(session, request.service)
    answer = await session.client.services.UpdateService(request)
    for warning in answer.warnings:
        warn(f"{warning.field}: {warning.message}")
    name, began = answer.service.service_name, deployment_follow.new_deployment(before, answer.service)
    if not began:
        click.echo(name)
        return OK
    click.echo(f"{name}: a deployment begins")
    return await deployment_follow.attend(session, name, began, stay_seconds) if stay_seconds else OK
