"""`shoal autoscaling policy`: what a service's count follows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from shoal import awsjson
from shoal.cli import find, show, text
from shoal.cli.autoscaling_resource import resource_id, service_of
from shoal.cli.failures import warn
from shoal.cli.options import connected, duration, output_option, parse_pairs
from shoal.cli.register import file_option, read_document, read_message
from shoal.cli.session import Session, call
from shoal.v1 import autoscaling_pb2 as pb
from shoal.v1 import metrics_pb2

COLUMNS = ("SERVICE", "POLICY", "TYPE", "FOLLOWS", "COOLDOWNS")
CPU, MEMORY = "ECSServiceAverageCPUUtilization", "ECSServiceAverageMemoryUtilization"
REQUESTS = "ALBRequestCountPerTarget"
_SHORT = {CPU: "cpu", MEMORY: "memory", REQUESTS: "requests"}


@click.group()
def policy() -> None:
    """What the count of a service follows."""


@policy.command()
@click.argument("service", required=False)
@click.argument("name", required=False)
@file_option
@click.option("--cpu", type=float, metavar="PERCENT", help="Keep the average use of the processor there.")
@click.option("--memory", type=float, metavar="PERCENT", help="The same of memory.")
@click.option("--requests", type=float, metavar="N", help="Keep the requests of each task in a minute there.")
@click.option("--target-group", metavar="NAME", help="Whose requests.  [default: the service's]")
@click.option("--metric", metavar="NAMESPACE/NAME", help="Keep a metric that was put there; with --target.")
@click.option(
    "--dimension", "dimensions", multiple=True, metavar="NAME=VALUE", callback=parse_pairs, help="Of the metric."
)
@click.option("--statistic", default="Average", show_default=True, help="Of the metric.")
@click.option("--prometheus", metavar="URL", help="Ask this Prometheus server; with --query and --target.")
@click.option("--query", metavar="PROMQL", help="A scalar, or a vector of one element.")
@click.option("--target", type=float, metavar="VALUE", help="Where to keep it.")
@click.option("--out-cooldown", type=duration, metavar="DURATION", help="After scaling out.  [default: 5m]")
@click.option("--in-cooldown", type=duration, metavar="DURATION", help="After scaling in.  [default: 5m]")
@click.option("--period", type=duration, metavar="DURATION", help="Of one datapoint: 10s to 5m.  [default: 1m]")
@click.option("--no-scale-in", is_flag=True, help="Only add tasks.")
@connected
def put(service: str | None, name: str | None, file: Path | None, **options: Any) -> None:
    """Make a policy, or replace the one of that name; prints its ARN.

    Options make target tracking. Step scaling, and metric math, come from a file: the JSON of `aws
    application-autoscaling put-scaling-policy --cli-input-json`. An alarm that names the ARN among its AlarmActions
    drives step scaling.
    """
    if (file is None) == (name is None):
        raise click.UsageError("Name the service and the policy, or give a file with all there is to say.")
    document = None if file is None else read_document(file)
    configuration = _configuration(options) if document is None else None

    async def work(session: Session) -> pb.PutScalingPolicyResponse:
        if document is not None:
            request = read_message(document, pb.PutScalingPolicyRequest, str(file), strict=False)
        else:
            assert service is not None
            request = pb.PutScalingPolicyRequest(
                resource_id=resource_id(session, service),
                policy_name=name,
                policy_type="TargetTrackingScaling",
                target_tracking_scaling_policy_configuration=configuration,
            )
        return await session.client.autoscaling.PutScalingPolicy(request)

    answer = call(work)
    for warning in answer.warnings:
        warn(f"{warning.field}: {warning.message}")
    click.echo(answer.policy_arn)


def _configuration(options: Mapping[str, Any]) -> pb.TargetTrackingScalingPolicyConfiguration:
    """Raises UsageError."""
    given = [name for name in ("cpu", "memory", "requests", "metric", "prometheus") if options[name] is not None]
    if len(given) != 1:
        raise click.UsageError("Say what it follows: one of --cpu, --memory, --requests, --metric and --prometheus.")
    (kind,) = given
    target = options["target"] if kind in ("metric", "prometheus") else options[kind]
    if target is None:
        raise click.UsageError(f"--{kind} goes with --target.")
    configuration = pb.TargetTrackingScalingPolicyConfiguration(
        target_value=target,
        scale_out_cooldown=_seconds(options["out_cooldown"]),
        scale_in_cooldown=_seconds(options["in_cooldown"]),
        disable_scale_in=options["no_scale_in"],
        period_seconds=_seconds(options["period"]),
    )
    if kind == "metric":
        configuration.customized_metric_specification.CopyFrom(_customized(options))
    elif kind == "prometheus":
        specification = pb.PrometheusMetricSpecification(address=options["prometheus"], query=options["query"])
        configuration.prometheus_metric_specification.CopyFrom(specification)
    else:
        metric = {"cpu": CPU, "memory": MEMORY, "requests": REQUESTS}[kind]
        configuration.predefined_metric_specification.CopyFrom(
            pb.PredefinedMetricSpecification(predefined_metric_type=metric, resource_label=options["target_group"])
        )
    return configuration


def _customized(options: Mapping[str, Any]) -> pb.CustomizedMetricSpecification:
    namespace, slash, name = options["metric"].rpartition("/")
    if not slash:
        raise click.UsageError(f"--metric {options['metric']} is not NAMESPACE/NAME.")
    return pb.CustomizedMetricSpecification(
        namespace=namespace,
        metric_name=name,
        dimensions=[metrics_pb2.Dimension(name=key, value=value) for key, value in options["dimensions"].items()],
        statistic=options["statistic"],
    )


def _seconds(given: float | None) -> int | None:
    return None if given is None else int(given)


@policy.command("ls")
@click.argument("service", required=False)
@output_option
@connected
def list_all(service: str | None, output: str) -> None:
    """List the policies of a service, or of all."""

    async def work(session: Session) -> pb.DescribeScalingPoliciesResponse:
        whole = pb.DescribeScalingPoliciesResponse()
        request = pb.DescribeScalingPoliciesRequest(resource_id=resource_id(session, service) if service else None)
        async for answer in find.pages(session.client.autoscaling.DescribeScalingPolicies, request):
            whole.scaling_policies.extend(answer.scaling_policies)
        return whole

    answer = call(work)
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each) for each in answer.scaling_policies], "No policies."),
        lambda: {"ScalingPolicies": [], **awsjson.to_document(answer)},
        [each.policy_name for each in answer.scaling_policies],
    )


def _row(it: pb.ScalingPolicy) -> Sequence[str]:
    tracking, stepping = it.target_tracking_scaling_policy_configuration, it.step_scaling_policy_configuration
    if it.policy_type == "StepScaling":
        alarms = ", ".join(alarm.alarm_name for alarm in it.alarms) or "no alarm names it"
        cooldowns = text.span(stepping.cooldown)
        return (service_of(it.resource_id), it.policy_name, "steps", f"alarms: {alarms}", cooldowns)
    scale_in = "never in" if tracking.disable_scale_in else f"in {text.span(tracking.scale_in_cooldown)}"
    cooldowns = f"out {text.span(tracking.scale_out_cooldown)}, {scale_in}"
    follows = f"{_followed(tracking)} at {tracking.target_value:g}"
    return (service_of(it.resource_id), it.policy_name, "tracking", follows, cooldowns)


def _followed(tracking: pb.TargetTrackingScalingPolicyConfiguration) -> str:
    if tracking.HasField("predefined_metric_specification"):
        kind = tracking.predefined_metric_specification.predefined_metric_type
        return _SHORT.get(kind, kind)
    if tracking.HasField("prometheus_metric_specification"):
        return text.printable(tracking.prometheus_metric_specification.query)
    customized = tracking.customized_metric_specification
    if not customized.metrics:
        return f"{customized.statistic} of {customized.namespace}/{customized.metric_name}"
    returned = next(query for query in customized.metrics if query.return_data)
    return returned.label or returned.expression or returned.id


@policy.command("rm")
@click.argument("service")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@connected
def remove(service: str, names: tuple[str, ...]) -> None:
    """Delete policies of a service."""

    async def work(session: Session) -> None:
        for name in names:
            request = pb.DeleteScalingPolicyRequest(resource_id=resource_id(session, service), policy_name=name)
            await session.client.autoscaling.DeleteScalingPolicy(request)
            click.echo(name)

    call(work)
