"""Alarms: what makes one, what missing data means, who is to be told, and that each is told whatever dies."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from shoal_scheduler.alarms import Alarms
from shoal_scheduler.control import alarm_inputs as i
from shoal_scheduler.control import alarms
from shoal_scheduler.metrics.frames import Point
from shoal_scheduler.metrics.store import Metric, Metrics
from shoal_scheduler.model.alarm import ALARM, INSUFFICIENT_DATA, OK, Alarm
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.webhooks import NotToldError

from tests.unit.scheduler.plane import Plane

N = None
HOOK, OTHER = "https://example.org/a", "https://example.org/b"


def alarm(**more: Any) -> Alarm:
    usual: dict[str, Any] = {
        "name": "busy",
        "namespace": "app",
        "metric": "load",
        "statistic": "Average",
        "period": 60,
        "evaluation_periods": 3,
        "datapoints_to_alarm": 2,
        "threshold": 10.0,
        "comparison": "GreaterThanThreshold",
        "actions": {ALARM: (HOOK, OTHER), OK: (HOOK,)},
    }
    return Alarm(**{**usual, **more})


@pytest.mark.parametrize(
    ("missing", "before", "values", "after"),
    [
        ("missing", OK, [11, 9, 11], ALARM),
        ("missing", ALARM, [11, 9, 9], OK),
        ("missing", ALARM, [N, 11, 11], ALARM),
        ("missing", ALARM, [N, N, 11], OK),
        ("missing", ALARM, [N, N, N], INSUFFICIENT_DATA),
        ("breaching", OK, [N, N, N], ALARM),
        ("breaching", OK, [9, 9, N], OK),
        ("notBreaching", ALARM, [N, N, N], OK),
        ("notBreaching", OK, [11, 11, N], ALARM),
        ("ignore", ALARM, [N, N, N], ALARM),
        ("ignore", ALARM, [N, 11, 9], ALARM),
        ("ignore", OK, [N, 11, 9], OK),
        ("ignore", ALARM, [9, 9, N], OK),
        ("ignore", OK, [11, 11, N], ALARM),
        ("ignore", INSUFFICIENT_DATA, [N, N, N], INSUFFICIENT_DATA),
    ],
)
def test_missing_data(missing: str, before: str, values: list[float | None], after: str) -> None:
    assert alarms.evaluate(alarm(missing=missing, state=before), values)[0] == after


@pytest.mark.parametrize(
    ("comparison", "below", "at", "above"),
    [
        ("GreaterThanOrEqualToThreshold", OK, ALARM, ALARM),
        ("GreaterThanThreshold", OK, OK, ALARM),
        ("LessThanThreshold", ALARM, OK, OK),
        ("LessThanOrEqualToThreshold", ALARM, ALARM, OK),
    ],
)
def test_comparisons(comparison: str, below: str, at: str, above: str) -> None:
    one = alarm(comparison=comparison, evaluation_periods=1, datapoints_to_alarm=1)
    assert [alarms.evaluate(one, [value])[0] for value in (9.0, 10.0, 11.0)] == [below, at, above]


async def test_a_change_says_who_is_to_be_told_and_outlives_the_leader() -> None:
    plane = Plane()
    await plane.one(i.PutAlarm(alarm()))
    changed = await plane.one(i.SetAlarmState("busy", ALARM, "too much", 1))
    assert (changed.undelivered, changed.changed_version) == ((HOOK, OTHER), changed.version)
    await plane.one(i.AlarmDelivered("busy", HOOK, changed.changed_at))
    kept = (await plane.reloaded()).alarms["busy"]
    assert (kept.state, kept.undelivered) == (ALARM, (OTHER,))
    assert [(each.before, each.after) for each in kept.history] == [(INSUFFICIENT_DATA, ALARM)]


async def test_what_was_seen_of_an_older_alarm_changes_nothing() -> None:
    plane = Plane()
    await plane.one(i.PutAlarm(alarm()))
    await plane.one(i.PutAlarm(alarm(threshold=99.0)))
    unchanged = await plane.one(i.SetAlarmState("busy", ALARM, "too much", 1))
    assert (unchanged.state, unchanged.threshold) == (INSUFFICIENT_DATA, 99.0)


async def test_an_older_transition_that_was_told_leaves_the_newer_one_owed() -> None:
    plane = Plane()
    await plane.one(i.PutAlarm(alarm()))
    first = await plane.one(i.SetAlarmState("busy", ALARM, "too much"))
    plane.now += 1
    second = await plane.one(i.SetAlarmState("busy", OK, "well again"))
    await plane.one(i.AlarmDelivered("busy", HOOK, first.changed_at))
    assert plane.tables.alarms["busy"].undelivered == (HOOK,) == second.undelivered


async def test_a_changed_alarm_keeps_its_state_and_a_disabled_one_tells_nobody() -> None:
    plane = Plane()
    await plane.one(i.PutAlarm(alarm()))
    await plane.one(i.SetAlarmState("busy", ALARM, "too much"))
    kept = await plane.one(i.PutAlarm(alarm(threshold=99.0)))
    assert (kept.state, kept.undelivered, kept.threshold) == (ALARM, (HOOK, OTHER), 99.0)
    await plane.one(i.EnableAlarmActions(("busy", "nobody"), enabled=False))
    assert plane.tables.alarms["busy"].undelivered == ()
    silent = await plane.one(i.SetAlarmState("busy", OK, "well again"))
    assert silent.undelivered == () and silent.history[-1].after == OK
    await plane.one(i.DeleteAlarms(("busy", "nobody")))
    assert plane.tables.alarms == {} == (await plane.reloaded()).alarms
    with pytest.raises(Refused, match="no alarm"):
        await plane.one(i.SetAlarmState("busy", OK, "well again"))


async def test_how_many_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "ALARMS_MAX", 2)
    plane = Plane()
    replies = await plane.run([i.PutAlarm(alarm(name=name)) for name in ("a", "b", "c", "a")])
    assert [isinstance(reply, Refused) for reply in replies] == [False, False, True, False]


@dataclass
class Hooks:
    """`fails`: how often each address does not answer yet."""

    told: list[tuple[str, str]] = field(default_factory=list)
    fails: int = 0

    async def __aenter__(self) -> "Hooks":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def tell(self, address: str, document: dict[str, Any]) -> None:
        if self.fails:
            self.fails -= 1
            raise NotToldError("no answer")
        self.told.append((address, document["NewStateValue"]))


@dataclass
class EngineOf:
    """The engine's part that alarms use, over a plane without a loop."""

    plane: Plane

    @property
    def tables(self) -> Any:
        return self.plane.tables

    async def submit(self, request: i.AlarmInput) -> Any:
        return await self.plane.one(request)


class Watched:
    def __init__(self, led_since: int = 0) -> None:
        self.now = 100_000.0
        self.plane, self.metrics, self.hooks = Plane(), Metrics(), Hooks()
        engine: Any = EngineOf(self.plane)
        hooks: Any = self.hooks
        self.alarms = Alarms(engine, self.metrics, hooks, led_since, now=lambda: self.now)

    def measure(self, *values: float) -> None:
        """One a minute, up to now."""
        for back, value in enumerate(reversed(values), 1):
            at = int(self.now) - 60 * back
            self.metrics.record(self.now, Metric("app", "load", ()), "None", Point(at, value, value, value, 1))

    async def look(self) -> Alarm:
        async with asyncio.timeout(5), asyncio.TaskGroup() as telling:
            await self.alarms.look(telling)
        found: Alarm = self.plane.tables.alarms["busy"]
        return found


async def test_it_is_looked_at_told_once_and_well_again() -> None:
    watched = Watched()
    await watched.plane.one(i.PutAlarm(alarm()))
    assert (await watched.look()).state == INSUFFICIENT_DATA
    watched.measure(5, 20, 20)
    watched.now += 60
    seen = await watched.look()
    assert (seen.state, seen.undelivered) == (ALARM, ())
    assert sorted(watched.hooks.told) == [(HOOK, ALARM), (OTHER, ALARM)]
    await watched.look()
    assert len(watched.hooks.told) == 2
    watched.now += 120
    watched.measure(1, 1)
    assert (await watched.look()).state == OK
    assert watched.hooks.told[2:] == [(HOOK, OK)]


async def test_who_does_not_answer_is_told_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal_scheduler.alarms.RETRY_SECONDS_MIN", 0.001)
    watched = Watched()
    await watched.plane.one(i.PutAlarm(alarm(actions={ALARM: (HOOK,)})))
    watched.plane.now = int(watched.now * 1000)
    await watched.plane.one(i.SetAlarmState("busy", ALARM, "by hand"))
    watched.hooks.fails = 3
    async with asyncio.timeout(5), asyncio.TaskGroup() as telling:
        watched.alarms._tell_owed(telling)
    assert watched.hooks.told == [(HOOK, ALARM)]
    assert watched.plane.tables.alarms["busy"].undelivered == ()


async def test_a_new_leader_that_has_measured_nothing_yet_raises_no_alarm() -> None:
    for missing in ("missing", "breaching"):
        watched = Watched(led_since=99_990_000)
        await watched.plane.one(i.PutAlarm(msgspec.structs.replace(alarm(missing=missing), evaluation_periods=3)))
        await watched.plane.one(i.SetAlarmState("busy", OK, "as the leader before had it"))
        assert (await watched.look()).state == OK
        watched.now += 300
        assert (await watched.look()).state == (ALARM if missing == "breaching" else INSUFFICIENT_DATA)
