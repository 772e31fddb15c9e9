"""Step scaling: how far a metric is beyond its alarm's threshold says by how much. Pure.

Bounds of steps are relative to the threshold. Of an alarm above its threshold the lower is inclusive and the upper
exclusive, of one below it the other way round (https://docs.aws.amazon.com/autoscaling/application/APIReference/
API_StepAdjustment.html). Percents are rounded as there: towards 0, but never to 0.
"""

import math
from collections.abc import Sequence

from shoal_scheduler.control.autoscaling.votes import ABSTAIN, HOLD, IN, OUT, Breach, Vote
from shoal_scheduler.model.scaling import CHANGE, EXACT, StepAdjustment, StepScaling


def vote(name: str, policy: StepScaling, breaches: Sequence[Breach], current: int, base: int) -> Vote:
    """The largest of what its alarms ask for. `base`: the count without what was added in this cooldown.

    An alarm without data holds: what it would say could be that all tasks are needed.
    """
    asked = [_of(name, policy, breach, current, base) for breach in breaches if breach.is_alarming]
    unknown = [breach.alarm for breach in breaches if not breach.is_known]
    found = max(asked, key=lambda each: each.capacity, default=None)
    if found is not None and (found.says == OUT or not unknown):
        return found
    if unknown:
        return Vote(name, HOLD, current, f"alarm {unknown[0]} has no data")
    return Vote(name, ABSTAIN, current, "no alarm")


def _of(name: str, policy: StepScaling, breach: Breach, current: int, base: int) -> Vote:
    step = None if breach.value is None else matching(policy.steps, breach.value - breach.threshold, breach.is_upper)
    if step is None:
        return Vote(name, HOLD, current, f"alarm {breach.alarm}: no step for {_value(breach)}")
    wanted = adjusted(policy, step.adjustment, base if step.adjustment > 0 else current)
    says = OUT if wanted > current else IN if wanted < current and _may_go_down(policy, step) else HOLD
    cause = f"alarm {breach.alarm}: {_value(breach)} is {'above' if breach.is_upper else 'below'} {breach.threshold:g}"
    return Vote(name, says, wanted if says != HOLD else current, cause, policy.cooldown)


def _may_go_down(policy: StepScaling, step: StepAdjustment) -> bool:
    """What was added stays when the step that adds less comes after the one that added more."""
    return policy.adjustment_type == EXACT or step.adjustment < 0


def _value(breach: Breach) -> str:
    return "no value" if breach.value is None else f"{breach.value:.6g}"


def matching(steps: Sequence[StepAdjustment], beyond: float, is_upper: bool) -> StepAdjustment | None:
    """The step whose interval has the distance from the threshold; None if no one has."""
    for step in steps:
        lower = -math.inf if step.lower is None else step.lower
        upper = math.inf if step.upper is None else step.upper
        if (lower <= beyond < upper) if is_upper else (lower < beyond <= upper):
            return step
    return None


def adjusted(policy: StepScaling, adjustment: int, base: int) -> int:
    """The count after the adjustment, before any bound but 0."""
    if policy.adjustment_type == EXACT:
        return adjustment
    if policy.adjustment_type == CHANGE:
        return max(0, base + adjustment)
    exact = base * adjustment / 100
    change = max(1, math.floor(exact)) if exact > 0 else min(-1, math.ceil(exact)) if exact < 0 else 0
    least = policy.min_magnitude
    if adjustment:
        change = max(change, least) if adjustment > 0 else min(change, -least)
    return max(0, base + change)
