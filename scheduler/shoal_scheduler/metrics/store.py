"""All series this scheduler keeps, in memory and bounded. Nothing of it is in etcd, and nothing waits for it."""

from collections.abc import Hashable, Iterator, Mapping
from typing import NamedTuple, TypeVar

import numpy as np

from shoal_scheduler.metrics.frames import Point, Table
from shoal_scheduler.metrics.names import (
    AWS_ECS,
    INSIGHTS,
    KINDS,
    LONG,
    MINUTES,
    SECONDS,
    dimensions_of,
    namespace_of,
    thing_of,
    unit_of,
)
from shoal_scheduler.metrics.statistics import Series
from shoal_scheduler.metrics.usage import Sample, Summary, is_fresh, rows_of, summarised_in_parts
from shoal_scheduler.state.tables import Tables

# Agents send every ten seconds. What comes faster is not looked at.
SAMPLE_SECONDS_MIN = 5.0

# Of tasks, in the samples of all agents: in a steady flow, which is 20,000 tasks, and at once.
TASKS_PER_SECOND = 2_000
TASKS_AT_ONCE = 20_000.0

# Series that others put, altogether.
PUT_SERIES_MAX = 500
_VALUE = "Value"

Key = TypeVar("Key", str, tuple[str, str])


class Metric(NamedTuple):
    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


class TooManySeriesError(Exception):
    pass


class Metrics:
    def __init__(self) -> None:
        self.tables = {name: Table(kind.columns, kind.tiers, rows_max=kind.rows_max) for name, kind in KINDS.items()}
        self.put = Table((_VALUE,), (SECONDS, MINUTES, LONG), rows_max=PUT_SERIES_MAX, samples=False)
        self.units: dict[Metric, str] = {}

        # What followed from the newest samples.
        self.summary = Summary()

        # The newest of each instance.
        self.samples: dict[str, Sample] = {}
        self._allowance, self._allowed_at = TASKS_AT_ONCE, 0.0
        self.samples_taken = 0
        self.samples_refused = 0

        # By instance: how many its agent had no room for, as it says.
        self.samples_dropped: dict[str, int] = {}

    @property
    def nbytes(self) -> int:
        return sum(table.nbytes for table in (*self.tables.values(), self.put))

    # -- what comes in ---------------------------------------------------------------------------------------

    def wants(self, instance: str, tasks: int, now: float) -> bool:
        """False if its last sample has only just come, or those of all instances are more than can be looked at: then
        some are left out, and what is known is of the others."""
        last = self.samples.get(instance)
        if last is not None and 0 <= now - last.at < SAMPLE_SECONDS_MIN:
            return False
        refilled = self._allowance + max(0.0, now - self._allowed_at) * TASKS_PER_SECOND
        self._allowance, self._allowed_at = min(refilled, TASKS_AT_ONCE), now
        if tasks > self._allowance:
            return False
        self._allowance -= tasks
        return True

    def take(self, cluster: str, instance: str, sample: Sample) -> None:
        """One that has been checked."""
        self.samples_taken += 1
        self.samples[instance] = sample
        if sample.tasks:
            keys = [(cluster, task_id) for task_id in sample.tasks]
            values = np.array([task.columns() for task in sample.tasks.values()], np.float64)
            self.tables["task"].record(int(sample.at), keys, values)

    def tick(self, tables: Tables, now: float) -> None:
        """Once a step: what follows from the newest samples and from the tables."""
        for _ in self.tick_in_parts(tables, now):
            pass

    def tick_in_parts(self, tables: Tables, now: float) -> Iterator[None]:
        """The same, for who has other things to do between two parts."""
        summary = Summary()
        for summary in summarised_in_parts(tables, self.samples, now):  # noqa: B007 - the last one is whole
            yield
        self.summary = summary
        self._record("cluster", now, summary.clusters)
        self._record("group", now, summary.groups)
        self._record("instance", now, summary.instances)
        self._record("instance traffic", now, summary.instances)
        for table in (*self.tables.values(), self.put):
            table.drop_silent(int(now))
        self.units = {metric: unit for metric, unit in self.units.items() if metric in self.put.rows}
        for instance in [each for each in self.samples if each not in tables.instances]:
            del self.samples[instance]
        self.samples_dropped = {each: n for each, n in self.samples_dropped.items() if each in tables.sessions}

    def _record(self, kind: str, now: float, values: Mapping[Key, Mapping[str, float]]) -> None:
        table = self.tables[kind]
        known = [key for key in values if key in table.rows]
        new = [key for key in values if key not in table.rows][: table.rows_max - len(known)]
        keys = known + new
        if keys:
            table.record(int(now), keys, rows_of([values[key] for key in keys], table.columns))

    def record(self, now: float, metric: Metric, unit: str, point: Point) -> None:
        """What somebody put. Raises TooManySeriesError."""
        if metric not in self.put.rows and len(self.put.rows) >= PUT_SERIES_MAX:
            raise TooManySeriesError
        self.units[metric] = unit
        self.put.record_point(int(now), metric, _VALUE, point)

    # -- what is known ---------------------------------------------------------------------------------------

    def fresh(self, instance: str, now: float) -> Sample | None:
        """The newest sample of the instance, if it is not too old to be true."""
        sample = self.samples.get(instance)
        return sample if is_fresh(sample, now) else None

    def find(self, metric: Metric, now: float) -> Series | None:
        """None if nothing was ever recorded of it."""
        if metric in self.put.rows:
            return Series(self.put, metric, _VALUE, int(now))
        thing = thing_of(dict(metric.dimensions))
        if thing is None or metric.namespace != namespace_of(metric.name):
            return None
        kinds, key = thing
        for kind in kinds:
            table = self.tables[kind]
            if metric.name in table.columns and key in table.rows:
                return Series(table, key, metric.name, int(now))
        return None

    def unit(self, metric: Metric) -> str:
        return self.units.get(metric) or unit_of(metric.name)

    def all(self) -> Iterator[Metric]:
        """Every metric that has values."""
        yield from (metric for metric in self.put.rows if isinstance(metric, Metric))
        for kind, table in self.tables.items():
            for key in table.rows:
                yield from _metrics_of(kind, table, key)

    def of(self, dimensions: Mapping[str, str]) -> Iterator[Metric]:
        """Those with exactly these dimensions."""
        yield from (each for each in self.put.rows if isinstance(each, Metric) and dict(each.dimensions) == dimensions)
        kinds, key = thing_of(dimensions) or ((), None)
        for kind in kinds:
            if key in self.tables[kind].rows:
                yield from _metrics_of(kind, self.tables[kind], key)


def _metrics_of(kind: str, table: Table, key: Hashable) -> Iterator[Metric]:
    dimensions = tuple(sorted(dimensions_of(kind, key).items()))
    for name in table.has(key):
        yield Metric(namespace_of(name), name, dimensions)


def is_ours(namespace: str) -> bool:
    return namespace in (AWS_ECS, INSIGHTS)
