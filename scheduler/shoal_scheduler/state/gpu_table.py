"""What is free of every GPU, in thousandths: a row an instance, a column a GPU."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.state.row_counts import Ints

WHOLE = 1000
NONE = -1


class GpuTable:
    """`free` holds NONE where an instance has no such GPU. The sums beside it are kept up to date."""

    def __init__(self) -> None:
        self.free: NDArray[np.int32] = np.zeros((0, 0), np.int32)
        self.total: Ints = np.zeros(0, np.int32)  # thousandths free on all GPUs of the instance together
        self.whole: Ints = np.zeros(0, np.int32)  # GPUs that nobody uses
        self.most: Ints = np.zeros(0, np.int32)  # thousandths free on the emptiest GPU

    def copy(self) -> "GpuTable":
        twin = GpuTable()
        twin.free, twin.total = self.free.copy(), self.total.copy()
        twin.whole, twin.most = self.whole.copy(), self.most.copy()
        return twin

    def grow(self) -> None:
        """One more row, without GPUs."""
        width = self.free.shape[1]
        self.free = np.concatenate([self.free, np.full((1, width), NONE, np.int32)])
        self.total, self.whole, self.most = (
            np.append(each, np.int32(0)) for each in (self.total, self.whole, self.most)
        )

    def put(self, row: int, count: int) -> None:
        """The instance has so many GPUs, and all are free."""
        rows, width = self.free.shape
        if count > width:
            self.free = np.concatenate([self.free, np.full((rows, count - width), NONE, np.int32)], axis=1)
        self.free[row] = NONE
        self.free[row, :count] = WHOLE
        self._sum_up(row)

    def take(self, row: int, gpus: Sequence[int], milli: int) -> None:
        """A negative `milli` gives back."""
        for gpu in gpus:
            self.free[row, gpu] -= milli
        self._sum_up(row)

    def _sum_up(self, row: int) -> None:
        free = [each for each in self.free[row].tolist() if each > 0]
        self.total[row] = sum(free)
        self.whole[row] = free.count(WHOLE)
        self.most[row] = max(free, default=0)

    def fitting(self, count: int, milli: int) -> NDArray[np.bool_]:
        """Rows with `count` GPUs that have `milli` thousandths free each."""
        if milli == WHOLE:
            found = self.whole >= count
        elif count == 1:
            found = self.most >= milli
        else:
            found = (self.free >= milli).sum(axis=1) >= count
        return np.asarray(found, bool)

    def choose(self, row: int, count: int, milli: int) -> tuple[int, ...]:
        """The fullest GPUs that still have room, the first of equals: whole ones are kept for who needs them."""
        fitting = [(free, gpu) for gpu, free in enumerate(self.free[row].tolist()) if free >= milli]
        return tuple(sorted(gpu for _, gpu in sorted(fitting)[:count]))
