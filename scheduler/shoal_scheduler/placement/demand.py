"""One thing that an ask demands, held against every row: where it is refused, and how much of it would have to be
given up to pass there.

Whether a row meets a demand depends on that demand alone. So the least that must be given up on a row is the least of
each demand it refuses, and the best row of all is found by adding up columns.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.model.ask import Ask, Resources
from shoal_scheduler.state.row_counts import Ints

Costs = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Shortfall(NamedTuple):
    """A rule that an instance fails, and by how much: `missing` and its unit where it is an amount.

    `reason` is ECS's word for the rule; `field` what of the ask it looks at, where that is a matter of the ask.
    """

    reason: str
    field: str
    wanted: str = ""
    has: str = ""
    missing: int = 0
    unit: str = ""


class Change(NamedTuple):
    """Of one field of an ask, written as in a definition; `after` is None where it is left out. `relative` is the part
    given up: 1 is all of it."""

    reason: str
    field: str
    before: str
    after: str | None
    relative: float
    unit: str = ""


class Demand(Protocol):
    """`cost` is the part of it that would have to be given up on each row: 0 where the row meets it, 1 for all of it,
    more where even that is not enough. `negotiable` are the rows that meet it once that is given up."""

    @property
    def cost(self) -> Costs: ...

    @property
    def negotiable(self) -> Mask: ...

    def shortfall(self, row: int) -> Shortfall:
        """What the row lacks of it."""

    def change(self, row: int) -> Change:
        """The least that must be given up for the row to meet it."""

    def reduced(self, ask: Ask, row: int) -> Ask:
        """The ask after that change."""


class Amount:
    """Of a resource. What is left of it is all that is free, but at least `least`."""

    def __init__(
        self, field: str, unit: str, wanted: int, free: Ints, put: Callable[[Resources, int], Resources], least: int
    ) -> None:
        self._reason, self._field, self._unit = f"RESOURCE:{field.upper()}", field, unit
        self._wanted, self._free, self._put = wanted, free, put
        self.cost: Costs = np.maximum(wanted - free.astype(np.int64), 0) / max(wanted, 1)
        self.negotiable: Mask = free >= least

    def shortfall(self, row: int) -> Shortfall:
        free = int(self._free[row])
        return Shortfall(self._reason, self._field, str(self._wanted), str(free), self._wanted - free, self._unit)

    def change(self, row: int) -> Change:
        left = str(int(self._free[row]))
        return Change(self._reason, self._field, str(self._wanted), left, float(self.cost[row]), self._unit)

    def reduced(self, ask: Ask, row: int) -> Ask:
        return ask._replace(resources=self._put(ask.resources, int(self._free[row])))


class CustomAmount(Amount):
    """Of a resource of the cluster's own. Where nothing is free it can be left out, which passes everywhere."""

    def __init__(self, name: str, wanted: int, free: Ints) -> None:
        super().__init__(name, "", wanted, free, self._put_custom, 0)
        self._reason = f"RESOURCE:{name}"
        self.cost = np.minimum(self.cost, 1.0)
        self.negotiable = np.ones(len(free), bool)

    def change(self, row: int) -> Change:
        change = super().change(row)
        return change if self._free[row] > 0 else change._replace(after=None)

    def _put_custom(self, resources: Resources, left: int) -> Resources:
        amounts = ((name, left if name == self._field else amount) for name, amount in resources.custom)
        return resources._replace(custom=tuple(each for each in amounts if each[1] > 0))


class Rule:
    """Met or not: all that can be given up is the rule itself."""

    def __init__(
        self,
        reason: str,
        field: str,
        demanded: str,
        refused: Mask,
        has: Callable[[int], str],
        drop: Callable[[Ask], Ask],
    ) -> None:
        self._reason, self._field, self._demanded, self._has, self._drop = reason, field, demanded, has, drop
        self.cost: Costs = refused.astype(np.float64)
        self.negotiable: Mask = np.ones(len(refused), bool)

    def shortfall(self, row: int) -> Shortfall:
        return Shortfall(self._reason, self._field, self._demanded, self._has(row))

    def change(self, row: int) -> Change:
        return Change(self._reason, self._field, self._demanded, None, 1.0)

    def reduced(self, ask: Ask, row: int) -> Ask:
        return self._drop(ask)
