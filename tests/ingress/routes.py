"""Routes for the tests, as the scheduler says them."""

from collections.abc import Sequence
from typing import Any

from shoal.v1 import traffic_pb2 as pb


def group(name: str = "web", **fields: Any) -> pb.TargetGroup:
    """Checked every second."""
    known: dict[str, Any] = {
        "target_group_name": name,
        "protocol": "HTTP",
        "protocol_version": "HTTP1",
        "health_check_protocol": "HTTP",
        "health_check_port": "traffic-port",
        "health_check_path": "/health",
        "health_check_interval_seconds": 1,
        "health_check_timeout_seconds": 1,
        "healthy_threshold_count": 2,
        "unhealthy_threshold_count": 2,
        "matcher": pb.Matcher(http_code="200", grpc_code="0"),
    }
    return pb.TargetGroup(**(known | fields))


def rule(
    name: str,
    port: int,
    to: Sequence[tuple[str, int]] = (("web", 1),),
    hosts: Sequence[str] = (),
    paths: Sequence[str] = (),
    **fields: Any,
) -> pb.Rule:
    tuples = [pb.TargetGroupTuple(target_group_arn=each, weight=weight) for each, weight in to]
    said = (("host-header", hosts), ("path-pattern", paths))
    known: dict[str, Any] = {
        "name": name,
        "port": port,
        "priority": 1,
        "protocol": "HTTP",
        "conditions": [pb.RuleCondition(field=field, values=values) for field, values in said if values],
        "actions": [pb.Action(type="forward", forward_config=pb.ForwardActionConfig(target_groups=tuples))],
    }
    return pb.Rule(**(known | fields))


def target(task: str, port: int, group_name: str = "web", host: str = "127.0.0.1") -> pb.RoutedTarget:
    return pb.RoutedTarget(target_group=group_name, task_id=task, host=host, port=port)


def routes(
    rules: Sequence[pb.Rule],
    targets: Sequence[pb.RoutedTarget] = (),
    groups: Sequence[pb.TargetGroup] | None = None,
    names: Sequence[pb.DiscoveredName] = (),
) -> pb.WatchRoutesResponse:
    known = [group()] if groups is None else groups
    return pb.WatchRoutesResponse(target_groups=known, rules=rules, targets=targets, names=names)
