"""The leader's alarms: each is looked at when a period of its ends, and who asked to be told of a change is told.

Whoever is to be told stands in the alarm's record until it was: so a change is told at least once, whichever leader
comes and goes. An address that cannot be reached is tried again for an hour.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from shoal import arn

from shoal_scheduler.control import alarm_inputs as i
from shoal_scheduler.control import alarms
from shoal_scheduler.engine import Engine, Unavailable
from shoal_scheduler.metrics.statistics import TooFineError, statistics
from shoal_scheduler.metrics.store import Metric, Metrics
from shoal_scheduler.model.alarm import Alarm
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.webhooks import NotToldError, Webhooks

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0

# Samples come a little late.
LATE_SECONDS = 5
TOLD_AT_ONCE = 16
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 2.0, 300.0
GIVE_UP_SECONDS = 3600.0

# The transition and the address that is told of it.
Owed = tuple[str, int, str]


@dataclass
class Alarms:
    """`run` for as long as this process leads."""

    engine: Engine
    metrics: Metrics
    webhooks: Webhooks

    # Milliseconds: of the time before, this process has measured nothing.
    led_since: int = 0
    now: Callable[[], float] = time.time
    _looked_at: dict[str, tuple[int, int]] = field(default_factory=dict)
    _telling: dict[Owed, asyncio.Task[None]] = field(default_factory=dict)

    async def run(self) -> None:
        async with self.webhooks, asyncio.TaskGroup() as telling:
            while True:
                await self.look(telling)
                await asyncio.sleep(LOOK_SECONDS)

    async def look(self, telling: asyncio.TaskGroup) -> None:
        """Once; who is to be told is told meanwhile. A fault of one alarm is not the others'."""
        for alarm in list(self.engine.tables.alarms.values()):
            try:
                await self._evaluate(alarm)
            except Unavailable:
                return
            except Exception:
                log.exception("alarm cannot be looked at name=%s", alarm.name)
        self._tell_owed(telling)

    async def _evaluate(self, alarm: Alarm) -> None:
        end = int(self.now() - LATE_SECONDS) // alarm.period * alarm.period
        if self._looked_at.get(alarm.name) == (end, alarm.version):
            return
        began = end - alarm.period * alarm.evaluation_periods
        # What is missing of the time before may have been there.
        looked = msgspec.structs.replace(alarm, missing="ignore") if began * 1000 < self.led_since else alarm
        state, reason = alarms.evaluate(looked, self._values(alarm, end))
        if state != alarm.state:
            await self.engine.submit(i.SetAlarmState(alarm.name, state, reason, alarm.version))
            log.info("alarm changed name=%s state=%s", alarm.name, state)
        self._looked_at[alarm.name] = (end, alarm.version)

    def _values(self, alarm: Alarm, end: int) -> list[float | None]:
        starts = [end - alarm.period * back for back in range(alarm.evaluation_periods, 0, -1)]
        series = self.metrics.find(Metric(alarm.namespace, alarm.metric, alarm.dimensions), self.now())
        if series is None:
            return [None] * len(starts)
        try:
            found = dict(statistics(series, starts[0], end, alarm.period, alarm.statistic))
        except TooFineError:
            return [None] * len(starts)
        return [found.get(start) for start in starts]

    def _tell_owed(self, telling: asyncio.TaskGroup) -> None:
        known = self.engine.tables.alarms
        self._looked_at = {name: at for name, at in self._looked_at.items() if name in known}
        owed = {(it.name, it.changed_at, address) for it in known.values() for address in it.undelivered}
        for one, task in list(self._telling.items()):
            if task.done() or one not in owed:
                task.cancel()
                del self._telling[one]
        for one in sorted(owed - self._telling.keys())[: TOLD_AT_ONCE - len(self._telling)]:
            self._telling[one] = telling.create_task(self._tell(*one))

    async def _tell(self, name: str, changed_at: int, address: str) -> None:
        try:
            await self._until_told(name, changed_at, address)
            await self.engine.submit(i.AlarmDelivered(name, address, changed_at))
        except (Unavailable, Refused) as error:
            log.info("told, and not noted name=%s reason=%s", name, error)
        except Exception:  # no reason to lead no more
            log.exception("alarm cannot be told name=%s", name)

    async def _until_told(self, name: str, changed_at: int, address: str) -> None:
        """Or given up, or not of interest any more."""
        pause = RETRY_SECONDS_MIN
        while True:
            alarm = self.engine.tables.alarms.get(name)
            if alarm is None or alarm.changed_at != changed_at:
                return
            try:
                await self.webhooks.tell(address, document(alarm))
                return
            except NotToldError as error:
                log.warning("not told name=%s address=%s reason=%s", name, address, error)
                if self.now() - changed_at / 1000 > GIVE_UP_SECONDS:
                    log.error("given up name=%s address=%s", name, address)
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS_MAX)


def document(alarm: Alarm) -> dict[str, Any]:
    """What is told, as CloudWatch tells it by SNS."""
    last = alarm.history[-1] if alarm.history else None
    return {
        "AlarmName": alarm.name,
        "AlarmDescription": alarm.description or None,
        "AlarmArn": arn.alarm_arn(alarm.name),
        "NewStateValue": alarm.state,
        "NewStateReason": alarm.reason,
        "StateChangeTime": alarm.changed_at / 1000,
        "OldStateValue": last.before if last is not None else None,
        "Trigger": {
            "MetricName": alarm.metric,
            "Namespace": alarm.namespace,
            "Statistic": alarm.statistic,
            "Dimensions": [{"name": name, "value": value} for name, value in alarm.dimensions],
            "Period": alarm.period,
            "EvaluationPeriods": alarm.evaluation_periods,
            "DatapointsToAlarm": alarm.datapoints_to_alarm,
            "ComparisonOperator": alarm.comparison,
            "Threshold": alarm.threshold,
            "TreatMissingData": alarm.missing,
        },
    }
