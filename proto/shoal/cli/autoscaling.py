"""`shoal autoscaling`: what changes the desired counts of services by itself."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from shoal import awsjson
from shoal.cli import find, show, text
from shoal.cli.autoscaling_policy import policy
from shoal.cli.autoscaling_resource import resource_id, resource_ids, service_of
from shoal.cli.autoscaling_schedule import schedule
from shoal.cli.failures import warn
from shoal.cli.options import connected, int32, output_option, parse_pairs
from shoal.cli.register import file_option, read_document, read_message
from shoal.cli.session import Session, call
from shoal.v1 import autoscaling_pb2 as pb

COLUMNS = ("SERVICE", "MIN", "MAX", "SUSPENDED")
ACTIVITY_COLUMNS = ("WHEN", "SERVICE", "STATUS", "WHAT", "WHY")
SUSPENDABLE = ("in", "out", "scheduled")


@click.group()
def autoscaling() -> None:
    """Scale services by load and by the clock.

    \b
    shoal autoscaling target put web --min 2 --max 20
    shoal autoscaling policy put web cpu --cpu 60
    shoal autoscaling schedule put web morning --schedule 'cron(0 8 ? * MON-FRI *)' --timezone Europe/Vienna --min 6
    shoal autoscaling activities web
    """


@autoscaling.group()
def target() -> None:
    """Which services are scaled, and between which counts."""


@target.command("put")
@click.argument("service", required=False)
@file_option
@click.option("--min", "low", type=int32, metavar="N", help="The least tasks; 0 lets it scale to none.")
@click.option("--max", "high", type=int32, metavar="N", help="The most tasks.")
@click.option(
    "--suspend",
    multiple=True,
    type=click.Choice(SUSPENDABLE),
    help="Hold scaling in, scaling out, or scheduled actions back.",
)
@click.option("--resume", multiple=True, type=click.Choice(SUSPENDABLE), help="Let it happen again.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", callback=parse_pairs, help="A tag.")
@connected
def put_target(
    service: str | None,
    file: Path | None,
    low: int | None,
    high: int | None,
    suspend: Sequence[str],
    resume: Sequence[str],
    tags: dict[str, str],
) -> None:
    """Scale a service, or change what is given of how it is scaled.

    The file is the JSON of `aws application-autoscaling register-scalable-target --cli-input-json`.
    """
    if (service is None) == (file is None):
        raise click.UsageError("Name the service, or give a file with all there is to say.")
    if both := sorted(set(suspend) & set(resume)):
        raise click.UsageError(f"{both[0]} cannot be suspended and resumed at once.")
    document = None if file is None else read_document(file)

    async def work(session: Session) -> str:
        if document is not None:
            request = read_message(document, pb.RegisterScalableTargetRequest, str(file), strict=False)
        else:
            assert service is not None
            request = pb.RegisterScalableTargetRequest(
                resource_id=resource_id(session, service), min_capacity=low, max_capacity=high, tags=tags
            )
            _suspend(request, suspend, resume)
        answer = await session.client.autoscaling.RegisterScalableTarget(request)
        for warning in answer.warnings:
            warn(f"{warning.field}: {warning.message}")
        return request.resource_id

    click.echo(service_of(call(work)))


def _suspend(request: pb.RegisterScalableTargetRequest, suspend: Sequence[str], resume: Sequence[str]) -> None:
    state = {name: name in suspend if name in (*suspend, *resume) else None for name in SUSPENDABLE}
    if suspend or resume:
        request.suspended_state.CopyFrom(
            pb.SuspendedState(
                dynamic_scaling_in_suspended=state["in"],
                dynamic_scaling_out_suspended=state["out"],
                scheduled_scaling_suspended=state["scheduled"],
            )
        )


@target.command("ls")
@click.argument("services", metavar="[SERVICE...]", nargs=-1)
@output_option
@connected
def list_targets(services: tuple[str, ...], output: str) -> None:
    """List the services that are scaled."""

    async def work(session: Session) -> pb.DescribeScalableTargetsResponse:
        whole = pb.DescribeScalableTargetsResponse()
        request = pb.DescribeScalableTargetsRequest(resource_ids=resource_ids(session, services))
        async for answer in find.pages(session.client.autoscaling.DescribeScalableTargets, request):
            whole.scalable_targets.extend(answer.scalable_targets)
        return whole

    answer = call(work)
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each) for each in answer.scalable_targets], "No service is scaled."),
        lambda: {"ScalableTargets": [], **awsjson.to_document(answer)},
        [service_of(each.resource_id) for each in answer.scalable_targets],
    )


def _row(it: pb.ScalableTarget) -> Sequence[str]:
    state = it.suspended_state
    suspended = (
        state.dynamic_scaling_in_suspended,
        state.dynamic_scaling_out_suspended,
        state.scheduled_scaling_suspended,
    )
    words = [name for name, is_suspended in zip(SUSPENDABLE, suspended, strict=True) if is_suspended]
    return (service_of(it.resource_id), str(it.min_capacity), str(it.max_capacity), ", ".join(words) or "-")


@target.command("rm")
@click.argument("services", metavar="SERVICE...", nargs=-1, required=True)
@connected
def remove_targets(services: tuple[str, ...]) -> None:
    """Scale services no more; their policies and scheduled actions go, their counts stay."""

    async def work(session: Session) -> None:
        for name in services:
            request = pb.DeregisterScalableTargetRequest(resource_id=resource_id(session, name))
            await session.client.autoscaling.DeregisterScalableTarget(request)
            click.echo(name)

    call(work)


@autoscaling.command()
@click.argument("service", required=False)
@click.option("--all", "everything", is_flag=True, help="Also where a bound was in the way.")
@click.option("-o", "--output", type=click.Choice(("table", "json", "yaml")), default="table", help="How to print.")
@connected
def activities(service: str | None, everything: bool, output: str) -> None:
    """Show what was scaled, when and why, the newest first."""

    async def work(session: Session) -> pb.DescribeScalingActivitiesResponse:
        whole = pb.DescribeScalingActivitiesResponse()
        request = pb.DescribeScalingActivitiesRequest(
            resource_id=resource_id(session, service) if service else None, include_not_scaled_activities=everything
        )
        async for answer in find.pages(session.client.autoscaling.DescribeScalingActivities, request):
            whole.scaling_activities.extend(answer.scaling_activities)
        return whole

    answer = call(work)
    now_millis = int(time.time() * 1000)
    rows = [_activity_row(each, now_millis) for each in answer.scaling_activities]
    show.emit(
        output,
        lambda: show.Table(ACTIVITY_COLUMNS, rows, "Nothing was scaled yet."),
        lambda: {"ScalingActivities": [], **awsjson.to_document(answer)},
        (),
    )


def _activity_row(it: pb.ScalingActivity, now_millis: int) -> Sequence[str]:
    reasons = ", ".join(reason.code for reason in it.not_scaled_reasons)
    failed = it.status_message if it.status_code == "Failed" else ""
    return (
        text.stamp(it.start_time, now_millis),
        service_of(it.resource_id),
        it.status_code,
        it.description,
        "; ".join(part for part in (it.cause, reasons, failed) if part),
    )


autoscaling.add_command(policy)
autoscaling.add_command(schedule)
