"""Target groups and rules: records as messages."""

from shoal import arn
from shoal.v1 import resource_pb2
from shoal.v1 import traffic_pb2 as pb

from shoal_scheduler.model.traffic import GRPC, Forward, ListenerRule, TargetGroup

TRAFFIC_PORT = "traffic-port"


def target_group_message(group: TargetGroup) -> pb.TargetGroup:
    test = group.health_check
    is_grpc = group.protocol_version == GRPC
    matcher = pb.Matcher(grpc_code=test.matcher) if is_grpc else pb.Matcher(http_code=test.matcher)
    return pb.TargetGroup(
        target_group_arn=arn.target_group_arn(group.cluster, group.name),
        target_group_name=group.name,
        protocol=group.protocol,
        protocol_version=group.protocol_version or None,
        health_check_protocol=test.protocol,
        health_check_port=str(test.port) if test.port else TRAFFIC_PORT,
        health_check_path=test.path if test.protocol != "TCP" else None,
        health_check_interval_seconds=test.interval,
        health_check_timeout_seconds=test.timeout,
        healthy_threshold_count=test.healthy_threshold,
        unhealthy_threshold_count=test.unhealthy_threshold,
        matcher=matcher if test.protocol != "TCP" else None,
        cluster=group.cluster,
        deregistration_delay_seconds=group.deregistration_delay,
        stickiness=pb.TargetGroupStickiness(
            enabled=group.stickiness.enabled,
            duration_seconds=group.stickiness.duration,
            cookie_name=group.stickiness.cookie or None,
        ),
        created_at=group.created_at,
        tags=[resource_pb2.Tag(key=key, value=value) for key, value in group.tags.items()],
    )


def rule_message(rule: ListenerRule, problem: str = "") -> pb.Rule:
    conditions = (("host-header", rule.hosts), ("path-pattern", rule.paths))
    return pb.Rule(
        rule_arn=arn.listener_rule_arn(rule.cluster, rule.name),
        priority=rule.priority,
        conditions=[pb.RuleCondition(field=field, values=values) for field, values in conditions if values],
        actions=[pb.Action(type="forward", forward_config=_forward_config(rule.cluster, rule.forwards))],
        cluster=rule.cluster,
        name=rule.name,
        protocol=rule.protocol,
        port=rule.port,
        certificate=rule.certificate or None,
        created_at=rule.created_at,
        tags=[resource_pb2.Tag(key=key, value=value) for key, value in rule.tags.items()],
        problem=problem or None,
    )


def _forward_config(cluster: str, forwards: tuple[Forward, ...]) -> pb.ForwardActionConfig:
    return pb.ForwardActionConfig(
        target_groups=[
            pb.TargetGroupTuple(target_group_arn=arn.target_group_arn(cluster, each.target_group), weight=each.weight)
            for each in forwards
        ]
    )
