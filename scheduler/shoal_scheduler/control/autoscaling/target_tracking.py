"""Target tracking: as many tasks as keep a metric at its target. Pure.

The capacity is ceil(capacity * metric / target), with the capacity over which the metric was measured: what was added
meanwhile and does not run yet is in neither, so nothing is added twice.

When it is looked at, once a period (a minute, unless the policy says otherwise):

- Out if two datapoints one after the other are above the target, by the lower of the two: one alone is chance, and a
  task that was started for it would be stopped for nothing. They may be a period old.
- In if each of the last fifteen datapoints is there and below 90 % of the target: to the largest capacity that any of
  them asks for. A task that is wanted and did not run then counts as if it had been at the target.
- What is in between, or missing, changes nothing. What is older than three periods says nothing of now.
- At no task at all: the first datapoint above 0 adds the least there is, then the formula goes on with what these
  tasks measure. A metric that only tasks make (those of PREDEFINED) never takes the last task: nothing could bring it
  back.

Application Auto Scaling waits for three datapoints above the target. With two a sudden load is met a minute earlier,
and its whole height is known at the third at the latest, wherever within a minute it came.
"""

import math
from collections.abc import Sequence

from shoal_scheduler.control.autoscaling.votes import ABSTAIN, HOLD, IN, OUT, Datapoint, Vote, shown
from shoal_scheduler.model.scaling import TargetTracking

OUT_POINTS, OUT_PERIODS = 2, 3
IN_POINTS = 15
IN_BELOW = 0.9

# 0.1 * 3 / 0.3 is a little more than 1, and does not ask for a second task.
_ROUNDING = 1e-9

# More than any service has: what is beyond is as much.
_MOST = 1e9


def capacity_for(capacity: float, value: float, target: float) -> int:
    """How many tasks would be at the target.

    >>> capacity_for(4, 75.0, 50.0)
    6
    >>> capacity_for(3, 0.1, 0.3), capacity_for(3, 1e308, 1e-9) > 1_000_000
    (1, True)
    """
    exact = min(capacity * value / target, _MOST)
    return max(0, math.ceil(exact - abs(exact) * _ROUNDING))


def vote(name: str, policy: TargetTracking, points: Sequence[Datapoint | None], current: int, minimum: int) -> Vote:
    """`points` as of Readings; `current`: the desired count; `minimum` of the scalable target."""
    known = [point for point in points[-OUT_PERIODS:] if point is not None]
    if not known:
        return Vote(name, HOLD, current, f"no datapoint in the last {OUT_PERIODS} periods")
    if current == 0:
        return _from_zero(name, policy, known[-1], minimum)
    last = known[-OUT_POINTS:]
    lower = min(point.value for point in last)
    wanted = capacity_for(known[-1].capacity, lower, policy.target)
    if len(last) == OUT_POINTS and lower > policy.target and wanted > current:
        return Vote(name, OUT, wanted, _cause(policy, last, "above"), policy.out_cooldown)
    if policy.disable_scale_in:
        return Vote(name, ABSTAIN, current, "scale-in is disabled")
    return _in(name, policy, points[-IN_POINTS:], current)


def _from_zero(name: str, policy: TargetTracking, newest: Datapoint, minimum: int) -> Vote:
    if newest.value <= 0:
        return Vote(name, HOLD, 0, "nothing to do")
    return Vote(name, OUT, max(1, minimum), f"no task, and a datapoint of {newest.value:.6g}", policy.out_cooldown)


def _in(name: str, policy: TargetTracking, last: Sequence[Datapoint | None], current: int) -> Vote:
    known = [point for point in last if point is not None]
    if len(known) < IN_POINTS:
        return Vote(name, HOLD, current, f"{len(known)} of the last {IN_POINTS} datapoints are known")
    if any(point.value >= policy.target * IN_BELOW for point in known):
        return Vote(name, HOLD, current, "near the target")
    wanted = max(_wanted_of(point, policy.target, current) for point in known)
    if policy.predefined:
        wanted = max(wanted, 1)
    if wanted >= current:
        return Vote(name, HOLD, current, "no task too many")
    return Vote(name, IN, wanted, _cause(policy, known, "below"), policy.in_cooldown)


def _wanted_of(point: Datapoint, target: float, current: int) -> int:
    missing = max(0.0, current - point.capacity)
    return capacity_for(1, point.capacity * point.value + missing * target, target)


def _cause(policy: TargetTracking, points: Sequence[Datapoint | None], side: str) -> str:
    return f"datapoints [{shown(points)}] are {side} the target of {policy.target:g}"
