"""What options say of a service, and how it goes into a request."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from shoal.cli import placement
from shoal.cli.options import duration, int32
from shoal.v1 import resource_pb2
from shoal.v1 import service_pb2 as pb

Function = TypeVar("Function", bound=Callable[..., Any])
Request = TypeVar("Request", pb.CreateServiceRequest, pb.UpdateServiceRequest)

# The fields of both requests, beside lists, that options have by the same name.
_PLAIN = ("desired_count", "task_definition", "propagate_tags", "enable_execute_command", "on_disconnect")
_OPTIONS = (
    click.option("--count", "desired_count", type=int32, metavar="N", help="How many tasks are to run."),
    click.option(
        "--task-definition", metavar="FAMILY[:REV]", help="What they run; without a revision, the newest active one."
    ),
    click.option(
        "--target-group",
        "target_groups",
        multiple=True,
        metavar="GROUP:CONTAINER:PORT",
        help="A target group whose targets the tasks are, at this port of this container.",
    ),
    click.option(
        "--discovery", "registry", metavar="NAME[:CONTAINER:PORT]", help="The name under which the tasks are found."
    ),
    click.option(
        "--constraint",
        "constraints",
        multiple=True,
        metavar="RULE",
        help="distinctInstance, or 'memberOf(EXPRESSION)'.",
    ),
    click.option(
        "--strategy",
        "strategies",
        multiple=True,
        metavar="TYPE[:FIELD]",
        help="spread:FIELD, binpack:memory|cpu|gpu, fragmentation, image, random; in order.",
    ),
    click.option(
        "--zone-rebalancing/--no-zone-rebalancing",
        default=None,
        help="Keep the tasks balanced over availability zones.",
    ),
    click.option("--min-healthy", type=int32, metavar="PERCENT", help="Never fewer of the count are healthy."),
    click.option("--max", "maximum", type=int32, metavar="PERCENT", help="Never more of the count are there."),
    click.option(
        "--circuit-breaker/--no-circuit-breaker",
        "breaker",
        default=None,
        help="End a deployment whose tasks fail, instead of trying on.",
    ),
    click.option(
        "--failures",
        type=int32,
        metavar="N",
        help="With --circuit-breaker: how many tasks may fail.  [default: half]",
    ),
    click.option(
        "--rollback/--no-rollback", default=None, help="Go back when a deployment is ended so.  [default: go back]"
    ),
    click.option("--alarm", "alarms", multiple=True, metavar="NAME", help="An alarm that ends a deployment as well."),
    click.option("--bake", type=duration, metavar="DURATION", help="How long alarms are watched once all tasks run."),
    click.option(
        "--progress",
        type=duration,
        metavar="DURATION",
        help="A deployment that gets no further for so long has failed.  [default: 30m]",
    ),
    click.option("--grace", type=duration, metavar="DURATION", help="How long checks of a new task do not count."),
    click.option(
        "--propagate-tags",
        type=click.Choice(("TASK_DEFINITION", "SERVICE", "NONE")),
        help="Whose tags the tasks get.",
    ),
    click.option(
        "--enable-execute-command/--disable-execute-command", default=None, help="Allow `shoal exec` in the tasks."
    ),
    click.option(
        "--on-disconnect",
        type=click.Choice(("keep", "stop", "exclusive")),
        help="What becomes of a task once its host is lost: as of `shoal run`.  [default: keep]",
    ),
)


def service_options(command: Function) -> Function:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def put_options(request: Request, options: Mapping[str, Any]) -> None:
    """What the options say goes over what the request says. Raises UsageError."""
    for name in _PLAIN:
        if options.get(name) is not None:
            setattr(request, name, options[name])
    if options["zone_rebalancing"] is not None:
        request.availability_zone_rebalancing = "ENABLED" if options["zone_rebalancing"] else "DISABLED"
    if options["grace"] is not None:
        request.health_check_grace_period_seconds = int(options["grace"])
    try:
        _replace(request.placement_strategy, [placement.strategy(each) for each in options["strategies"]])
        _replace(request.placement_constraints, [placement.constraint(each) for each in options["constraints"]])
        _replace(request.load_balancers, list(map(load_balancer, options["target_groups"])))
        _replace(request.service_registries, [registry(options["registry"])] if options["registry"] else [])
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    given = configuration(options)
    if given.ListFields():
        request.deployment_configuration.MergeFrom(given)


def tags(options: Mapping[str, Any]) -> list[resource_pb2.Tag]:
    return [resource_pb2.Tag(key=key, value=value) for key, value in options["tags"].items()]


def configuration(options: Mapping[str, Any]) -> pb.DeploymentConfiguration:
    """Raises UsageError."""
    given = pb.DeploymentConfiguration(
        minimum_healthy_percent=options["min_healthy"],
        maximum_percent=options["maximum"],
        bake_time_in_minutes=_minutes(options["bake"]),
        progress_time_in_minutes=_minutes(options["progress"]),
    )
    rolls_back = options["rollback"] is not False
    if options["breaker"] is None and options["failures"] is not None:
        raise click.UsageError("--failures goes with --circuit-breaker.")
    if options["rollback"] is not None and options["breaker"] is None and not options["alarms"]:
        raise click.UsageError("--rollback goes with --circuit-breaker or --alarm.")
    if options["breaker"] is not None:
        breaker = given.deployment_circuit_breaker
        breaker.enable, breaker.rollback = options["breaker"], options["breaker"] and rolls_back
        if options["failures"] is not None:
            breaker.threshold_configuration.type = "COUNT"
            breaker.threshold_configuration.value = options["failures"]
    if options["alarms"]:
        given.alarms.enable, given.alarms.rollback = True, rolls_back
        given.alarms.alarm_names.extend(options["alarms"])
    return given


def _minutes(seconds: float | None) -> int | None:
    """Rounded up."""
    return None if seconds is None else math.ceil(seconds / 60)


def load_balancer(words: str) -> pb.LoadBalancer:
    """Raises ValueError.

    >>> load_balancer("web:app:80").container_port
    80
    """
    group, container, port = _three(words, "GROUP:CONTAINER:PORT")
    return pb.LoadBalancer(target_group_arn=group, container_name=container, container_port=port)


def registry(words: str) -> pb.ServiceRegistry:
    """Raises ValueError."""
    if ":" not in words:
        return pb.ServiceRegistry(registry_arn=words)
    name, container, port = _three(words, "NAME[:CONTAINER:PORT]")
    return pb.ServiceRegistry(registry_arn=name, container_name=container, container_port=port)


def _three(words: str, form: str) -> tuple[str, str, int]:
    name, _, rest = words.partition(":")
    container, _, port = rest.rpartition(":")
    if not (name and container and port.isascii() and port.isdigit() and len(port) <= 5):
        raise ValueError(f"{words!r} is not {form}, as in web:app:80")
    return name, container, int(port)


def _replace(target: Any, values: Sequence[Any]) -> None:
    """A list that options give goes in the place of the whole list."""
    if values:
        del target[:]
        target.extend(values)
