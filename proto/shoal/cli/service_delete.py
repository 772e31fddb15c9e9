import click

from shoal.cli import service_wait
from shoal.cli.options import connected, duration
from shoal.cli.session import Session, call
from shoal.v1 import service_pb2 as pb

TIMEOUT_SECONDS = 600.0


@click.command()
@click.argument("names", metavar="SERVICE...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Even one that still wants tasks.")
@click.option("--wait", "waits", is_flag=True, help="Wait until their last tasks have ended.")
@click.option("--timeout", type=duration, default="10m", show_default=True, help="How long to wait, at most.")
@connected
def delete(names: tuple[str, ...], force: bool, waits: bool, timeout: float) -> int:
    """Delete services; their tasks are stopped. One that wants tasks is only deleted by force."""

    async def work(session: Session) -> int:
        for name in names:
            request = pb.DeleteServiceRequest(cluster=session.cluster, service=name, force=force)
            answer = await session.client.services.DeleteService(request)
            click.echo(answer.service.service_name)
        return await service_wait.attend(session, names, service_wait.INACTIVE, timeout) if waits else 0

    return call(work, "Deleting")
