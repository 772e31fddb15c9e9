"""`shoal target-group`: tasks of services that answer the same requests."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import click

from shoal import arn, awsjson
from shoal.cli import find, show, text
from shoal.cli.options import connected, duration, output_option, parse_pairs
from shoal.cli.session import Session, call
from shoal.v1 import resource_pb2
from shoal.v1 import traffic_pb2 as pb

COLUMNS = ("TARGET GROUP", "PROTOCOL", "HEALTHY", "TARGETS", "CHECKED BY")
HEALTH_COLUMNS = ("TARGET", "STATE", "SINCE", "TASK", "SERVICE", "WHY")
_CHOICE = click.Choice


@click.group("target-group")
def target_group() -> None:
    """Groups of tasks that answer the same requests, and whether each is well."""


@target_group.command()
@click.argument("name")
@click.option("--protocol", type=_CHOICE(("HTTP", "HTTPS", "TCP", "GRPC")), default="HTTP", show_default=True)
@click.option("--health-path", metavar="PATH", help="Asked of each target.  [default: /]")
@click.option("--health-codes", metavar="CODES", help="That are well, as 200-299.  [default: 200, of gRPC 0]")
@click.option("--health-protocol", type=_CHOICE(("HTTP", "HTTPS", "TCP")), help="[default: as the group's]")
@click.option("--interval", type=duration, metavar="DURATION", help="Between two checks.  [default: 5s]")
@click.option("--timeout", type=duration, metavar="DURATION", help="Of a check.  [default: 2s]")
@click.option("--healthy", type=int, metavar="N", help="Checks in a row to be well again.  [default: 2]")
@click.option("--unhealthy", type=int, metavar="N", help="Failed checks in a row to be ill.  [default: 2]")
@click.option("--drain", type=duration, metavar="DURATION", help="Out of the routes before it stops.  [default: 10s]")
@click.option("--sticky", type=duration, metavar="DURATION", help="A client stays with a target, by a cookie.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", callback=parse_pairs, help="Of the target group.")
@output_option
@connected
def create(name: str, protocol: str, tags: Mapping[str, str], output: str, **options: Any) -> None:
    """Create a target group, which services then name in loadBalancers.

    \b
    shoal target-group create web --health-path /health
    shoal rule create web --to web --host web.example
    """
    is_grpc = protocol == "GRPC"
    codes = options["health_codes"]
    seconds = {key: int(options[key]) if options[key] is not None else None for key in ("interval", "timeout", "drain")}
    sticky = options["sticky"]

    async def work(session: Session) -> pb.CreateTargetGroupResponse:
        request = pb.CreateTargetGroupRequest(
            name=name,
            cluster=session.cluster,
            protocol="HTTP" if is_grpc else protocol,
            protocol_version="GRPC" if is_grpc else None,
            health_check_path=options["health_path"],
            health_check_protocol=options["health_protocol"],
            health_check_interval_seconds=seconds["interval"],
            health_check_timeout_seconds=seconds["timeout"],
            healthy_threshold_count=options["healthy"],
            unhealthy_threshold_count=options["unhealthy"],
            matcher=None if codes is None else pb.Matcher(**{"grpc_code" if is_grpc else "http_code": codes}),
            deregistration_delay_seconds=seconds["drain"],
            stickiness=None if sticky is None else pb.TargetGroupStickiness(enabled=True, duration_seconds=int(sticky)),
            tags=[resource_pb2.Tag(key=key, value=value) for key, value in tags.items()],
        )
        return await session.client.traffic.CreateTargetGroup(request)

    answer = call(work)
    if output in ("json", "yaml"):
        show.print_document(output, awsjson.to_document(answer))
    else:
        click.echo(answer.target_groups[0].target_group_name)


@target_group.command("ls")
@output_option
@connected
def list_all(output: str) -> None:
    """List target groups, and how many of their targets are healthy."""

    async def work(session: Session) -> tuple[pb.DescribeTargetGroupsResponse, list[Counter[str]]]:
        whole = pb.DescribeTargetGroupsResponse()
        request = pb.DescribeTargetGroupsRequest(cluster=session.cluster)
        async for answer in find.pages(session.client.traffic.DescribeTargetGroups, request):
            whole.target_groups.extend(answer.target_groups)
        if output not in ("table", "wide"):
            return whole, []
        health = [await _health(session, each.target_group_name) for each in whole.target_groups]
        return whole, [Counter(each.target_health.state for each in found) for found in health]

    answer, states = call(work)
    show.emit(
        output,
        lambda: show.Table(
            COLUMNS,
            [_row(*pair) for pair in zip(answer.target_groups, states, strict=True)],
            "No target groups: shoal target-group create NAME",
        ),
        lambda: {"TargetGroups": [], **awsjson.to_document(answer)},
        [each.target_group_name for each in answer.target_groups],
    )


async def _health(session: Session, name: str) -> Sequence[pb.TargetHealthDescription]:
    request = pb.DescribeTargetHealthRequest(target_group_arn=name, cluster=session.cluster)
    return (await session.client.traffic.DescribeTargetHealth(request)).target_health_descriptions


def _row(group: pb.TargetGroup, states: Counter[str]) -> Sequence[str]:
    return (
        group.target_group_name,
        _protocol(group),
        str(states["healthy"]),
        str(states.total()),
        _check(group),
    )


def _protocol(group: pb.TargetGroup) -> str:
    return group.protocol if group.protocol_version in ("", "HTTP1") else f"{group.protocol} {group.protocol_version}"


def _check(group: pb.TargetGroup) -> str:
    codes = group.matcher.http_code or group.matcher.grpc_code
    path = f" {group.health_check_path} = {codes}" if group.health_check_path else ""
    return f"{group.health_check_protocol}{path}, every {text.span(group.health_check_interval_seconds)}"


@target_group.command()
@click.argument("name")
@click.option("-o", "--output", type=click.Choice(("table", "json", "yaml")), default="table", help="How to print.")
@connected
def describe(name: str, output: str) -> None:
    """Show how a target group is set up."""

    async def work(session: Session) -> pb.DescribeTargetGroupsResponse:
        request = pb.DescribeTargetGroupsRequest(names=[name], cluster=session.cluster)
        return await session.client.traffic.DescribeTargetGroups(request)

    (found,) = call(work).target_groups
    if output != "table":
        show.print_document(output, awsjson.to_document(found))
        return
    sticky = found.stickiness
    limits = f"{found.healthy_threshold_count} to be healthy, {found.unhealthy_threshold_count} to be unhealthy"
    show.print_fields(
        found.target_group_name,
        [
            ("arn", found.target_group_arn),
            ("created", text.moment(found.created_at)),
            ("protocol", _protocol(found)),
            ("checked by", f"{_check(found)}, within {text.span(found.health_check_timeout_seconds)}"),
            ("checked at", found.health_check_port),
            ("in a row", limits),
            ("drained for", text.span(found.deregistration_delay_seconds)),
            ("sticky", text.span(sticky.duration_seconds) if sticky.enabled else ""),
            ("tags", "\n".join(f"{each.key}={each.value}" for each in found.tags)),
        ],
    )


@target_group.command()
@click.argument("name")
@output_option
@connected
def health(name: str, output: str) -> None:
    """List the targets of a group, and whether each is well."""

    async def work(session: Session) -> pb.DescribeTargetHealthResponse:
        request = pb.DescribeTargetHealthRequest(target_group_arn=name, cluster=session.cluster)
        return await session.client.traffic.DescribeTargetHealth(request)

    answer, now_millis = call(work), int(time.time() * 1000)
    targets = answer.target_health_descriptions
    show.emit(
        output,
        lambda: show.Table(HEALTH_COLUMNS, [_target_row(each, now_millis) for each in targets], "No targets."),
        lambda: {"TargetHealthDescriptions": [], **awsjson.to_document(answer)},
        [arn.short(each.target.task_arn) for each in targets],
    )


def _target_row(it: pb.TargetHealthDescription, now_millis: int) -> Sequence[str]:
    known = it.target_health
    return (
        f"{it.target.id}:{it.target.port}",
        known.state,
        text.age(known.since, now_millis) if known.since else "-",
        text.short_task(arn.short(it.target.task_arn)),
        it.target.service_name,
        known.description or "-",
    )


@target_group.command("delete")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@connected
def remove(names: tuple[str, ...]) -> None:
    """Delete target groups that no rule forwards to and no service names."""

    async def work(session: Session) -> None:
        for name in names:
            request = pb.DeleteTargetGroupRequest(target_group_arn=name, cluster=session.cluster)
            await session.client.traffic.DeleteTargetGroup(request)
            click.echo(arn.short(name))

    call(work)
