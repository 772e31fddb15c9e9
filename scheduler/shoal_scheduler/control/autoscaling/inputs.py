"""What can move scalable targets, their policies and scheduled actions, and how each is answered.

A scalable target is known by the cluster and the name of its service.
"""

from dataclasses import dataclass

from shoal_scheduler.control.autoscaling.votes import Readings
from shoal_scheduler.model.scaling import ScalableTarget, ScalingPolicy, ScheduledAction


@dataclass(frozen=True, slots=True)
class RegisterScalableTarget:
    """What is None stays as it is. Answered with the ScalableTarget."""

    cluster: str
    service: str
    min_capacity: int | None = None
    max_capacity: int | None = None
    in_suspended: bool | None = None
    out_suspended: bool | None = None
    scheduled_suspended: bool | None = None
    tags: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class DeregisterScalableTarget:
    """With its policies, scheduled actions and activities."""

    cluster: str
    service: str


@dataclass(frozen=True, slots=True)
class PutScalingPolicy:
    """Answered with the ScalingPolicy; its `created_at` is the step's to say. So with scheduled actions."""

    policy: ScalingPolicy


@dataclass(frozen=True, slots=True)
class DeleteScalingPolicy:
    cluster: str
    service: str
    name: str


@dataclass(frozen=True, slots=True)
class PutScheduledAction:
    """What the action leaves out stays as it is in the one of that name: a `schedule` of "" and bounds of None."""

    action: ScheduledAction


@dataclass(frozen=True, slots=True)
class DeleteScheduledAction:
    cluster: str
    service: str
    name: str


@dataclass(frozen=True, slots=True)
class EvaluateScaling:
    """By who measures, when there is something to decide."""

    cluster: str
    service: str
    readings: Readings


AutoscalingInput = (
    RegisterScalableTarget
    | DeregisterScalableTarget
    | PutScalingPolicy
    | DeleteScalingPolicy
    | PutScheduledAction
    | DeleteScheduledAction
    | EvaluateScaling
)
AutoscalingReply = ScalableTarget | ScalingPolicy | ScheduledAction
