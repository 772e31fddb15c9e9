"""Which rows of the table of instances have given away which host ports."""

from shoal_scheduler.model.ask import Port
from shoal_scheduler.state.row_counts import Ints, RowCounts
from shoal_scheduler.state.shared_dict import SharedDict


class PortTable:
    """Single ports are found at once. Ranges are rare: every one that is taken is looked at."""

    def __init__(self) -> None:
        self._single: SharedDict[tuple[str, int], RowCounts] = SharedDict()
        self._ranges: SharedDict[Port, RowCounts] = SharedDict()

    def copy(self) -> "PortTable":
        twin = PortTable()
        twin._single, twin._ranges = self._single.copy(), self._ranges.copy()
        return twin

    def add(self, port: Port, row: int, amount: int, size: int) -> None:
        """`amount` is 1 to take it and -1 to give it back; `size` the number of rows of the table."""
        if port.first == port.last:
            key = (port.protocol, port.first)
            counts = self._single.own(key, RowCounts, RowCounts.copy)
            counts.add(row, amount, size)
            if amount < 0 and counts.is_empty():
                self._single.drop(key)
        else:
            counts = self._ranges.own(port, RowCounts, RowCounts.copy)
            counts.add(row, amount, size)
            if amount < 0 and counts.is_empty():
                self._ranges.drop(port)

    def exclude_from(self, bad: Ints, port: Port) -> None:
        """Sets -1 on every row where any of these ports is taken."""
        protocol, first, last = port
        if first == last:
            counts = self._single.get((protocol, first))
            if counts is not None:
                counts.exclude_from(bad)
        else:
            for key in self._single:
                if key[0] == protocol and first <= key[1] <= last:
                    self._single[key].exclude_from(bad)
        if self._ranges:
            for taken in self._ranges:
                if taken.protocol == protocol and taken.first <= last and first <= taken.last:
                    self._ranges[taken].exclude_from(bad)

    def clear(self, row: int, size: int) -> None:
        for key in list(self._single):
            self._single.own(key, RowCounts, RowCounts.copy).clear(row, size)
        for port in list(self._ranges):
            self._ranges.own(port, RowCounts, RowCounts.copy).clear(row, size)
