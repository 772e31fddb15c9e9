"""The leader's part of autoscaling: measures what the policies follow, and has the step decide when there is something
to decide.

Each scalable target is looked at when a period of one of its policies has ended, when a scheduled action is due, and
when something of it was changed. Whether there is something to decide is asked of the rule itself, so that what is as
it should be costs no step.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from shoal_scheduler.control.autoscaling.evaluate import evaluate
from shoal_scheduler.control.autoscaling.inputs import EvaluateScaling
from shoal_scheduler.control.autoscaling.scheduled import next_time
from shoal_scheduler.control.autoscaling.votes import Datapoint, Readings
from shoal_scheduler.control.context import Context, Limits
from shoal_scheduler.engine import Engine, Unavailable
from shoal_scheduler.metrics.store import Metrics
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.scaling import (
    PERIOD_SECONDS,
    ScalableTarget,
    ScalingPolicy,
    ScheduledAction,
    TargetTracking,
)
from shoal_scheduler.model.service import Service
from shoal_scheduler.prometheus_queries import NotAnsweredError, PrometheusQueries
from shoal_scheduler.scaling_readings import breaches_of, starts_of, values_of, with_capacity
from shoal_scheduler.state.overlay import Overlay

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0

# Samples come a little late.
LATE_SECONDS = 5

Key = tuple[str, str]


class _NoIds:
    """For a decision that is thrown away."""

    def launch_id(self) -> str:
        return ""

    def job_id(self) -> str:
        return ""


@dataclass
class Autoscaling:
    """`run` for as long as this process leads."""

    engine: Engine
    metrics: Metrics
    prometheus: PrometheusQueries
    now: Callable[[], float] = time.time
    _looked_at: dict[Key, object] = field(default_factory=dict)
    _next_times: dict[ScheduledAction, int | None] = field(default_factory=dict)

    # By policy: why its Prometheus does not answer.
    _silent: dict[tuple[str, str, str], str] = field(default_factory=dict)

    async def run(self) -> None:
        async with self.prometheus:
            while True:
                await self.look()
                await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Once, between other work of this process. A fault of one service is not the others'; where a Prometheus lets
        one wait, they wait together."""
        targets = list(self.engine.tables.records.all(ScalableTarget))
        keys = {(target.cluster, target.service) for target in targets}
        self._looked_at = {key: seen for key, seen in self._looked_at.items() if key in keys}
        actions = set(self.engine.tables.records.all(ScheduledAction))
        self._next_times = {action: at for action, at in self._next_times.items() if action in actions}
        for target in targets:
            if not self._asks_others(target):
                await self._look_at(target)
                await asyncio.sleep(0)
        await asyncio.gather(*(self._look_at(target) for target in targets if self._asks_others(target)))

    def _asks_others(self, target: ScalableTarget) -> bool:
        policies = self.engine.tables.records.of(ScalingPolicy, target.cluster, target.service)
        return any(policy.tracking is not None and policy.tracking.prometheus is not None for policy in policies)

    async def _look_at(self, target: ScalableTarget) -> None:
        try:
            await self._evaluate(target)
        except (Unavailable, Refused) as error:
            log.info("not scaled cluster=%s service=%s reason=%s", target.cluster, target.service, error)
        except Exception:
            log.exception("cannot be scaled cluster=%s service=%s", target.cluster, target.service)

    async def _evaluate(self, target: ScalableTarget) -> None:
        key = (target.cluster, target.service)
        policies = sorted(self.engine.tables.records.of(ScalingPolicy, *key), key=lambda policy: policy.name)
        now = self.now()
        ends = {policy.name: _end(policy, now) for policy in policies} or {"": _end_of(PERIOD_SECONDS, now)}
        suspended = (target.in_suspended, target.out_suspended, target.scheduled_suspended)
        service = self.engine.tables.records.get(Service, *key)
        status = service.status if service is not None else ""
        seen = (ends, policies, target.min_capacity, target.max_capacity, suspended, status)
        if self._looked_at.get(key) == seen and not self._is_due(key, now):
            return
        readings = await self._readings(policies, ends, now)
        request = EvaluateScaling(*key, readings)
        if self._would_change(request):
            await self.engine.submit(request)
        self._looked_at[key] = seen

    def _is_due(self, key: Key, now: float) -> bool:
        for action in self.engine.tables.records.of(ScheduledAction, *key):
            if action not in self._next_times:
                self._next_times[action] = next_time(action, action.done_until)
            at = self._next_times[action]
            if at is not None and at <= now * 1000:
                return True
        return False

    def _would_change(self, request: EvaluateScaling) -> bool:
        tables = self.engine.tables
        at = max(int(self.now() * 1000), tables.newest)
        return bool(evaluate(Overlay(tables), request, Context(at, _NoIds(), Random(0), Limits())).changes)

    async def _readings(self, policies: Sequence[ScalingPolicy], ends: dict[str, int], now: float) -> Readings:
        readings = Readings()
        tracking = [(policy, policy.tracking) for policy in policies if policy.tracking is not None]
        series = await asyncio.gather(*(self._points(policy, each, ends[policy.name]) for policy, each in tracking))
        for (policy, _), points in zip(tracking, series, strict=True):
            readings.points[policy.name] = points
        for policy in policies:
            if policy.stepping is not None:
                breaches = breaches_of(self.metrics, self.engine.tables, policy, now - LATE_SECONDS)
                readings.breaches[policy.name] = breaches
        return readings

    async def _points(self, policy: ScalingPolicy, tracking: TargetTracking, end: int) -> tuple[Datapoint | None, ...]:
        if tracking.prometheus is None:
            values = values_of(self.metrics, policy, tracking, end)
        else:
            values = await self._of_prometheus(policy, tracking, end)
        return with_capacity(self.metrics, self.engine.tables, policy, values, end, tracking.period)

    async def _of_prometheus(self, policy: ScalingPolicy, tracking: TargetTracking, end: int) -> list[float | None]:
        """A value is of its time alone: that at the end of a period stands for the period."""
        asked, key = tracking.prometheus, (policy.cluster, policy.service, policy.name)
        assert asked is not None
        times = [start + tracking.period for start in starts_of(end, tracking.period)]
        try:
            values = await self.prometheus.values(asked.address, asked.query, times)
        except NotAnsweredError as error:
            if self._silent.get(key) != str(error):
                log.warning("Prometheus does not answer policy=%s address=%s reason=%s", key, asked.address, error)
            self._silent[key] = str(error)
            return [None] * len(times)
        if self._silent.pop(key, ""):
            log.info("Prometheus answers again policy=%s address=%s", key, asked.address)
        return values


def _end(policy: ScalingPolicy, now: float) -> int:
    return _end_of(policy.tracking.period if policy.tracking is not None else PERIOD_SECONDS, now)


def _end_of(period: int, now: float) -> int:
    """Of the last period of which samples are there."""
    return int(now - LATE_SECONDS) // period * period
