"""GPUs that an ask demands: so many, and how much of each.

What can be asked for instead is what leaves the most of it, counted in thousandths of a GPU: of whole ones, fewer, or a
share of one; of shares, fewer or smaller ones.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.model.ask import Ask
from shoal_scheduler.placement.demand import Change, Costs, Mask, Shortfall
from shoal_scheduler.state.gpu_table import WHOLE, GpuTable

_REASON, _FIELD = "RESOURCE:GPU", "GPU"


class _Gpus(NamedTuple):
    number: int
    milli: int

    def __str__(self) -> str:
        """As a requirement's value: `2`, `0.25`."""
        share = f"{self.milli / WHOLE:g}"
        return str(self.number) if self.milli == WHOLE else share if self.number == 1 else f"{self.number} x {share}"


class GpuDemand:
    def __init__(self, number: int, milli: int, table: GpuTable) -> None:
        self._wanted, self._table = _Gpus(number, milli), table
        self.cost: Costs = 1.0 - self._most_left() / (number * milli)
        self.negotiable: Mask = np.ones(len(self.cost), bool)

    def _most_left(self) -> NDArray[np.int64]:
        """By row, in thousandths."""
        number, milli = self._wanted
        table = self._table
        left: NDArray[np.int64] = np.minimum(table.most, milli).astype(np.int64)
        if milli == WHOLE:
            left = np.maximum(np.minimum(table.whole, number) * WHOLE, left)
        elif number > 1:
            each = np.clip(-np.sort(-table.free, axis=1)[:, :number], 0, milli).astype(np.int64)
            left = (each * np.arange(1, each.shape[1] + 1)).max(axis=1, initial=0)
        return left

    def _left(self, row: int) -> _Gpus | None:
        """What of it the row has; None for nothing."""
        number, milli = self._wanted
        emptiest_first = sorted(self._table.free[row].tolist(), reverse=True)[:number]
        each = [_Gpus(count, min(free, milli)) for count, free in enumerate(emptiest_first, 1) if free > 0]
        if milli == WHOLE:
            each = [gpus for gpus in each if gpus.number == 1 or gpus.milli == WHOLE]
        return max(each, key=lambda gpus: gpus.number * gpus.milli, default=None)

    def shortfall(self, row: int) -> Shortfall:
        number, milli = self._wanted
        if number == 1 and milli < WHOLE:
            most = int(self._table.most[row])
            return Shortfall(_REASON, _FIELD, str(milli), str(most), milli - most, "thousandths of a GPU")
        fitting = int((self._table.free[row] >= milli).sum())
        unit = "GPUs" if milli == WHOLE else f"shares of {milli / WHOLE:g} of a GPU"
        return Shortfall(_REASON, _FIELD, str(number), str(fitting), number - fitting, unit)

    def change(self, row: int) -> Change:
        left = self._left(row)
        return Change(_REASON, _FIELD, str(self._wanted), str(left) if left else None, float(self.cost[row]))

    def reduced(self, ask: Ask, row: int) -> Ask:
        left = self._left(row) or _Gpus(0, WHOLE)
        return ask._replace(resources=ask.resources._replace(gpus=left.number, gpu_milli=left.milli))
