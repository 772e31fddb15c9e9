"""How many tasks of a kind (of a group, with a port) each row of the table of instances has.

Most groups and ports are on few rows: those are kept in a dict. What is on many rows is kept in an array, so that
one pass over it excludes or ranks all of them.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Slots = NDArray[np.intp]

# Above this many rows a pass over an array is faster than one over a dict.
FEW_ROWS_MAX = 48


class RowCounts:
    __slots__ = ("_few", "_many", "_tallies")

    def __init__(self) -> None:
        self._few: dict[int, int] = {}
        self._many: Ints | None = None
        # For each column that was asked for: the slot of each row, and the sum of counts per slot.
        self._tallies: list[tuple[Slots, Ints]] = []

    def copy(self) -> "RowCounts":
        twin = RowCounts()
        twin._few = self._few.copy()
        twin._many = None if self._many is None else self._many.copy()
        twin._tallies = [(slots, sums.copy()) for slots, sums in self._tallies]
        return twin

    def add(self, row: int, amount: int, size: int) -> None:
        """`size` is the number of rows of the table."""
        if self._many is not None:
            self._grow(size)
            self._many[row] += amount
        else:
            count = self._few.get(row, 0) + amount
            if count > 0:
                self._few[row] = count
            else:
                self._few.pop(row, None)
            if len(self._few) > FEW_ROWS_MAX:
                self._many, self._few = self.as_array(size), {}
        for slots, sums in self._tallies:
            if row < len(slots):
                sums[slots[row]] += amount

    def add_many(self, times: Ints) -> None:
        """`times` has one count for each row of the table."""
        rows = times.nonzero()[0]
        if self._many is None and len(self._few) + len(rows) <= FEW_ROWS_MAX:
            for row in rows.tolist():
                self.add(row, int(times[row]), len(times))
            return
        self._many, self._few = self.as_array(len(times)) + times, {}
        for slots, sums in self._tallies:
            if len(slots) == len(times):
                sums += np.bincount(slots, weights=times, minlength=len(sums)).astype(np.int32)

    def clear(self, row: int, size: int) -> None:
        count = self.on(row)
        if count:
            self.add(row, -count, size)

    def on(self, row: int) -> int:
        if self._many is None:
            return self._few.get(row, 0)
        return int(self._many[row]) if row < len(self._many) else 0

    def rows(self) -> Iterator[int]:
        """Those with at least one, in ascending order."""
        if self._many is None:
            return iter(sorted(self._few))
        return iter(self._many.nonzero()[0].tolist())

    def is_empty(self) -> bool:
        return not self._few if self._many is None else not self._many.any()

    def exclude_from(self, bad: Ints) -> None:
        """Sets -1 on every row that has at least one."""
        if self._many is None:
            for row in self._few:
                bad[row] = -1
        else:
            np.putmask(bad[: len(self._many)], self._many != 0, -1)

    def as_array(self, size: int) -> Ints:
        """One count a row; not to be changed."""
        if self._many is not None:
            self._grow(size)
            return self._many
        counts = np.zeros(size, np.int32)
        for row, count in self._few.items():
            counts[row] = count
        return counts

    def tally(self, slots: Slots, slot_count: int) -> Ints:
        """The sum of counts of all rows with the same slot; not to be changed. Kept up to date from now on, until
        the column changes."""
        for known, sums in self._tallies:
            if known is slots:
                return sums
        weights = self.as_array(len(slots))
        sums = np.bincount(slots, weights=weights, minlength=slot_count).astype(np.int32)
        self._tallies = [*self._tallies[-3:], (slots, sums)]
        return sums

    def _grow(self, size: int) -> None:
        assert self._many is not None
        if len(self._many) < size:
            self._many = np.concatenate([self._many, np.zeros(size - len(self._many), np.int32)])
