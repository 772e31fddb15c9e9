"""Sees how services are scaled, in the records. Part of the witness of services."""

from collections.abc import Iterator

from shoal_scheduler.control.autoscaling.votes import Datapoint
from shoal_scheduler.model.scaling import ScalableTarget, ScalingActivities
from shoal_scheduler.state.tables import Tables

from tests.simulation import scaling_checkers as checkers


class ScalingWitness:
    def __init__(self) -> None:
        self.targets: dict[str, ScalableTarget] = {}

        # The last that was measured, by service: the oldest first.
        self.points: dict[str, tuple[Datapoint | None, ...]] = {}

        # As they were before.
        self._before: dict[str, ScalableTarget] = {}

    def leads(self, tables: Tables) -> None:
        self.targets = {each.service: each for each in tables.records.all(ScalableTarget)}
        self._before = dict(self.targets)

    def forget(self, service: str) -> None:
        self.targets.pop(service, None)
        self._before.pop(service, None)

    def saw(self, record: object, *, is_deploying: bool) -> Iterator[checkers.Fault]:
        match record:
            case ScalableTarget():
                self._before[record.service] = self.targets.get(record.service, record)
                self.targets[record.service] = record
            case ScalingActivities():
                yield from self._scaled(record, is_deploying=is_deploying)
            case _:
                return

    def _scaled(self, told: ScalingActivities, *, is_deploying: bool) -> Iterator[checkers.Fault]:
        name, last = told.service, told.activities[-1]
        target, before = self.targets.get(name), self._before.get(name)
        if target is None or last.before == last.after:
            return
        yield checkers.stays_within_the_bounds(last, target)
        if last.after < last.before <= target.max_capacity:
            yield checkers.missing_data_never_scales_in(last, self.points.get(name, ()))
            yield checkers.nothing_scales_in_while_deploying(last, name, is_deploying=is_deploying)
            if before is not None and before.scaled is not None:
                yield checkers.a_cooldown_is_kept(last, before.scaled)
