"""Which sizes fit somewhere by cpu and memory alone: asked of thousands of asks, before one is looked at in full."""

from bisect import bisect_right

import numpy as np

from shoal_scheduler.model.ask import Resources
from shoal_scheduler.state.row_counts import Ints


class Front:
    """Of the open rows, those of which no other has more of both. What there is when this is made counts: where tasks
    were placed since, it says yes too often, but never no in error."""

    __slots__ = ("_cpu", "_memory")

    def __init__(self, cpu: Ints, memory: Ints, refused: Ints) -> None:
        """By row. `refused`: 0 for those that are open."""
        rows = (refused == 0).nonzero()[0]
        if len(rows) > 1:
            order = np.lexsort((-memory[rows], -cpu[rows]))
            rows = rows[order]
        most = np.maximum.accumulate(memory[rows])
        is_edge = np.ones(len(rows), bool)
        is_edge[1:] = most[1:] > most[:-1]

        # The cpu falls, its negative ascends; the memory ascends.
        self._cpu: list[int] = (-cpu[rows][is_edge]).tolist()
        self._memory: list[int] = most[is_edge].tolist()

    def fits(self, wanted: Resources) -> bool:
        at = bisect_right(self._cpu, -wanted.cpu)
        return at > 0 and self._memory[at - 1] >= wanted.memory_mib
