"""What must hold of services that are scaled, each a function named for what it says: the first fault in words, or
None. Pure."""

from collections.abc import Sequence

from shoal_scheduler.control.autoscaling.votes import Datapoint
from shoal_scheduler.model.scaling import ScalableTarget, Scaled, ScalingActivity

Fault = str | None

# Scaled in is only what so many datapoints agree on.
POINTS = 15


def stays_within_the_bounds(activity: ScalingActivity, target: ScalableTarget) -> Fault:
    if not target.min_capacity <= activity.after <= target.max_capacity:
        bounds = f"{target.min_capacity} to {target.max_capacity}"
        return f"{target.service} is scaled to {activity.after}, the bounds are {bounds}"
    return None


def missing_data_never_scales_in(activity: ScalingActivity, points: Sequence[Datapoint | None]) -> Fault:
    known = sum(point is not None for point in points)
    if known < POINTS:
        return f"scaled in from {activity.before} to {activity.after} with {known} datapoints of {POINTS}"
    return None


def nothing_scales_in_while_deploying(activity: ScalingActivity, name: str, *, is_deploying: bool) -> Fault:
    if is_deploying:
        return f"{name} is scaled in from {activity.before} to {activity.after} during a deployment"
    return None


def a_cooldown_is_kept(activity: ScalingActivity, before: Scaled) -> Fault:
    """`before`: the last time."""
    seconds = (activity.at - before.at) / 1000
    if seconds < before.cooldown:
        return f"scaled in to {activity.after} {seconds:.1f} s after it was scaled, of {before.cooldown} s to cool down"
    return None
