import time
from collections.abc import Callable, Sequence

import click

from shoal import arn
from shoal.cli import checks, find, instance_words, show, text
from shoal.cli.options import connected, output_option
from shoal.cli.session import Session, call
from shoal.v1 import container_instance_pb2, resource_pb2
from shoal.v1.container_instance_pb2 import ContainerInstance

INSTANCE_ID_CHARACTERS = 32
COLUMNS = ("INSTANCE", "HOST", "STATUS", "AGENT", "TASKS", "CPU FREE", "MEMORY FREE", "ENGINE", "AGE")


@click.group(invoke_without_command=True)
@click.option("--status", metavar="STATUS", help="Only instances of this status, as ACTIVE or DRAINING.")
@click.option(
    "--where", "--filter", "expression", metavar="EXPRESSION", help="Only instances that match, as in memberOf."
)
@output_option
@connected
@click.pass_context
def instances(ctx: click.Context, status: str | None, expression: str | None, output: str) -> None:
    """List container instances, and what room they have."""
    if ctx.invoked_subcommand is not None:
        return

    async def work(session: Session) -> container_instance_pb2.DescribeContainerInstancesResponse:
        filters = {"status": status, "filter": expression}
        arns = await find.instance_arns(session, **{key: value for key, value in filters.items() if value})
        return await find.describe_instances(session, arns, [find.HEALTH])

    answer = call(work)
    found = sorted(answer.container_instances, key=lambda each: (each.registered_at, each.container_instance_arn))
    empty = "No instances. Each host needs an agent; `shoal up` starts one here."
    if status or expression:
        empty = "No such instances."
    emit(answer, output, lambda: _table(found, int(time.time() * 1000), output == "wide", empty))


@instances.command("describe")
@click.argument("names", metavar="INSTANCE...", nargs=-1, required=True)
@output_option
@connected
@click.pass_context
def describe_instances(ctx: click.Context, names: tuple[str, ...], output: str) -> None:
    """Show all there is to know of instances."""
    from shoal.cli.describe import describe

    ctx.invoke(describe, names=names, trace=False, output=output)


@instances.command("deregister")
@click.argument("name", metavar="INSTANCE")
@click.option("--force", is_flag=True, help="Also while tasks run on it.")
@connected
def deregister_instance(name: str, force: bool) -> None:
    """Take an instance out of the cluster for good."""

    async def work(session: Session) -> str:
        (found,) = await find.instance_ids(session, [name])
        await session.client.cluster.DeregisterContainerInstance(
            container_instance_pb2.DeregisterContainerInstanceRequest(
                cluster=session.cluster, container_instance=found, force=force
            )
        )
        return found

    click.echo(call(work))


@instances.command("revoke")
@click.argument("name", metavar="INSTANCE")
@connected
def revoke_instance(name: str) -> None:
    """End the trust in an instance's identity, at once and for good.

    Its agent is cut off and gets no new certificate. Its tasks run on, as on any host that is away, until the
    instance is deregistered. A host comes back by joining anew.
    """
    from shoal.v1 import join_token_pb2

    async def work(session: Session) -> str:
        found = await _known_or_as_said(session, name)
        await session.client.cluster.RevokeContainerInstance(
            join_token_pb2.RevokeContainerInstanceRequest(cluster=session.cluster, container_instance=found)
        )
        return found

    click.echo(call(work))


async def _known_or_as_said(session: Session, name: str) -> str:
    """One that joined and has not come yet is in no list: then the id must be whole."""
    if len(name) == INSTANCE_ID_CHARACTERS:
        return name
    (found,) = await find.instance_ids(session, [name])
    return found


def emit(
    answer: container_instance_pb2.DescribeContainerInstancesResponse
    | container_instance_pb2.UpdateContainerInstancesStateResponse,
    output: str,
    table: Callable[[], show.Table],
) -> None:
    def document() -> object:
        from shoal import awsjson

        return {"containerInstances": [], **awsjson.to_document(answer)}

    show.emit(output, table, document, [arn.short(each.container_instance_arn) for each in answer.container_instances])


def _table(found: Sequence[ContainerInstance], now_millis: int, wide: bool, empty: str) -> show.Table:
    columns = (*COLUMNS, "ALSO OFFERS", "AGENT VERSION", "ATTRIBUTES") if wide else COLUMNS
    return show.Table(columns, [_row(each, now_millis, wide) for each in found], empty)


def _row(instance: ContainerInstance, now_millis: int, wide: bool) -> Sequence[str]:
    pending = f" +{instance.pending_tasks_count}" if instance.pending_tasks_count else ""
    row = (
        text.short_instance(arn.short(instance.container_instance_arn)),
        instance.ec2_instance_id or "-",
        instance_words.status(instance, now_millis),
        _agent(instance, now_millis),
        f"{instance.running_tasks_count}{pending}",
        room(instance, "CPU"),
        room(instance, "MEMORY"),
        instance.version_info.docker_version.removeprefix("DockerVersion: ") or "-",
        text.age(instance.registered_at, now_millis) if instance.registered_at else "",
    )
    if not wide:
        return row
    attributes = (f"{each.name}={each.value}" if each.value else each.name for each in instance.attributes)
    return (*row, _also_offers(instance), instance.version_info.agent_version, text.sentence_list(attributes, 8))


def _agent(instance: ContainerInstance, now_millis: int) -> str:
    if instance.identity_revoked_at:
        return "revoked"
    if now_millis - instance.identity_copy_seen_at < checks.COPY_TOLD_SECONDS * 1000:
        return "key copied" if instance.agent_connected else "lost, key copied"
    if not instance.agent_connected:
        return "lost"
    return "engine impaired" if instance.health_status.overall_status == "IMPAIRED" else "connected"


def _also_offers(instance: ContainerInstance) -> str:
    """GPUs, and resources of the cluster's own."""
    offers = [
        text.plural(len(each.string_set_value), "GPU") if each.name == "GPU" else f"{each.name} {each.integer_value}"
        for each in instance.registered_resources
        if each.name not in ("CPU", "MEMORY", "PORTS", "PORTS_UDP")
    ]
    return text.sentence_list(offers, 8) or "-"


def room(instance: ContainerInstance, name: str) -> str:
    """`1792/2048`; memory in units people read."""

    def amount(resources: Sequence[resource_pb2.Resource]) -> int | None:
        return next((each.integer_value for each in resources if each.name == name), None)

    free, whole = amount(instance.remaining_resources), amount(instance.registered_resources)
    if free is None or whole is None:
        return "-"
    return f"{text.mebibytes(free)} of {text.mebibytes(whole)}" if name == "MEMORY" else f"{free} of {whole}"
