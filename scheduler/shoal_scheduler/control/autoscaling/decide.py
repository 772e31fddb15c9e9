"""What becomes of a service's desired count: the policies' votes, cooldowns, bounds. Pure.

- Out if any policy says so: the largest. In only if every policy that is asked agrees: the largest. So what is missing
  or stale holds, or raises by another policy, and never scales in.
- Cooldown after a scale-out: a larger one may still happen, and what was added already counts towards it. No scale-in
  until it is over.
- Cooldown after a scale-in: no further scale-in. A scale-out happens at once and ends it.
- While a deployment is in progress nothing scales in; out does.
- The bounds hold at any time: a count beyond them is brought back whatever policies, cooldowns and deployments say.
  No cooldown follows from that.
"""

from collections.abc import Sequence
from typing import NamedTuple

from shoal_scheduler.control.autoscaling import step_scaling, target_tracking
from shoal_scheduler.control.autoscaling.votes import ABSTAIN, HOLD, IN, OUT, Readings, Vote
from shoal_scheduler.model.scaling import ScalableTarget, Scaled, ScalingPolicy

AT_MAX, AT_MIN = "AlreadyAtMaxCapacity", "AlreadyAtMinCapacity"


class Decision(NamedTuple):
    """`scaled` is the target's from now on. `code`: why nothing changes although policies ask for it, "" otherwise."""

    capacity: int
    cause: str
    scaled: Scaled | None
    code: str = ""


def decide(
    target: ScalableTarget,
    policies: Sequence[ScalingPolicy],
    readings: Readings,
    current: int,
    now: int,
    *,
    is_deploying: bool,
) -> Decision:
    """`current`: the desired count; `now` in milliseconds. The same again from the same readings changes nothing."""
    bounded = min(max(current, target.min_capacity), target.max_capacity)
    if bounded != current:
        side = "minimum" if bounded > current else "maximum"
        return Decision(bounded, f"{side} capacity was set to {bounded}", target.scaled)
    votes = [_vote(policy, target, readings, current, now) for policy in policies]
    out = _out(target, votes)
    if out is not None:
        return _scaled_out(target, out, current, now)
    if is_deploying or target.in_suspended or _is_cooling(target, now):
        return Decision(current, "", target.scaled)
    return _scaled_in(target, votes, current, now)


def _vote(policy: ScalingPolicy, target: ScalableTarget, readings: Readings, current: int, now: int) -> Vote:
    if policy.tracking is not None:
        points = readings.points.get(policy.name, ())
        return target_tracking.vote(policy.name, policy.tracking, points, current, target.min_capacity)
    if policy.stepping is not None:
        breaches = readings.breaches.get(policy.name)
        if breaches is None:
            return Vote(policy.name, HOLD, current, "no data")
        return step_scaling.vote(policy.name, policy.stepping, breaches, current, _base(target, current, now))
    return Vote(policy.name, ABSTAIN, current, "")


def _is_cooling(target: ScalableTarget, now: int) -> bool:
    return target.scaled is not None and now < target.scaled.at + target.scaled.cooldown * 1000


def _base(target: ScalableTarget, current: int, now: int) -> int:
    """Without what was added in this cooldown. Who set a smaller count meanwhile began anew."""
    scaled = target.scaled
    if scaled is None or not _is_cooling(target, now) or scaled.after <= scaled.before:
        return current
    return min(scaled.before, current)


def _out(target: ScalableTarget, votes: Sequence[Vote]) -> Vote | None:
    if target.out_suspended:
        return None
    return max((vote for vote in votes if vote.says == OUT), key=lambda vote: vote.capacity, default=None)


def _scaled_out(target: ScalableTarget, vote: Vote, current: int, now: int) -> Decision:
    capacity = min(vote.capacity, target.max_capacity)
    if capacity <= current:
        return Decision(current, _cause(vote), target.scaled, AT_MAX)
    scaled = Scaled(now, _base(target, current, now), capacity, vote.cooldown)
    return Decision(capacity, _cause(vote), scaled)


def _scaled_in(target: ScalableTarget, votes: Sequence[Vote], current: int, now: int) -> Decision:
    asked = [vote for vote in votes if vote.says != ABSTAIN]
    if not asked or any(vote.says != IN for vote in asked):
        return Decision(current, "", target.scaled)
    vote = max(asked, key=lambda each: each.capacity)
    capacity = max(vote.capacity, target.min_capacity)
    if capacity >= current:
        return Decision(current, _cause(vote), target.scaled, AT_MIN)
    return Decision(capacity, _cause(vote), Scaled(now, current, capacity, vote.cooldown))


def _cause(vote: Vote) -> str:
    return f"policy {vote.policy}: {vote.cause}"
