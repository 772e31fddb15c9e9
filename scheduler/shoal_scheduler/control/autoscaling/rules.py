"""The rule for each input of autoscaling: see `control.step`."""

from collections.abc import Callable
from typing import Any

from shoal_scheduler.control.autoscaling import evaluate, policies, scheduled_actions, targets
from shoal_scheduler.control.autoscaling import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.state.overlay import Overlay

AUTOSCALING_RULES: dict[type, Callable[[Overlay, Any, Context], Outcome]] = {
    i.RegisterScalableTarget: targets.register,
    i.DeregisterScalableTarget: targets.deregister,
    i.PutScalingPolicy: policies.put,
    i.DeleteScalingPolicy: policies.delete,
    i.PutScheduledAction: scheduled_actions.put,
    i.DeleteScheduledAction: scheduled_actions.delete,
    i.EvaluateScaling: evaluate.evaluate,
}
