"""When scheduled actions are due: the instants are written out."""

from datetime import UTC, datetime

import pytest
from shoal_scheduler.control.autoscaling.scheduled import ScheduleError, applied, due, next_time, parsed, zone
from shoal_scheduler.model.scaling import ScalableTarget, ScheduledAction

MADE = "2027-01-01T00:00"


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def _action(
    schedule: str, timezone: str = "", *, name: str = "any", start: str = "", end: str = "", done: str = MADE
) -> ScheduledAction:
    return ScheduledAction(
        cluster="default",
        service="web",
        name=name,
        created_at=_ms(MADE),
        schedule=schedule,
        timezone=timezone,
        start=_ms(start) if start else None,
        end=_ms(end) if end else None,
        min_capacity=2,
        done_until=_ms(done),
    )


@pytest.mark.parametrize(
    ("schedule", "timezone", "after", "want"),
    [
        ("cron(0 10 * * ? *)", "", "2027-03-13T10:00", "2027-03-14T10:00"),
        ("cron(15 12 ? * 2-6 *)", "Europe/Vienna", "2027-03-13T12:00", "2027-03-15T11:15"),
        ("cron(15 12 ? * MON-FRI *)", "Europe/Vienna", "2027-03-28T12:00", "2027-03-29T10:15"),
        ("cron(0/10 * ? * 1 *)", "", "2027-03-13T12:00", "2027-03-14T00:00"),
        ("cron(0 8 L * ? *)", "", "2027-02-01T00:00", "2027-02-28T08:00"),
        ("cron(0 8 LW * ? *)", "", "2027-02-01T00:00", "2027-02-26T08:00"),
        ("cron(0 9 ? * 2#1 *)", "", "2027-03-13T12:00", "2027-04-05T09:00"),
        ("cron(0 9 ? * 6L *)", "", "2027-03-13T12:00", "2027-03-26T09:00"),
        ("cron(0 9 ? * L *)", "", "2027-03-08T12:00", "2027-03-13T09:00"),
        ("cron(0 9 ? * 2/2 *)", "", "2027-03-13T12:00", "2027-03-15T09:00"),
        ("cron(0 0 1 1 ? 2030-2034/2)", "", "2027-03-13T12:00", "2030-01-01T00:00"),
        ("cron(0 0 1 1 ? 2020)", "", "2027-03-13T12:00", None),
        ("at(2027-05-01T08:00:00)", "", "2027-03-13T12:00", "2027-05-01T08:00"),
        ("at(2027-05-01T08:00:00)", "Asia/Tokyo", "2027-03-13T12:00", "2027-04-30T23:00"),
        ("at(2027-03-13T12:00:00)", "", "2027-03-13T12:00", None),
        ("rate(5 minutes)", "", "2027-01-01T00:00", "2027-01-01T00:05"),
        ("rate(999999999 days)", "", "2027-01-03T07:00", None),
        ("rate(1 day)", "", "2027-01-03T07:00", "2027-01-04T00:00"),
    ],
)
def test_the_next_time(schedule: str, timezone: str, after: str, want: str | None) -> None:
    assert next_time(_action(schedule, timezone), _ms(after)) == (None if want is None else _ms(want))


@pytest.mark.parametrize("schedule", ["at(2027-03-28T02:30:00)", "cron(30 2 * * ? *)"])
def test_a_time_that_summer_time_leaves_out_is_done_after_the_gap(schedule: str) -> None:
    found = next_time(_action(schedule, "Europe/Vienna"), _ms("2027-03-27T12:00"))
    assert found == _ms("2027-03-28T01:00")


@pytest.mark.parametrize("schedule", ["at(2027-10-31T02:30:00)", "cron(30 2 31 10 ? *)"])
def test_a_time_that_comes_twice_is_done_once(schedule: str) -> None:
    action = _action(schedule, "Europe/Vienna")
    assert next_time(action, _ms("2027-10-30T12:00")) == _ms("2027-10-31T00:30")
    following = next_time(action, _ms("2027-10-31T00:30"))
    assert following is None or following > _ms("2028-01-01T00:00")


def test_between_start_and_end() -> None:
    action = _action("rate(1 hour)", start="2027-02-01T00:30", end="2027-02-01T02:30")
    assert next_time(action, _ms(MADE)) == _ms("2027-02-01T00:30")
    assert next_time(action, _ms("2027-02-01T01:30")) == _ms("2027-02-01T02:30")
    assert next_time(action, _ms("2027-02-01T02:30")) is None


@pytest.mark.parametrize("schedule", ["rate(1 hour)", "cron(0 8 * * ? *)", "at(2027-05-01T08:00:00)"])
def test_beyond_all_years_there_is_nothing(schedule: str) -> None:
    assert next_time(_action(schedule, "Asia/Tokyo", start="9999-12-31T23:59"), _ms(MADE)) is None


def test_of_missed_times_the_last_is_due_and_then_none() -> None:
    action = _action("cron(0 * * * ? *)", done="2027-01-05T10:00")
    (found,) = due([action], _ms("2027-03-01T12:34"))
    assert found.at == _ms("2027-03-01T12:00")
    assert not due([_action("cron(0 * * * ? *)", done="2027-03-01T12:00")], _ms("2027-03-01T12:34"))


def test_the_last_of_rare_times_is_found_too() -> None:
    (found,) = due([_action("cron(0 0 1 1 ? *)", done="2027-01-01T00:00")], _ms("2031-06-01T00:00"))
    assert found.at == _ms("2031-01-01T00:00")


def test_several_are_done_in_the_order_of_their_times() -> None:
    late, early = _action("cron(30 8 * * ? *)", name="a"), _action("cron(0 8 * * ? *)", name="b")
    assert [each.action.name for each in due([late, early], _ms("2027-01-02T09:00"))] == ["b", "a"]


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("every day", "must be at"),
        ("at(2027-05-01)", "want a local time"),
        ("at(2027-02-30T00:00:00)", "want a local time"),
        ("at(9999-12-31T23:59:59)", "want a local time"),
        ("rate(0 minutes)", "want a positive number"),
        ("rate(5 weeks)", "want a positive number"),
        ("cron(0 10 * * *)", "5 fields, want six"),
        ("cron(0 10 * * * *)", "exactly one"),
        ("cron(0 10 ? * ? *)", "exactly one"),
        ("cron(61 10 * * ? *)", "bad minute"),
        ("cron(0 10 15W * ? *)", "L and LW are known"),
        ("cron(0 10 ? * 8 *)", "no day of week"),
        ("cron(0 10 ? * 0 *)", "no day of week"),
        ("cron(0 10 ? * MON#9 *)", "bad day-of-week"),
        ("cron(0 10 * * ? 1900)", "no year"),
        ("cron(0 10 * * ? 2030-2028)", "no span"),
    ],
)
def test_what_is_no_schedule_is_told(schedule: str, why: str) -> None:
    with pytest.raises(ScheduleError, match=why):
        parsed(schedule)


@pytest.mark.parametrize("name", ["Nowhere/Atlantis", "../../etc/passwd", "Europe"])
def test_what_is_no_time_zone_is_told(name: str) -> None:
    with pytest.raises(ScheduleError, match="no time zone"):
        zone(name)


def test_bounds_that_cross_are_refused() -> None:
    target = ScalableTarget(cluster="default", service="web", created_at=0, min_capacity=0, max_capacity=1)
    with pytest.raises(ScheduleError, match="minimum capacity 2 would be above maximum capacity 1"):
        applied(target, _action("rate(1 hour)"))
