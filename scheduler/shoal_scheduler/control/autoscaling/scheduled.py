"""When scheduled actions are due, and what becomes of the bounds then. Pure.

Schedules are those of Application Auto Scaling: `at(2026-11-27T08:00:00)`, `rate(5 minutes)`, and `cron(...)` with six
fields: minutes, hours, day of month, month, day of week (1 is Sunday), year. Exactly one of the two day fields is `?`.
at and cron are in the action's time zone, UTC without one. A local time that a change to summer time leaves out is done
when the clock goes on after the gap, one that comes twice is done the first time; a cron that runs every hour or more
often runs on by elapsed time. A time that was missed, because nobody led, is done late; of several missed ones of an
action the last.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from cronsim import CronSim, CronSimError

from shoal_scheduler.model.scaling import ScalableTarget, ScheduledAction

YEARS = range(1970, 2200)
_END = int(datetime(YEARS[-1] + 1, 1, 1, tzinfo=UTC).timestamp()) * 1000
CRON_FIELDS = ("minutes", "hours", "day of month", "month", "day of week", "year")

_FORM = re.compile(r"(at|rate|cron)\((.*)\)", re.DOTALL)
_UNITS = {"minute": 60, "hour": 3600, "day": 86_400}
_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_RATE = re.compile(r"(\d{1,9}) (minute|hour|day)s?")
_DAY_NUMBER = re.compile(r"\d+")


class ScheduleError(ValueError):
    """What is wrong with a schedule, in words for people."""


class At(NamedTuple):
    """A local time, in no zone yet."""

    time: datetime


class Rate(NamedTuple):
    seconds: int


class Cron(NamedTuple):
    """`expression` in five fields, days of the week counted from Sunday as 0; `years` in ascending order."""

    expression: str
    years: tuple[int, ...]


@lru_cache(maxsize=1024)
def parsed(schedule: str) -> At | Rate | Cron:
    """Raises ScheduleError."""
    form = _FORM.fullmatch(schedule.strip())
    if form is None:
        raise ScheduleError("must be at(yyyy-mm-ddThh:mm:ss), rate(value unit) or cron(six fields)")
    match form[1]:
        case "at":
            return _at(form[2])
        case "rate":
            return _rate(form[2])
    return _cron(form[2])


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """Raises ScheduleError."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScheduleError(
            f"{name!r} is no time zone of the IANA database: want a name like Europe/Vienna, or none for UTC"
        ) from None


def _at(text: str) -> At:
    try:
        if _AT.fullmatch(text) and (time := datetime.fromisoformat(text)).year in YEARS:
            return At(time)
    except ValueError:
        pass  # a 30th of February
    raise ScheduleError(f"at({text}): want a local time like at(2026-11-27T08:00:00)")


def _rate(text: str) -> Rate:
    found = _RATE.fullmatch(text)
    if found is None or not int(found[1]):
        raise ScheduleError(f"rate({text}): want a positive number and minutes, hours or days, like rate(5 minutes)")
    return Rate(int(found[1]) * _UNITS[found[2]])


def _cron(text: str) -> Cron:
    fields = text.split()
    if len(fields) != len(CRON_FIELDS):
        raise ScheduleError(f"cron({text}): {len(fields)} fields, want six: {', '.join(CRON_FIELDS)}")
    minutes, hours, day, month, weekday, year = (field.upper() for field in fields)
    if (day == "?") == (weekday == "?"):
        raise ScheduleError(f"cron({text}): exactly one of day of month and day of week must be ?")
    if "W" in day.replace("LW", "") or "-L" in day or "L-" in day:
        raise ScheduleError(f"cron({text}): of days of the month L and LW are known, not {day}")
    expression = " ".join((minutes, hours, day.replace("?", "*"), month, _weekdays(text, weekday)))
    try:
        CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ScheduleError(f"cron({text}): {str(error).lower()}") from None
    return Cron(expression, _years(text, year))


def _weekdays(text: str, field: str) -> str:
    """With Sunday as 0: in these schedules it is 1."""
    if field == "?":
        return "*"
    if field == "L":
        return "6"
    days, mark, nth = field.partition("#")
    items, slash, step = days.partition("/")
    numbers = [int(each) for each in _DAY_NUMBER.findall(items)]
    if any(not 1 <= number <= 7 for number in numbers) or ("," in items and slash):
        raise ScheduleError(f"cron({text}): {field} is no day of week: they are 1 to 7 or SUN to SAT")
    counted = _DAY_NUMBER.sub(lambda number: str(int(number[0]) - 1), items)
    if slash and "-" not in counted and counted != "*":
        counted += "-6"  # or a week's last day would count as its first once more
    elif slash and counted == "*":
        counted = "0-6"
    return counted + mark + nth + slash + step


def _years(text: str, field: str) -> tuple[int, ...]:
    found: set[int] = set()
    for item in field.split(","):
        span, slash, step = item.partition("/")
        first, dash, last = span.partition("-")
        ends = (str(YEARS[0]), str(YEARS[-1])) if span == "*" else (first, last if dash else first)
        if slash and not dash:
            ends = (ends[0], str(YEARS[-1]))
        if not all(end.isdigit() and int(end) in YEARS for end in ends) or (slash and not step.isdigit()):
            raise ScheduleError(f"cron({text}): {item} is no year: they are {YEARS[0]} to {YEARS[-1]}")
        every = int(step) if slash else 1
        if not every or int(ends[0]) > int(ends[1]):
            raise ScheduleError(f"cron({text}): {item} is no span of years")
        found.update(range(int(ends[0]), int(ends[1]) + 1, every))
    return tuple(sorted(found))


def next_time(action: ScheduledAction, after: int) -> int | None:
    """The first time later than that at which it is to be done; None if there is none. All in milliseconds."""
    schedule, start = parsed(action.schedule), action.start
    after = after if start is None else max(after, start - 1)
    if after >= _END:
        return None
    match schedule:
        case At():
            at = _milliseconds(_placed(schedule.time, zone(action.timezone)))
            found = at if at > after else None
        case Rate():
            found = _next_of_rate(schedule, action, after)
        case Cron():
            found = _next_of_cron(schedule, zone(action.timezone), after)
    return None if found is None or found > min(_END, _END if action.end is None else action.end) else found


def last_time(action: ScheduledAction, now: int) -> int | None:
    """The last time up to now at which it was to be done and has not been; None if there is none."""
    found, after = None, action.done_until
    following = next_time(action, after)
    if following is None or following > now:
        return None
    # Usually that is the one; of those that were missed, the last is looked for from ever nearer to now.
    for back in _AGO:
        begin = max(after, now - back)
        later = next_time(action, begin)
        if later is not None and later <= now:
            found, after = later, later
    while (later := next_time(action, after)) is not None and later <= now:
        found, after = later, later
    return found


_AGO = (400 * 86_400_000, 32 * 86_400_000, 2 * 86_400_000, 2 * 3_600_000, 120_000)


def _next_of_rate(schedule: Rate, action: ScheduledAction, after: int) -> int:
    """From StartTime on, that included; without one the first time is one period after it was made."""
    step = schedule.seconds * 1000
    first = action.start if action.start is not None else action.created_at + step
    return first if after < first else first + ((after - first) // step + 1) * step


def _next_of_cron(schedule: Cron, place: ZoneInfo, after: int) -> int | None:
    begin = datetime.fromtimestamp(after // 1000, place)
    for year in schedule.years:
        if year < begin.year:
            continue
        from_there = begin if year == begin.year else datetime(year, 1, 1, tzinfo=place) - timedelta(seconds=1)
        try:
            found = next(CronSim(schedule.expression, from_there))
        except StopIteration:
            return None
        if found.year in schedule.years:
            return _milliseconds(found)
    return None


def _placed(time: datetime, place: ZoneInfo) -> datetime:
    there = time.replace(tzinfo=place)
    while there.astimezone(UTC).astimezone(place).replace(tzinfo=None) != time:
        time += timedelta(minutes=1)
        there = time.replace(tzinfo=place)
    return there


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp()) * 1000


class Due(NamedTuple):
    action: ScheduledAction
    at: int


def due(actions: Iterable[ScheduledAction], now: int) -> list[Due]:
    """In the order of their times."""
    found = [Due(action, at) for action in actions if (at := last_time(action, now)) is not None]
    return sorted(found, key=lambda each: (each.at, each.action.name))


def applied(target: ScalableTarget, action: ScheduledAction) -> ScalableTarget:
    """With the action's bounds. Raises ScheduleError if they do not go with those that stay."""
    low = target.min_capacity if action.min_capacity is None else action.min_capacity
    high = target.max_capacity if action.max_capacity is None else action.max_capacity
    if low > high:
        raise ScheduleError(f"minimum capacity {low} would be above maximum capacity {high}")
    return msgspec.structs.replace(target, min_capacity=low, max_capacity=high)
