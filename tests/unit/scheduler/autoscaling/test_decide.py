"""How votes, cooldowns and bounds come together."""

import msgspec
from shoal_scheduler.control.autoscaling.decide import AT_MAX, AT_MIN, Decision, decide
from shoal_scheduler.control.autoscaling.votes import Breach, Datapoint, Readings
from shoal_scheduler.model.scaling import (
    CHANGE,
    ScalableTarget,
    Scaled,
    ScalingPolicy,
    StepAdjustment,
    StepScaling,
    TargetTracking,
)

NOW = 10_000_000
TARGET = ScalableTarget(cluster="default", service="web", created_at=0, min_capacity=1, max_capacity=40)


def _tracking(name: str, **changes: int | bool) -> ScalingPolicy:
    tracking = msgspec.structs.replace(TargetTracking(target=50.0), **changes)
    return ScalingPolicy(cluster="default", service="web", name=name, created_at=0, tracking=tracking)


def _stepping(name: str, *adjustments: int) -> ScalingPolicy:
    """The first from the threshold on, each further one 10 beyond."""
    count = len(adjustments)
    steps = tuple(
        StepAdjustment(10.0 * number, 10.0 * number + 10 if number < count - 1 else None, adjustment)
        for number, adjustment in enumerate(adjustments)
    )
    stepping = StepScaling(adjustment_type=CHANGE, steps=steps)
    return ScalingPolicy(cluster="default", service="web", name=name, created_at=0, stepping=stepping)


def _steady(value: float, capacity: float) -> tuple[Datapoint | None, ...]:
    return (Datapoint(value, capacity),) * 15


A, B = _tracking("a"), _tracking("b")


def _decide(
    readings: Readings,
    *,
    target: ScalableTarget = TARGET,
    policies: tuple[ScalingPolicy, ...] = (A, B),
    current: int = 10,
    now: int = NOW,
    is_deploying: bool = False,
) -> Decision:
    return decide(target, policies, readings, current, now, is_deploying=is_deploying)


def test_out_if_any_the_largest() -> None:
    readings = Readings({"a": _steady(60.0, 10), "b": _steady(80.0, 10)})
    assert _decide(readings).capacity == 16
    assert _decide(Readings({"a": _steady(60.0, 10), "b": _steady(1.0, 10)})).capacity == 12
    assert _decide(Readings({"a": _steady(60.0, 10)})).capacity == 12


def test_in_only_if_all_agree_the_largest() -> None:
    assert _decide(Readings({"a": _steady(10.0, 10), "b": _steady(30.0, 10)})).capacity == 6
    assert _decide(Readings({"a": _steady(10.0, 10), "b": _steady(49.0, 10)})).capacity == 10
    assert _decide(Readings({"a": _steady(10.0, 10)})).capacity == 10, "b has no data"


def test_a_policy_that_may_not_scale_in_is_not_asked() -> None:
    policies = (A, _tracking("b", disable_scale_in=True))
    readings = Readings({"a": _steady(10.0, 10), "b": _steady(30.0, 10)})
    assert _decide(readings, policies=policies).capacity == 2
    assert _decide(readings, policies=policies[1:]).capacity == 10


def test_bounds() -> None:
    high, low = Readings({"a": _steady(5_000.0, 10)}), Readings({"a": _steady(0.0, 10)})
    assert _decide(high, policies=(A,)).capacity == 40
    assert _decide(low, policies=(A,)).capacity == 1
    at_max = _decide(Readings({"a": _steady(90.0, 40)}), policies=(A,), current=40)
    assert (at_max.capacity, at_max.code) == (40, AT_MAX)
    at_min = _decide(Readings({"a": _steady(0.0, 1)}), policies=(A,), current=1)
    assert (at_min.capacity, at_min.code) == (1, AT_MIN)


def test_a_count_beyond_the_bounds_is_brought_back_whatever_is_known() -> None:
    assert _decide(Readings(), current=0).capacity == 1
    over = _decide(Readings(), current=50, is_deploying=True)
    assert (over.capacity, over.cause) == (40, "maximum capacity was set to 40")
    assert over.scaled is None


def test_scale_in_waits_for_the_end_of_a_deployment_and_out_does_not() -> None:
    assert _decide(Readings({"a": _steady(1.0, 10)}), policies=(A,), is_deploying=True).capacity == 10
    assert _decide(Readings({"a": _steady(90.0, 10)}), policies=(A,), is_deploying=True).capacity == 18


def test_suspended() -> None:
    high, low = Readings({"a": _steady(90.0, 10)}), Readings({"a": _steady(1.0, 10)})
    no_out = msgspec.structs.replace(TARGET, out_suspended=True)
    no_in = msgspec.structs.replace(TARGET, in_suspended=True)
    assert _decide(high, target=no_out, policies=(A,)).capacity == 10
    assert _decide(low, target=no_out, policies=(A,)).capacity == 1
    assert _decide(low, target=no_in, policies=(A,)).capacity == 10
    assert _decide(high, target=no_in, policies=(A,)).capacity == 18


def _after(before: int, after: int, *, seconds_ago: int) -> ScalableTarget:
    return msgspec.structs.replace(TARGET, scaled=Scaled(NOW - seconds_ago * 1000, before, after, 300))


def test_no_second_scale_in_within_the_cooldown_of_one() -> None:
    low = Readings({"a": _steady(10.0, 10)})
    assert _decide(low, target=_after(20, 10, seconds_ago=299), policies=(A,)).capacity == 10
    assert _decide(low, target=_after(20, 10, seconds_ago=300), policies=(A,)).capacity == 2


def test_out_at_once_within_the_cooldown_of_a_scale_in_and_ends_it() -> None:
    decided = _decide(Readings({"a": _steady(90.0, 10)}), target=_after(20, 10, seconds_ago=10), policies=(A,))
    assert decided.capacity == 18
    assert decided.scaled == Scaled(NOW, 10, 18, 300)


def test_no_scale_in_within_the_cooldown_of_a_scale_out() -> None:
    low = Readings({"a": _steady(10.0, 10)})
    assert _decide(low, target=_after(4, 10, seconds_ago=299), policies=(A,)).capacity == 10
    assert _decide(low, target=_after(4, 10, seconds_ago=300), policies=(A,)).capacity == 2


def _high(value: float) -> Readings:
    return Readings(breaches={"steps": (Breach("high", True, True, value, 60.0, True),)})


def test_steps_within_the_cooldown_of_a_scale_out_count_what_was_added() -> None:
    policies = (_stepping("steps", 2, 3),)
    first = _decide(_high(61.0), policies=policies)
    assert (first.capacity, first.scaled) == (12, Scaled(NOW, 10, 12, 300))
    target = msgspec.structs.replace(TARGET, scaled=first.scaled)
    soon, later = NOW + 60_000, NOW + 300_000
    assert _decide(_high(61.0), target=target, policies=policies, current=12, now=soon).capacity == 12
    second = _decide(_high(75.0), target=target, policies=policies, current=12, now=soon)
    assert (second.capacity, second.scaled) == (13, Scaled(soon, 10, 13, 300))
    target = msgspec.structs.replace(TARGET, scaled=second.scaled)
    assert _decide(_high(75.0), target=target, policies=policies, current=13, now=later).capacity == 13
    assert _decide(_high(75.0), target=target, policies=policies, current=13, now=soon + 300_000).capacity == 16


def test_what_somebody_takes_away_meanwhile_does_not_count_as_added() -> None:
    policies = (_stepping("steps", 2, 3),)
    assert _decide(_high(61.0), target=_after(10, 12, seconds_ago=60), policies=policies, current=5).capacity == 7


def test_steps_that_are_not_asked_do_not_keep_a_metric_from_scaling_in() -> None:
    policies = (A, _stepping("steps", 2))
    low = {"a": _steady(10.0, 10)}
    silent = Breach("high", False, True, 10.0, 60.0, True)
    unknown = Breach("high", False, False, None, 60.0, True)
    assert _decide(Readings(low, {"steps": (silent,)}), policies=policies).capacity == 2
    assert _decide(Readings(low, {"steps": ()}), policies=policies).capacity == 2
    assert _decide(Readings(low, {"steps": (unknown,)}), policies=policies).capacity == 10
    assert _decide(Readings(low), policies=policies).capacity == 10


def test_to_zero_and_back() -> None:
    target = msgspec.structs.replace(TARGET, min_capacity=0)
    assert _decide(Readings({"a": _steady(0.0, 1)}), target=target, policies=(A,), current=1).capacity == 0
    assert _decide(Readings(), target=target, policies=(A,), current=0).capacity == 0
    assert _decide(Readings({"a": (Datapoint(400.0, 0),)}), target=target, policies=(A,), current=0).capacity == 1


def test_without_policies_nothing_changes() -> None:
    assert _decide(Readings(), policies=()) == Decision(10, "", None)
