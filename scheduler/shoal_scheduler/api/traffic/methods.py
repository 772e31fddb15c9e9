"""Every method of the services Traffic and Ingress with its handler."""

from collections.abc import Mapping

from shoal_scheduler.api.calls import Handler
from shoal_scheduler.api.traffic import discovery, ingress, listener_rules, target_groups

TRAFFIC_METHODS: Mapping[str, Handler] = {
    "CreateTargetGroup": target_groups.create,
    "ModifyTargetGroup": target_groups.modify,
    "DeleteTargetGroup": target_groups.delete,
    "DescribeTargetGroups": target_groups.describe,
    "DescribeTargetHealth": target_groups.describe_health,
    "CreateRule": listener_rules.create,
    "ModifyRule": listener_rules.modify,
    "DeleteRule": listener_rules.delete,
    "DescribeRules": listener_rules.describe,
    "DiscoverInstances": discovery.discover,
}
INGRESS_METHODS: Mapping[str, Handler] = {
    "WatchRoutes": ingress.watch,
    "ReportTargets": ingress.report,
}
