"""Series of many things with the same metrics, kept as frames: one for each step of time, with a row for each thing
and a column for each metric. Memory is taken as time goes by, and given back frame by frame.

A table keeps several tiers, as ten seconds for three hours, a minute for a day. What is recorded goes into all of them
at once, in whatever order it comes: into the first as it is, into coarser ones as minimum, maximum, sum and count, of
which every statistic of CloudWatch can be told. What was not recorded is NaN with count 0, and nobody's 0.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]

ROWS_GROW_BY = 64

# A clock that was set back so many steps is believed: what it said before was wrong.
STEPS_BACK_MAX = 6


class Tier(NamedTuple):
    step_seconds: int
    keep_seconds: int

    @property
    def steps(self) -> int:
        return self.keep_seconds // self.step_seconds


class Point(NamedTuple):
    """What was recorded in one step of a series. `time` is its start, in seconds."""

    time: int
    low: float
    high: float
    total: float
    samples: float


class Frame:
    """A plain one holds at most one value each, which is its minimum, maximum and sum."""

    __slots__ = ("count", "high", "low", "plain", "total")

    def __init__(self, rows: int, columns: int, dtype: Any, *, plain: bool) -> None:
        self.plain = plain
        self.low: Numbers = np.full((rows, columns), np.nan, dtype)
        self.high = self.low if plain else self.low.copy()
        self.total = self.low if plain else np.zeros((rows, columns), dtype)
        # A pushed set of statistics counts as many as it says; of our own samples 30 come in five minutes.
        counts: Any = np.uint8 if dtype is np.float32 else np.float64
        self.count: NDArray[Any] = np.zeros((rows, columns), counts)

    @property
    def nbytes(self) -> int:
        arrays = (self.low,) if self.plain else (self.low, self.high, self.total)
        return sum(each.nbytes for each in arrays) + self.count.nbytes

    def grow(self, rows: int) -> None:
        more = rows - len(self.low)
        if more <= 0:
            return
        self.low = np.pad(self.low, ((0, more), (0, 0)), constant_values=np.nan)
        self.high = self.low if self.plain else np.pad(self.high, ((0, more), (0, 0)), constant_values=np.nan)
        self.total = self.low if self.plain else np.pad(self.total, ((0, more), (0, 0)))
        self.count = np.pad(self.count, ((0, more), (0, 0)))

    def put(self, rows: Rows, values: Numbers) -> None:
        """Each row once."""
        known = ~np.isnan(values)
        if self.plain:
            self.low[rows] = values
            self.count[rows] = known
            return
        self.low[rows] = np.fmin(self.low[rows], values)
        self.high[rows] = np.fmax(self.high[rows], values)
        self.total[rows] += np.where(known, values, 0)
        self.count[rows] += known

    def add(self, row: int, column: int, point: Point) -> None:
        """What somebody has counted together before. Not into a plain one."""
        self.low[row, column] = np.fmin(self.low[row, column], point.low)
        self.high[row, column] = np.fmax(self.high[row, column], point.high)
        self.total[row, column] += point.total
        self.count[row, column] += point.samples

    def clear(self, rows: Rows) -> None:
        inside = rows[rows < len(self.low)]
        self.low[inside] = self.high[inside] = np.nan
        self.total[inside] = np.nan if self.plain else 0
        self.count[inside] = 0

    def point(self, row: int, column: int, time: int) -> Point | None:
        if row >= len(self.low) or not self.count[row, column]:
            return None
        at = row, column
        low, high, total = (float(each[at]) for each in (self.low, self.high, self.total))
        return Point(time, low, high, total, float(self.count[at]))


class Table:
    """`rows` is where each key's values are. `samples`: what is recorded comes once a step, from a clock that ticks
    about as often; otherwise it comes as it likes, at times of its own."""

    def __init__(self, columns: Sequence[str], tiers: Sequence[Tier], *, rows_max: int, samples: bool = True) -> None:
        self.columns = {name: position for position, name in enumerate(columns)}
        self.tiers = tuple(tiers)
        self.rows_max = rows_max
        self.rows: dict[Hashable, int] = {}
        self._samples = samples
        self._dtype: Any = np.float32 if samples else np.float64
        self._vacant: list[int] = []
        self._frames: list[dict[int, Frame]] = [{} for _ in self.tiers]
        self._last_step = np.zeros(0, np.int64)
        self._has = np.zeros((0, len(columns)), bool)

    @property
    def nbytes(self) -> int:
        """Of all frames."""
        return sum(frame.nbytes for frames in self._frames for frame in frames.values())

    def last_at(self, key: Hashable) -> int:
        """The second of its newest step."""
        return int(self._last_step[self.rows[key]]) * self.tiers[0].step_seconds

    def has(self, key: Hashable) -> Iterator[str]:
        """The columns that were ever recorded."""
        row = self.rows[key]
        return (name for name, column in self.columns.items() if self._has[row, column])

    # -- recording -----------------------------------------------------------------------------------------

    def record(self, time: int, keys: Sequence[Hashable], values: Numbers) -> None:
        """A sample of each key, NaN for what is not known; each key once.

        No two clocks tick alike: a second sample within a step counts for the next, which would have had none. A
        third is dropped.
        """
        rows = np.array(self._rows_of(keys), np.intp)
        step = time // self.tiers[0].step_seconds
        last = self._last_step[rows]
        taken = (last <= step) | (last > step + STEPS_BACK_MAX)
        late = taken & (last == step)
        for chosen, at in ((taken & ~late, step), (late, step + 1)):
            if chosen.any():
                self._put(at, rows[chosen], np.asarray(values[chosen], self._dtype))

    def _put(self, step: int, rows: Rows, values: Numbers) -> None:
        time = step * self.tiers[0].step_seconds
        for position in range(len(self.tiers)):
            self._frame(position, time, time).put(rows, values)
        self._last_step[rows] = step
        self._has[rows] |= ~np.isnan(values)

    def record_point(self, now: int, key: Hashable, column: str, point: Point) -> None:
        """Of a table whose values come as they like; `point.time` is at most as long ago as the last tier keeps."""
        (row,), position = self._rows_of([key]), self.columns[column]
        for index, tier in enumerate(self.tiers):
            if point.time > now - tier.keep_seconds:
                self._frame(index, point.time, now).add(row, position, point)
        step = point.time // self.tiers[0].step_seconds
        self._last_step[row] = max(self._last_step[row], step)
        self._has[row, position] = True

    def _frame(self, position: int, time: int, now: int) -> Frame:
        tier, frames = self.tiers[position], self._frames[position]
        step = time // tier.step_seconds
        frame = frames.get(step)
        if frame is None:
            oldest = (now - tier.keep_seconds) // tier.step_seconds
            for passed in [each for each in frames if each < oldest]:
                del frames[passed]
            plain = self._samples and position == 0
            frame = frames[step] = Frame(len(self._last_step), len(self.columns), self._dtype, plain=plain)
        frame.grow(len(self._last_step))
        return frame

    def _rows_of(self, keys: Sequence[Hashable]) -> list[int]:
        missing = [key for key in keys if key not in self.rows]
        if missing:
            self._make_room(len(missing), keys)
            for key in missing:
                self.rows[key] = self._vacant.pop()
        return [self.rows[key] for key in keys]

    def _make_room(self, wanted: int, keys: Sequence[Hashable]) -> None:
        """Where all rows are taken, those go that were silent the longest, some more than must."""
        if len(self.rows) + wanted > self.rows_max:
            spared = set(keys)
            silent = sorted((key for key in self.rows if key not in spared), key=self.last_at)
            self.drop(silent[: wanted + self.rows_max // 20])
        size = len(self._last_step)
        more = -(-max(0, wanted - len(self._vacant)) // ROWS_GROW_BY) * ROWS_GROW_BY
        self._vacant[:0] = range(size + more - 1, size - 1, -1)
        self._last_step = np.pad(self._last_step, (0, more))
        self._has = np.pad(self._has, ((0, more), (0, 0)))

    def drop(self, keys: Iterable[Hashable]) -> None:
        """All of each that is kept."""
        rows = np.array([self.rows.pop(key) for key in keys], np.intp)
        if not len(rows):
            return
        for frames in self._frames:
            for frame in frames.values():
                frame.clear(rows)
        self._last_step[rows], self._has[rows] = 0, False
        self._vacant.extend(rows.tolist())

    def drop_silent(self, now: int) -> None:
        """Those of which nothing is kept any more."""
        keep_seconds = self.tiers[-1].keep_seconds
        self.drop([key for key in self.rows if self.last_at(key) < now - keep_seconds])

    # -- reading -------------------------------------------------------------------------------------------

    def points(self, key: Hashable, column: str, tier: Tier, start: int, end: int) -> Iterator[Point]:
        """Of the steps from `start` up to `end`, which is not included, the oldest first."""
        row, position = self.rows.get(key), self.columns[column]
        if row is None:
            return
        frames = self._frames[self.tiers.index(tier)]
        first, last = start // tier.step_seconds, -(-end // tier.step_seconds)
        steps: Iterable[int] = range(first, last)
        if last - first > 2 * len(frames):
            steps = sorted(step for step in frames if first <= step < last)
        for step in steps:
            frame = frames.get(step)
            found = frame.point(row, position, step * tier.step_seconds) if frame is not None else None
            if found is not None:
                yield found

    # -- over restarts ---------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All there is, of the rows in the order of `rows`; copies."""
        chosen = np.array(list(self.rows.values()), np.intp)
        found: dict[str, NDArray[Any]] = {"last_step": self._last_step[chosen], "has": self._has[chosen]}
        for position, frames in enumerate(self._frames):
            for frame in frames.values():
                frame.grow(len(self._last_step))
            found[f"{position}.steps"] = np.array(list(frames), np.int64)
            for name in ("low", "high", "total", "count"):
                stacked = [getattr(frame, name)[chosen] for frame in frames.values()]
                if stacked and not (frames[next(iter(frames))].plain and name in ("high", "total")):
                    found[f"{position}.{name}"] = np.stack(stacked)
        return found

    def restore(self, keys: Sequence[Hashable], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Into an empty table, of another with the same columns and tiers. Raises KeyError, ValueError otherwise."""
        self._rows_of(keys)
        rows, size = np.array([self.rows[key] for key in keys], np.intp), len(self._last_step)
        self._last_step[rows], self._has[rows] = arrays["last_step"], arrays["has"]
        for position, frames in enumerate(self._frames):
            plain = self._samples and position == 0
            for at, step in enumerate(arrays[f"{position}.steps"].tolist()):
                frame = frames[step] = Frame(size, len(self.columns), self._dtype, plain=plain)
                for name in ("low", "count") if plain else ("low", "high", "total", "count"):
                    getattr(frame, name)[rows] = arrays[f"{position}.{name}"][at]
