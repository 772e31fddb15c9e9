"""GPUs that an ask demands: so many, and how much of each.

What can be asked for instead is what leaves the most of it, counted in thousandths of a GPU: of whole ones, fewer, or a
share of one; of shares, fewer or smaller ones.
"""

from typing import NamedTuple

import numpy as np

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
        emptiest_first = -np.sort(-table.free, axis=1)[:, :number]
        self._each = np.clip(emptiest_first, 0, milli).astype(np.int64)
        self._totals = self._each * np.arange(1, self._each.shape[1] + 1)
        if milli == WHOLE:
            self._totals[:, 1:][self._each[:, 1:] < WHOLE] = 0
        self.cost: Costs = 1.0 - self._totals.max(axis=1, initial=0) / (number * milli)
        self.negotiable: Mask = np.ones(len(self.cost), bool)

    def _left(self, row: int) -> _Gpus | None:
        """What of it the row has; None for nothing."""
        if not self._totals[row].any():
            return None
        at = int(self._totals[row].argmax())
        return _Gpus(at + 1, int(self._each[row, at]))

    def shortfall(self, row: int) -> Shortfall:
        number, milli = self._wanted
        if number == 1 and milli < WHOLE:
            most = int(self._table.most[row])
            return Shortfall(_REASON, _FIELD, str(milli), str(most), milli - most, "thousandths of a GPU")
        fitting = int((self._each[row] == milli).sum())
        unit = "GPUs" if milli == WHOLE else f"shares of {milli / WHOLE:g} of a GPU"
        return Shortfall(_REASON, _FIELD, str(number), str(fitting), number - fitting, unit)

    def change(self, row: int) -> Change:
        left = self._left(row)
        return Change(_REASON, _FIELD, str(self._wanted), str(left) if left else None, float(self.cost[row]))

    def reduced(self, ask: Ask, row: int) -> Ask:
        left = self._left(row) or _Gpus(0, WHOLE)
        return ask._replace(resources=ask.resources._replace(gpus=left.number, gpu_milli=left.milli))
