"""The instances of one cluster as arrays, a row each: what is free there, and what an expression may ask of it.

Placement looks at all rows in one pass, which takes microseconds even for 10,000 of them. `copy` is cheap, so that a
step can take from its own copy while the tables stay as they are. Numbers are 32 bits wide: amounts
beyond AMOUNT_MAX count as that.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.model.ask import AMOUNT_MAX, Port, Resources
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.state.columns import Column, column_of, text_of, with_text
from shoal_scheduler.state.gpu_table import GpuTable
from shoal_scheduler.state.image_table import ImageTable
from shoal_scheduler.state.port_table import PortTable
from shoal_scheduler.state.row_counts import Ints, RowCounts
from shoal_scheduler.state.seen import Seen
from shoal_scheduler.state.shared_dict import SharedDict

STATIC_MAX = 512


class InstanceTable:
    def __init__(self) -> None:
        # Facts. Shared between copies until one of them changes.
        self.instances: list[Instance | None] = []
        self.rows: dict[str, int] = {}
        self._vacant: list[int] = []
        self._columns: dict[str, Column] = {}
        self._facts_are_shared = False

        # Which rows an ask of a class may never use, whatever is free: see placement.
        self.static: dict[object, Ints] = {}

        # -1 where the agent is away, its engine is impaired or the instance is not ACTIVE, else 0.
        self.away: Ints = np.zeros(0, np.int32)
        self.connected = np.zeros(0, bool)
        self.impaired = np.zeros(0, bool)
        self.active = np.zeros(0, bool)

        self.total_cpu: Ints = np.zeros(0, np.int32)
        self.total_memory: Ints = np.zeros(0, np.int32)

        self.free_cpu: Ints = np.zeros(0, np.int32)
        self.free_memory: Ints = np.zeros(0, np.int32)
        self.free_custom: dict[str, Ints] = {}
        self.running: Ints = np.zeros(0, np.int32)
        self.pending: Ints = np.zeros(0, np.int32)
        self.gpus = GpuTable()
        self.ports = PortTable()
        self.groups: SharedDict[str, RowCounts] = SharedDict()
        self.seen = Seen()

        # What is there of images. The same in all copies: see there.
        self.images = ImageTable()

    def copy(self) -> "InstanceTable":
        """Independent of this one as long as this one does not change."""
        twin = InstanceTable()
        twin.instances, twin.rows, twin._vacant = self.instances, self.rows, self._vacant
        twin._columns, twin.static, twin._facts_are_shared = self._columns, self.static, True
        twin.away, twin.connected, twin.active = self.away, self.connected, self.active
        twin.impaired = self.impaired
        twin.total_cpu, twin.total_memory = self.total_cpu, self.total_memory
        twin.free_cpu, twin.free_memory = self.free_cpu.copy(), self.free_memory.copy()
        twin.free_custom = {name: free.copy() for name, free in self.free_custom.items()}
        twin.running, twin.pending = self.running.copy(), self.pending.copy()
        twin.gpus, twin.ports, twin.groups = self.gpus.copy(), self.ports.copy(), self.groups.copy()
        twin.seen = self.seen.copy()
        twin.images = self.images
        return twin

    def __len__(self) -> int:
        """Rows, vacant ones included."""
        return len(self.instances)

    @property
    def registered(self) -> int:
        return len(self.rows)

    def present(self) -> NDArray[np.bool_]:
        """Rows that are not vacant."""
        if len(self.rows) == len(self.instances):
            return np.ones(len(self), bool)
        return np.array([each is not None for each in self.instances], bool)

    # -- what a task takes ---------------------------------------------------------------------------------

    def take(self, row: int, wanted: Resources, group: str, gpus: Sequence[int] = (), *, running: bool = False) -> None:
        """`gpus` are positions among the GPUs of the instance."""
        self._add(row, wanted, group, gpus, 1)
        (self.running if running else self.pending)[row] += 1

    def take_many(self, rows: NDArray[np.intp], wanted: Resources, group: str) -> None:
        """One task a row named, rows may repeat; none of them takes GPUs."""
        times = np.bincount(rows, minlength=len(self)).astype(np.int32)
        self.free_cpu -= times * np.int32(wanted.cpu)
        self.free_memory -= times * np.int32(wanted.memory_mib)
        for name, amount in wanted.custom:
            self._custom(name)[:] -= times * np.int32(amount)
        for port in wanted.ports:
            for row in rows.tolist():
                self.ports.add(port, row, 1, len(self))
        self.group(group).add_many(times)
        self.pending += times

    def give_back(
        self, row: int, wanted: Resources, group: str, gpus: Sequence[int] = (), *, running: bool = False
    ) -> None:
        self._add(row, wanted, group, gpus, -1)
        (self.running if running else self.pending)[row] -= 1

    def _add(self, row: int, wanted: Resources, group: str, gpus: Sequence[int], sign: int) -> None:
        self.free_cpu[row] -= sign * wanted.cpu
        self.free_memory[row] -= sign * wanted.memory_mib
        if gpus:
            self.gpus.take(row, gpus, sign * wanted.gpu_milli)
        for name, amount in wanted.custom:
            self._custom(name)[row] -= sign * amount
        for port in wanted.ports:
            self.ports.add(port, row, sign, len(self))
        counts = self.group(group)
        counts.add(row, sign, len(self))
        if sign < 0 and counts.is_empty():
            self.groups.drop(group)

    def _custom(self, name: str) -> Ints:
        if name not in self.free_custom:
            self.free_custom[name] = np.zeros(len(self), np.int32)
        return self.free_custom[name]

    def group(self, name: str) -> RowCounts:
        return self.groups.own(name, RowCounts, RowCounts.copy)

    # -- facts ---------------------------------------------------------------------------------------------

    def put(self, instance: Instance, *, connected: bool) -> None:
        """Add the instance, or say what it is now. One that was deregistered leaves the table."""
        self._own_facts()
        if instance.status == "INACTIVE":
            self._remove(instance.id)
            return
        row = self.rows.get(instance.id)
        if row is None:
            row = self._new_row(instance)
        before, self.instances[row] = self.instances[row], instance
        self.free_cpu[row] += _total(instance.cpu) - self.total_cpu[row]
        self.free_memory[row] += _total(instance.memory_mib) - self.total_memory[row]
        self.total_cpu[row], self.total_memory[row] = _total(instance.cpu), _total(instance.memory_mib)
        known = before.custom if before else {}
        for name in {**known, **instance.custom}:
            self._custom(name)[row] += _total(instance.custom.get(name, 0)) - _total(known.get(name, 0))
        if before is None or before.gpu_ids != instance.gpu_ids:
            self.gpus.put(row, len(instance.gpu_ids))
        for port in _reserved(before):
            self.ports.add(port, row, -1, len(self))
        for port in _reserved(instance):
            self.ports.add(port, row, 1, len(self))
        self._set_presence(row, connected=connected)
        for subject, column in self._columns.items():
            self._columns[subject] = with_text(column, row, text_of(instance, subject))

    def set_connected(self, instance_id: str, connected: bool) -> None:
        row = self.rows.get(instance_id)
        if row is not None and bool(self.connected[row]) != connected:
            self._own_facts()
            self._set_presence(row, connected=connected)

    def set_impaired(self, instance_id: str, impaired: bool) -> None:
        """While its agent is connected: who connects anew is not impaired before it says so."""
        row = self.rows.get(instance_id)
        if row is not None and bool(self.impaired[row]) != impaired:
            self._own_facts()
            self.impaired[row] = impaired
            self._set_presence(row, connected=bool(self.connected[row]))

    def _own_facts(self) -> None:
        if self._facts_are_shared:
            self.instances, self.rows = self.instances.copy(), self.rows.copy()
            self._vacant, self._columns = self._vacant.copy(), self._columns.copy()
            self._facts_are_shared = False
            self.away, self.connected, self.active = self.away.copy(), self.connected.copy(), self.active.copy()
            self.impaired = self.impaired.copy()
            self.total_cpu, self.total_memory = self.total_cpu.copy(), self.total_memory.copy()
        self.static = {}

    def _set_presence(self, row: int, *, connected: bool) -> None:
        instance = self.instances[row]
        self.connected[row] = connected
        self.impaired[row] &= connected
        self.active[row] = instance is not None and instance.status == "ACTIVE"
        self.away[row] = 0 if connected and self.active[row] and not self.impaired[row] else -1

    def _new_row(self, instance: Instance) -> int:
        if self._vacant:
            row = self._vacant.pop()
        else:
            row = len(self.instances)
            self.instances.append(None)
            self.away = np.append(self.away, np.int32(-1))
            self.connected, self.active = np.append(self.connected, False), np.append(self.active, False)
            self.impaired = np.append(self.impaired, False)
            self.total_cpu, self.total_memory = _longer(self.total_cpu), _longer(self.total_memory)
            self.free_cpu, self.free_memory = _longer(self.free_cpu), _longer(self.free_memory)
            self.running, self.pending = _longer(self.running), _longer(self.pending)
            self.free_custom = {name: _longer(free) for name, free in self.free_custom.items()}
            self.gpus.grow()
        self.rows[instance.id] = row
        return row

    def _remove(self, instance_id: str) -> None:
        """Its tasks are over, or will be taken for such: whoever gives back for them finds no row."""
        row = self.rows.pop(instance_id, None)
        if row is None:
            return
        self.instances[row] = None
        for totals in (self.total_cpu, self.total_memory, self.free_cpu, self.free_memory):
            totals[row] = 0
        for counts in (self.running, self.pending, *self.free_custom.values()):
            counts[row] = 0
        self.gpus.put(row, 0)
        self.ports.clear(row, len(self))
        for name in list(self.groups):
            self.group(name).clear(row, len(self))
        self._set_presence(row, connected=False)
        for subject, column in self._columns.items():
            self._columns[subject] = with_text(column, row, None)
        self._vacant.append(row)

    # -- what expressions ask ------------------------------------------------------------------------------

    def texts(self, subject: str) -> Column:
        """Of `attribute:<name>`, `ec2InstanceId`, `agentVersion`, `agentConnected`."""
        if subject == "agentConnected":
            return column_of(["true" if connected else "false" for connected in self.connected.tolist()])
        column = self._columns.get(subject)
        if column is None:
            column = self._columns[subject] = column_of([text_of(each, subject) for each in self.instances])
        return column

    def numbers(self, subject: str) -> NDArray[np.int64]:
        """`registeredAt` in milliseconds, `runningTasksCount`."""
        if subject == "runningTasksCount":
            return self.running.astype(np.int64)
        return np.array([each.registered_at if each else 0 for each in self.instances], np.int64)

    def rows_with_group(self, wanted: Callable[[str], bool], names: frozenset[str] | None) -> NDArray[np.bool_]:
        """Rows that run a task of a group that is wanted; `names` are those groups, where they are known."""
        marked = np.zeros(len(self), np.int32)
        for name in self.groups if names is None else names:
            counts = self.groups.get(name)
            if counts is not None and wanted(name):
                counts.exclude_from(marked)
        found: NDArray[np.bool_] = marked != 0
        return found


def _total(amount: int) -> int:
    return min(amount, AMOUNT_MAX)


def _longer(column: Ints) -> Ints:
    return np.append(column, np.int32(0))


def _reserved(instance: Instance | None) -> Iterable[Port]:
    """Ports that no task may have."""
    if instance is None:
        return
    for number in instance.reserved_tcp:
        yield Port("tcp", number, number)
    for number in instance.reserved_udp:
        yield Port("udp", number, number)
