"""Which instances an ask comes nearest to, and the smallest change after which one of them takes it: fewest fields,
then the least part given up of all of them together.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.model.ask import Ask
from shoal_scheduler.placement.demand import Change, Costs, Demand, Mask, Shortfall
from shoal_scheduler.placement.demands import ANY, Least, demands
from shoal_scheduler.placement.filters import NO_ROW
from shoal_scheduler.state.instance_table import InstanceTable


class Suggestion(NamedTuple):
    """After these changes the row takes the ask, which is then `ask`."""

    row: int
    changes: tuple[Change, ...]
    ask: Ask


class Survey(NamedTuple):
    """An ask held against every row. What is no matter of the ask (the instance drains, its agent is away, it is held
    for another) is an obstacle, and nobody is advised to ask for less because of one."""

    present: Mask
    demands: tuple[Demand, ...]
    obstacles: tuple[tuple[Shortfall, Mask], ...]

    # How many demands each row refuses, and what all of them would cost together; whether they can be given up there.
    refused: NDArray[np.int64]
    cost: Costs
    negotiable: Mask

    @property
    def is_open(self) -> Mask:
        """Instances that nothing but the ask itself keeps from taking it."""
        found = self.present.copy()
        for _, rows in self.obstacles:
            found &= ~rows
        return found


def survey(ask: Ask, table: InstanceTable, held: int = NO_ROW, least: Least = ANY) -> Survey:
    wanted = tuple(demands(ask, table, least))
    refused, cost = np.zeros(len(table), np.int64), np.zeros(len(table))
    negotiable = np.ones(len(table), bool)
    for demand in wanted:
        refuses = demand.cost > 0
        refused += refuses
        cost += demand.cost
        negotiable &= ~refuses | demand.negotiable
    return Survey(table.present(), wanted, _obstacles(table, held), refused, cost, negotiable)


def _obstacles(table: InstanceTable, held: int) -> tuple[tuple[Shortfall, Mask], ...]:
    found = [
        (Shortfall("INSTANCE:DRAINING", "status", "ACTIVE", "DRAINING"), ~table.active),
        (Shortfall("AGENT", "agentConnected", "true", "false"), ~table.connected),
        (Shortfall("INSTANCE:IMPAIRED", "healthStatus", "OK", "IMPAIRED"), table.impaired),
    ]
    if held != NO_ROW:
        found.append((Shortfall("HELD", "held", "", ""), np.arange(len(table)) == held))
    return tuple(found)


def nearest(found: Survey, count: int) -> list[int]:
    """The rows that fail the fewest rules, then by the least; the first rows of equals."""
    obstacles = sum((rows.astype(np.int64) for _, rows in found.obstacles), np.zeros(len(found.cost), np.int64))
    return _first(found.present, found.refused + obstacles, found.cost + obstacles, count)


def shortfalls(found: Survey, row: int) -> list[Shortfall]:
    """Every rule that the row fails, in the order in which they are asked."""
    obstacles = [shortfall for shortfall, rows in found.obstacles if rows[row]]
    return [*obstacles, *(each.shortfall(row) for each in found.demands if each.cost[row] > 0)]


def suggestion(ask: Ask, found: Survey) -> Suggestion | None:
    """None where it fits already, or where no change of the ask helps."""
    rows = _first(found.is_open & found.negotiable, found.refused, found.cost, 1)
    if not rows or not found.refused[rows[0]]:
        return None
    row = rows[0]
    refusing = [demand for demand in found.demands if demand.cost[row] > 0]
    return Suggestion(row, tuple(each.change(row) for each in refusing), _reduced(ask, refusing, row))


def _reduced(ask: Ask, refusing: Sequence[Demand], row: int) -> Ask:
    for demand in refusing:
        ask = demand.reduced(ask, row)
    return ask


def kept_away(found: Survey) -> list[int]:
    """Rows that would take the ask as it is, were it not for an obstacle."""
    rows: list[int] = (found.present & ~found.is_open & (found.refused == 0)).nonzero()[0].tolist()
    return rows


def _first(among: Mask, number: NDArray[np.int64], cost: Costs, count: int) -> list[int]:
    rows = among.nonzero()[0]
    order = np.lexsort((cost[rows], number[rows]))[:count]
    first: list[int] = rows[order].tolist()
    return first
