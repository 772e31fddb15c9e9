"""Whatever is measured or missing: the count stays within its bounds, and what is missing or stale never lowers it."""

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shoal_scheduler.control.autoscaling.decide import decide
from shoal_scheduler.control.autoscaling.votes import Breach, Datapoint, Readings
from shoal_scheduler.model.scaling import (
    ADJUSTMENT_TYPES,
    CPU,
    EXACT,
    ScalableTarget,
    Scaled,
    ScalingPolicy,
    StepAdjustment,
    StepScaling,
    TargetTracking,
)

COUNTS = st.integers(0, 60)
VALUES = st.one_of(
    st.floats(0, 1e4), st.floats(0, allow_infinity=False), st.sampled_from([0.0, 44.9, 45.0, 50.0, 55.0])
)
POINTS = st.builds(Datapoint, VALUES, st.one_of(COUNTS.map(float), st.floats(0, 60)))
SERIES = st.one_of(
    st.lists(st.one_of(st.none(), POINTS), max_size=16).map(tuple), POINTS.map(lambda point: (point,) * 15)
)
STALE = st.lists(POINTS, max_size=12).map(lambda points: (*points, None, None, None))
HOLED = st.builds(
    lambda point, at: (*[point] * at, None, *[point] * (14 - at)),
    st.builds(Datapoint, st.sampled_from([0.0, 0.1, 20.0]), COUNTS.map(float)),
    st.integers(0, 14),
)
BREACHES = st.lists(
    st.builds(
        Breach,
        st.just("alarm"),
        st.booleans(),
        st.booleans(),
        st.one_of(st.none(), VALUES),
        st.floats(0, 100),
        st.booleans(),
    ),
    max_size=3,
).map(tuple)
TRACKING = st.builds(
    TargetTracking,
    target=st.one_of(st.floats(0.5, 500), st.floats(1e-300, 1e100)),
    predefined=st.sampled_from(["", CPU]),
    out_cooldown=st.integers(1, 600),
    in_cooldown=st.integers(1, 600),
    disable_scale_in=st.booleans(),
)
STEPPING = st.builds(
    lambda kind, first, second: StepScaling(
        adjustment_type=kind,
        steps=(
            StepAdjustment(None, 10.0, abs(first) if kind == EXACT else first),
            StepAdjustment(10.0, None, abs(second) if kind == EXACT else second),
        ),
    ),
    st.sampled_from(ADJUSTMENT_TYPES),
    st.integers(-60, 60),
    st.integers(-60, 60),
)
SCALED = st.one_of(st.none(), st.builds(Scaled, st.integers(0, 900_000), COUNTS, COUNTS, st.integers(0, 600)))


def _target(low: int, more: int, scaled: Scaled | None, suspended: tuple[bool, bool]) -> ScalableTarget:
    return ScalableTarget(
        cluster="default",
        service="web",
        created_at=0,
        min_capacity=low,
        max_capacity=low + more,
        in_suspended=suspended[0],
        out_suspended=suspended[1],
        scaled=scaled,
    )


TARGETS = st.builds(_target, st.integers(0, 10), st.integers(0, 50), SCALED, st.tuples(st.booleans(), st.booleans()))


@st.composite
def policies_and_readings(draw: st.DrawFn) -> tuple[list[ScalingPolicy], Readings]:
    policies, points, breaches = [], {}, {}
    for number in range(draw(st.integers(1, 4))):
        name = f"policy{number}"
        tracking = draw(st.one_of(st.none(), TRACKING))
        policies.append(
            ScalingPolicy(
                cluster="default",
                service="web",
                name=name,
                created_at=0,
                tracking=tracking,
                stepping=None if tracking else draw(STEPPING),
            )
        )
        if draw(st.booleans()):
            points[name], breaches[name] = draw(SERIES), draw(BREACHES)
    return policies, Readings(points, breaches)


@given(TARGETS, policies_and_readings(), COUNTS, st.booleans())
@settings(max_examples=300, deadline=None)
def test_the_result_is_within_the_bounds_and_has_a_cause(
    target: ScalableTarget, asked: tuple[list[ScalingPolicy], Readings], current: int, is_deploying: bool
) -> None:
    policies, readings = asked
    decided = decide(target, policies, readings, current, 1_000_000, is_deploying=is_deploying)
    assert target.min_capacity <= decided.capacity <= target.max_capacity
    assert (decided.capacity == current) or decided.cause


@given(TARGETS, policies_and_readings(), COUNTS, st.booleans(), st.data())
@settings(max_examples=300, deadline=None)
def test_what_is_missing_only_holds_or_raises(
    target: ScalableTarget,
    asked: tuple[list[ScalingPolicy], Readings],
    current: int,
    is_deploying: bool,
    data: st.DataObject,
) -> None:
    """Of one policy that may scale in: the newest periods, or any one of them. The others say what they like."""
    policies, readings = asked
    policies = [_with_scale_in(policy) for policy in policies]
    name = data.draw(st.sampled_from([policy.name for policy in policies]))
    points = {**readings.points, name: data.draw(st.one_of(STALE, HOLED))}
    breaches = {each: found for each, found in readings.breaches.items() if each != name}
    start = min(max(current, target.min_capacity), target.max_capacity)
    decided = decide(target, policies, Readings(points, breaches), start, 1_000_000, is_deploying=is_deploying)
    assert decided.capacity >= start


@given(TARGETS, policies_and_readings(), COUNTS, st.booleans())
@settings(max_examples=300, deadline=None)
def test_the_same_readings_again_change_nothing_more(
    target: ScalableTarget, asked: tuple[list[ScalingPolicy], Readings], current: int, is_deploying: bool
) -> None:
    """But from no task: there the first datapoint only says that there is something to do, and then how much."""
    start = max(1, min(max(current, target.min_capacity), target.max_capacity))
    first = decide(target, *asked, start, 1_000_000, is_deploying=is_deploying)
    assume(first.capacity > 0)
    after = msgspec.structs.replace(target, scaled=first.scaled)
    assert decide(after, *asked, first.capacity, 1_000_000, is_deploying=is_deploying).capacity == first.capacity


@given(TARGETS, policies_and_readings(), COUNTS)
@settings(max_examples=300, deadline=None)
def test_a_deployment_only_raises(
    target: ScalableTarget, asked: tuple[list[ScalingPolicy], Readings], current: int
) -> None:
    start = min(max(current, target.min_capacity), target.max_capacity)
    assert decide(target, *asked, start, 1_000_000, is_deploying=True).capacity >= start


def _with_scale_in(policy: ScalingPolicy) -> ScalingPolicy:
    if policy.tracking is None:
        return policy
    tracking = msgspec.structs.replace(policy.tracking, disable_scale_in=False)
    return msgspec.structs.replace(policy, tracking=tracking)
