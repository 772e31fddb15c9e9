import time
from collections.abc import Sequence

import click

from shoal import arn, awsjson
from shoal.cli import service_find, service_words, show, text
from shoal.cli.options import connected, output_option
from shoal.cli.session import Session, call
from shoal.v1 import service_pb2 as pb

EVENTS_SHOWN = 10


@click.command()
@click.argument("names", metavar="SERVICE...", nargs=-1, required=True)
@output_option
@connected
def describe(names: tuple[str, ...], output: str) -> None:
    """Show all there is to know of services."""

    async def work(session: Session) -> list[pb.Service]:
        return await service_find.services(session, names, with_tags=True)

    found = call(work)
    if output in ("json", "yaml", "name"):
        show.emit(
            output,
            lambda: show.Table((), ()),
            lambda: {"services": [awsjson.to_document(each) for each in found], "failures": []},
            [each.service_name for each in found],
        )
        return
    for at, each in enumerate(found):
        if at:
            click.echo()
        show_service(each, int(time.time() * 1000))


def show_service(service: pb.Service, now_millis: int) -> None:
    configuration = service.deployment_configuration
    fields = [
        ("ARN", service.service_arn),
        ("Status", service.status),
        ("Created", f"{text.moment(service.created_at)}{f' by {service.created_by}' if service.created_by else ''}"),
        ("Definition", arn.short(service.task_definition)),
        ("Tasks", f"{service.running_count} of {service_words.wanted(service)} run, {service.pending_count} start"),
        ("Kept", f"{configuration.minimum_healthy_percent} % healthy, at most {configuration.maximum_percent} %"),
        ("If it fails", _if_it_fails(configuration)),
        ("Target groups", "\n".join(map(_target, service.load_balancers))),
        ("Found as", ", ".join(arn.short(each.registry_arn) for each in service.service_registries)),
        ("Placement", "\n".join(_placement(service))),
        ("Deployments", "\n".join(_deployment(each, now_millis) for each in service.deployments)),
        ("Tags", ", ".join(f"{tag.key}={tag.value}" for tag in service.tags)),
        ("Events", "\n".join(_event(each, now_millis) for each in service.events[:EVENTS_SHOWN])),
    ]
    show.print_fields(service.service_name, fields)


def _if_it_fails(configuration: pb.DeploymentConfiguration) -> str:
    breaker, alarms = configuration.deployment_circuit_breaker, configuration.alarms
    said = []
    if breaker.enable:
        threshold = breaker.threshold_configuration
        unit = " tasks" if threshold.type == "COUNT" else " % of the tasks"
        said.append(f"{'rolls back' if breaker.rollback else 'stops'} after {threshold.value}{unit} failed")
    if alarms.enable:
        how = "rolls back" if alarms.rollback else "stops"
        said.append(f"{how} on {' or '.join(alarms.alarm_names)}")
    ends = f"a deployment has failed that gets no further for {text.span(configuration.progress_time_in_minutes * 60)}"
    return "; ".join([*said, ends])


def _target(balancer: pb.LoadBalancer) -> str:
    name = arn.target_group_name(balancer.target_group_arn)
    return f"{name}: port {balancer.container_port} of {balancer.container_name}"


def _placement(service: pb.Service) -> Sequence[str]:
    constraints = [f"{each.type} {each.expression}".strip() for each in service.placement_constraints]
    strategies = [f"{each.type} {each.field}".strip() for each in service.placement_strategy]
    zones = ["balanced over availability zones"] if service.availability_zone_rebalancing == "ENABLED" else []
    daemon = ["one on each instance"] if service.scheduling_strategy == "DAEMON" else []
    return [*daemon, *constraints, *strategies, *zones]


def _deployment(deployment: pb.Deployment, now_millis: int) -> str:
    words = (
        f"{deployment.status} {arn.short(deployment.task_definition)}: {deployment.rollout_state},"
        f" {deployment.running_count} of {deployment.desired_count} run, since"
        f" {text.age(deployment.created_at, now_millis)}"
    )
    if deployment.rollout_state_reason:
        words += f": {deployment.rollout_state_reason}"
    if deployment.throttled_until > now_millis:
        words += f" (the next task starts in {text.age(now_millis, deployment.throttled_until)})"
    return words


def _event(event: pb.ServiceEvent, now_millis: int) -> str:
    return f"{text.stamp(event.created_at, now_millis)}   {event.message}"
