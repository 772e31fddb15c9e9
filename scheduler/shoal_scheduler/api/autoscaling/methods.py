"""Every method of the service Autoscaling with its handler."""

from collections.abc import Mapping

from shoal_scheduler.api.autoscaling import activities, policies, scheduled_actions, targets
from shoal_scheduler.api.calls import Handler

AUTOSCALING_METHODS: Mapping[str, Handler] = {
    "RegisterScalableTarget": targets.register,
    "DescribeScalableTargets": targets.describe,
    "DeregisterScalableTarget": targets.deregister,
    "PutScalingPolicy": policies.put,
    "DescribeScalingPolicies": policies.describe,
    "DeleteScalingPolicy": policies.delete,
    "PutScheduledAction": scheduled_actions.put,
    "DescribeScheduledActions": scheduled_actions.describe,
    "DeleteScheduledAction": scheduled_actions.delete,
    "DescribeScalingActivities": activities.describe,
}
