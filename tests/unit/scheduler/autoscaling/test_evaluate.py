"""What comes of inputs of autoscaling in a step: what is written together, what is refused, what a new leader finds."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from shoal_scheduler.control.autoscaling import inputs as i
from shoal_scheduler.control.autoscaling.votes import Datapoint, Readings
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.scaling import (
    ACTIONS_MAX,
    ACTIVITIES_MAX,
    POLICIES_MAX,
    ScalableTarget,
    Scaled,
    ScalingActivities,
    ScalingActivity,
    ScalingPolicy,
    ScheduledAction,
    TargetTracking,
)
from shoal_scheduler.model.service import (
    DAEMON,
    INACTIVE,
    SUCCESSFUL,
    Deployment,
    Service,
    ServiceEvents,
    ServiceRevision,
)
from shoal_scheduler.state.records import DeleteRecord, PutRecord

from tests.unit.scheduler.plane import Plane

WEB = ("default", "web")
OURS: tuple[type[msgspec.Struct], ...] = (ScalableTarget, ScalingPolicy, ScheduledAction, ScalingActivities)
START = int(datetime(2027, 1, 1, 7, 59, tzinfo=UTC).timestamp() * 1000)


async def _plane(*, desired: int = 4, **changes: Any) -> Plane:
    plane = Plane()
    plane.now = START
    service = Service(
        cluster="default", name="web", created_at=START, desired_count=desired, revision="1", deployment="1"
    )
    revision = ServiceRevision(cluster="default", service="web", id="1", created_at=START, definition="web:1")
    deployment = Deployment(cluster="default", service="web", id="1", revision="1", status=SUCCESSFUL, created_at=START)
    await plane.prepare()
    records = (msgspec.structs.replace(service, **changes), revision, deployment)
    await plane.run([], [PutRecord(each) for each in records])
    return plane


def _policy(name: str = "cpu", target: float = 50.0) -> ScalingPolicy:
    tracking = TargetTracking(target=target)
    return ScalingPolicy(cluster="default", service="web", name=name, created_at=0, tracking=tracking)


def _action(name: str = "morning", schedule: str = "cron(0 8 * * ? *)", **more: Any) -> ScheduledAction:
    return ScheduledAction(cluster="default", service="web", name=name, created_at=0, schedule=schedule, **more)


def _readings(value: float, capacity: float, name: str = "cpu") -> Readings:
    return Readings({name: (Datapoint(value, capacity),) * 15})


async def _evaluate(plane: Plane, readings: Readings | None = None) -> None:
    await plane.one(i.EvaluateScaling(*WEB, readings or Readings()))


def _desired(plane: Plane) -> int:
    service = plane.tables.records.get(Service, *WEB)
    assert service is not None
    return service.desired_count


def _activities(plane: Plane) -> tuple[ScalingActivity, ...]:
    known = plane.tables.records.get(ScalingActivities, *WEB)
    return known.activities if known else ()


def _written(plane: Plane, kinds: Sequence[type[msgspec.Struct]] = (*OURS, Service, ServiceEvents)) -> list[Any]:
    return [each for kind in kinds for each in plane.tables.records.all(kind)]


async def test_a_count_its_cooldown_an_activity_and_an_event_are_written_together() -> None:
    plane = await _plane()
    await plane.one(i.RegisterScalableTarget(*WEB, 1, 10))
    await plane.one(i.PutScalingPolicy(_policy()))
    await _evaluate(plane, _readings(75.0, 4))
    assert _desired(plane) == 6
    (activity,) = _activities(plane)
    assert (activity.description, activity.before, activity.after) == ("Setting desired count to 6.", 4, 6)
    assert activity.cause.startswith("policy cpu: datapoints [75, 75] are above the target of 50")
    events = plane.tables.records.get(ServiceEvents, *WEB)
    assert events is not None
    assert "was scaled from 4 to 6 tasks" in events.events[-1].message
    target = plane.tables.records.get(ScalableTarget, *WEB)
    assert target is not None
    assert target.scaled == Scaled(plane.now, 4, 6, 300)
    assert (await plane.reloaded()).records == plane.tables.records


async def test_an_evaluation_that_changes_nothing_writes_nothing() -> None:
    plane = await _plane()
    await plane.one(i.RegisterScalableTarget(*WEB, 1, 10))
    await plane.one(i.PutScalingPolicy(_policy()))
    before = _written(plane)
    await _evaluate(plane, _readings(48.0, 4))
    await _evaluate(plane)
    assert _written(plane) == before


async def test_a_bound_in_the_way_is_told_once() -> None:
    plane = await _plane()
    await plane.one(i.RegisterScalableTarget(*WEB, 1, 4))
    await plane.one(i.PutScalingPolicy(_policy()))
    for _ in range(3):
        await _evaluate(plane, _readings(75.0, 4))
    (activity,) = _activities(plane)
    assert (activity.code, activity.max_capacity, _desired(plane)) == ("AlreadyAtMaxCapacity", 4, 4)


async def test_a_deployment_in_progress_holds_back_scaling_in() -> None:
    plane = await _plane()
    await plane.one(i.RegisterScalableTarget(*WEB, 1, 10))
    await plane.one(i.PutScalingPolicy(_policy()))
    deployment = plane.tables.records.get(Deployment, *WEB, "1")
    assert deployment is not None
    await plane.run([], [PutRecord(msgspec.structs.replace(deployment, status="IN_PROGRESS"))])
    await _evaluate(plane, _readings(10.0, 4))
    assert _desired(plane) == 4
    await plane.run([], [PutRecord(deployment)])
    await _evaluate(plane, _readings(10.0, 4))
    assert _desired(plane) == 1


async def test_a_scheduled_action_sets_the_bounds_once_and_the_count_follows() -> None:
    plane = await _plane()
    await plane.one(i.RegisterScalableTarget(*WEB, 1, 10))
    await plane.one(i.PutScheduledAction(_action(min_capacity=6, max_capacity=20)))
    await _evaluate(plane)
    assert not _activities(plane)
    plane.now += 60_000
    await _evaluate(plane)
    target = plane.tables.records.get(ScalableTarget, *WEB)
    assert target is not None
    assert (target.min_capacity, target.max_capacity, _desired(plane)) == (6, 20, 6)
    assert [each.description for each in _activities(plane)] == [
        "Setting min capacity to 6 and max capacity to 20",
        "Setting desired count to 6.",
    ]
    assert _activities(plane)[1].cause == "minimum capacity was set to 6"
    await _evaluate(plane)
    assert len(_activities(plane)) == 2


async def test_suspended_scheduled_actions_are_passed_over_and_not_done_later() -> None:
    plane = await _plane()
    await plane.one(i.RegisterScalableTarget(*WEB, 1, 10, scheduled_suspended=True))
    await plane.one(i.PutScheduledAction(_action(min_capacity=6)))
    plane.now += 60_000
    await _evaluate(plane)
    await plane.one(i.RegisterScalableTarget(*WEB, scheduled_suspended=False))
    await _evaluate(plane)
    assert (_desired(plane), _activities(plane)) == (4, ())


async def test_a_scheduled_action_that_crosses_the_bounds_fails_and_says_so() -> None:
    plane = await _plane()
    await plane.one(i.RegisterScalableTarget(*WEB, 1, 5))
    await plane.one(i.PutScheduledAction(_action(min_capacity=6)))
    plane.now += 60_000
    await _evaluate(plane)
    (activity,) = _activities(plane)
    assert activity.status == "Failed"
    assert "minimum capacity 6 would be above maximum capacity 5" in activity.message
    assert _desired(plane) == 4


async def test_what_a_request_leaves_out_stays() -> None:
    plane = await _plane()
    await plane.one(i.RegisterScalableTarget(*WEB, 1, 10, tags={"team": "a"}))
    target = await plane.one(i.RegisterScalableTarget(*WEB, max_capacity=20, in_suspended=True))
    assert (target.min_capacity, target.max_capacity, target.in_suspended) == (1, 20, True)
    assert target.tags == {"team": "a"}
    await plane.one(i.PutScheduledAction(_action(min_capacity=2, timezone="Europe/Vienna")))
    action = await plane.one(i.PutScheduledAction(_action(schedule="", max_capacity=5)))
    assert (action.schedule, action.timezone) == ("cron(0 8 * * ? *)", "Europe/Vienna")
    assert (action.min_capacity, action.max_capacity) == (None, 5)


async def test_with_the_target_all_that_belongs_to_it_goes() -> None:
    plane = await _plane()
    await plane.one(i.RegisterScalableTarget(*WEB, 5, 10))
    await plane.one(i.PutScheduledAction(_action(min_capacity=2)))
    for number in range(POLICIES_MAX):
        await plane.one(i.PutScalingPolicy(_policy(f"cpu{number}")))
    await _evaluate(plane)
    assert _activities(plane)
    await plane.one(i.DeregisterScalableTarget(*WEB))
    assert not _written(plane, OURS)


@pytest.mark.parametrize("is_there", [True, False])
async def test_with_the_service_all_that_belongs_to_it_goes(is_there: bool) -> None:
    plane = await _plane()
    await plane.one(i.RegisterScalableTarget(*WEB, 1, 10))
    await plane.one(i.PutScalingPolicy(_policy()))
    service = plane.tables.records.get(Service, *WEB)
    assert service is not None
    gone = PutRecord(msgspec.structs.replace(service, status=INACTIVE)) if is_there else DeleteRecord(Service, WEB)
    await plane.run([], [gone])
    await _evaluate(plane, _readings(75.0, 4))
    assert not _written(plane, OURS)


async def test_only_so_many_activities_are_kept() -> None:
    plane = await _plane()
    await plane.one(i.RegisterScalableTarget(*WEB, 0, 1_000))
    await plane.one(i.PutScalingPolicy(_policy()))
    for _ in range(ACTIVITIES_MAX + 5):
        count = _desired(plane)
        await _evaluate(plane, _readings(51.0, count))
    assert len(_activities(plane)) == ACTIVITIES_MAX
    assert _activities(plane)[-1].after == _desired(plane)


async def test_more_than_the_most_is_refused() -> None:
    plane = await _plane()
    await plane.one(i.RegisterScalableTarget(*WEB, 1, 10))
    for number in range(POLICIES_MAX):
        await plane.one(i.PutScalingPolicy(_policy(f"cpu{number}")))
    with pytest.raises(Refused, match="delete some first"):
        await plane.one(i.PutScalingPolicy(_policy("more")))
    await plane.one(i.PutScalingPolicy(_policy("cpu0", 60.0)))
    for number in range(ACTIONS_MAX):
        await plane.one(i.PutScheduledAction(_action(f"a{number}", min_capacity=1)))
    with pytest.raises(Refused, match="delete some first"):
        await plane.one(i.PutScheduledAction(_action("more", min_capacity=1)))


REFUSED: list[tuple[Any, str]] = [
    (i.RegisterScalableTarget(*WEB, min_capacity=1), "MaxCapacity"),
    (i.RegisterScalableTarget(*WEB, 5, 4), "MaxCapacity: is 4, below MinCapacity, 5"),
    (i.RegisterScalableTarget("default", "nobody", 1, 2), "there is no such service"),
    (i.DeregisterScalableTarget(*WEB), "no scalable target"),
    (i.PutScalingPolicy(_policy()), "no scalable target"),
    (i.PutScheduledAction(_action(min_capacity=1)), "no scalable target"),
    (i.DeleteScalingPolicy(*WEB, "cpu"), "no policy 'cpu'"),
    (i.DeleteScheduledAction(*WEB, "morning"), "no scheduled action 'morning'"),
]


@pytest.mark.parametrize(("request_", "why"), REFUSED)
async def test_refused(request_: Any, why: str) -> None:
    plane = await _plane()
    with pytest.raises(Refused, match=why):
        await plane.one(request_)
    assert not _written(plane, OURS)


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (_action(schedule="", min_capacity=1), "Schedule: is required"),
        (_action(), "ScalableTargetAction: is required"),
        (_action(min_capacity=3, max_capacity=2), "MaxCapacity: is 2, below MinCapacity, 3"),
        (_action(schedule="at(2026-01-01T00:00:00)", min_capacity=1), "no time to come"),
    ],
)
async def test_actions_that_are_refused(action: ScheduledAction, why: str) -> None:
    plane = await _plane()
    await plane.one(i.RegisterScalableTarget(*WEB, 1, 10))
    with pytest.raises(Refused, match=why):
        await plane.one(i.PutScheduledAction(action))


async def test_a_daemon_has_no_count_to_scale() -> None:
    plane = await _plane(scheduling_strategy=DAEMON)
    with pytest.raises(Refused, match="is a daemon"):
        await plane.one(i.RegisterScalableTarget(*WEB, 1, 10))
