"""The rules an instance must pass, in the order in which they are asked.

Each rule sets -1 on the rows it refuses. The first rule that refuses a row is the one that counts; the tally over all
rows is why an ask fits nowhere. `fitting` asks the same of all rows in as few passes as can be.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.model.ask import Ask
from shoal_scheduler.placement.expression import parse
from shoal_scheduler.state.instance_table import LIMIT, STATIC_MAX, InstanceTable
from shoal_scheduler.state.row_counts import Ints

Exclude = Callable[[Ints], None]

NO_ROW = -1
_SIGN = np.array(31, np.int32)


class Buffers(NamedTuple):
    """Room to compute in, used again and again: what is in them is of no use after the next call."""

    bad: Ints
    rank: Ints
    # The same bytes without a sign: what is negative is greater than all that is not.
    unsigned: NDArray[np.uint32]
    equal: NDArray[np.bool_]


@lru_cache(maxsize=8)
def buffers(rows: int) -> Buffers:
    rank = np.empty(rows, np.int32)
    return Buffers(np.empty(rows, np.int32), rank, rank.view(np.uint32), np.empty(rows, bool))


def fitting(ask: Ask, table: InstanceTable, held: int = NO_ROW) -> Ints:
    """0 for each row that passes every rule, -1 for the others. A buffer. `held` is kept for somebody else."""
    wanted = ask.resources
    room = buffers(len(table))
    bad, spare = room.bad, room.rank
    np.subtract(table.free_cpu, min(wanted.cpu, LIMIT), out=bad)
    np.subtract(table.free_memory, min(wanted.memory_mib, LIMIT), out=spare)
    np.bitwise_or(bad, spare, out=bad)
    np.right_shift(bad, _SIGN, out=bad)
    np.bitwise_or(bad, static(ask, table), out=bad)
    for port in wanted.ports:
        table.ports.exclude_from(bad, port)
    if wanted.gpus:
        np.putmask(bad, ~table.gpus.fitting(wanted.gpus, wanted.gpu_milli), -1)
    for name, amount in wanted.custom:
        _custom(table, name, amount)(bad)
    if ask.distinct_instance:
        _distinct(ask, table)(bad)
    if held != NO_ROW:
        bad[held] = -1
    return bad


def static(ask: Ask, table: InstanceTable) -> Ints:
    """-1 where the agent is away, the platform differs or an expression does not hold; kept by the table until
    facts change, unless an expression looks at what every task changes."""
    key = (ask.expressions, ask.required_attributes)
    known = table.static.get(key)
    if known is not None:
        return known
    bad = table.away.copy()
    for _, exclude in _facts(ask, table):
        exclude(bad)
    if not any(parse(expression).is_volatile for expression in ask.expressions):
        if len(table.static) >= STATIC_MAX:
            table.static.clear()
        table.static[key] = bad
    return bad


def rules(ask: Ask, table: InstanceTable, held: int = NO_ROW) -> Iterator[tuple[str, Exclude]]:
    """Each rule with the reason it refuses for, in ECS's words."""
    wanted = ask.resources
    yield from _facts(ask, table)
    if ask.distinct_instance:
        yield "DISTINCT_INSTANCE", _distinct(ask, table)
    yield "RESOURCE:CPU", lambda bad: _less_than(table.free_cpu, wanted.cpu, bad)
    yield "RESOURCE:MEMORY", lambda bad: _less_than(table.free_memory, wanted.memory_mib, bad)
    if wanted.gpus:
        yield (
            "RESOURCE:GPU",
            lambda bad: np.putmask(bad, ~table.gpus.fitting(wanted.gpus, wanted.gpu_milli), -1),
        )
    for name, amount in wanted.custom:
        yield f"RESOURCE:{name}", _custom(table, name, amount)
    if wanted.ports:
        yield "RESOURCE:PORTS", lambda bad: _ports(ask, table, bad)
    if held != NO_ROW:
        yield "HELD", lambda bad: bad.__setitem__(held, -1)


def refusals(ask: Ask, table: InstanceTable, held: int = NO_ROW, only: int = NO_ROW) -> Counter[str]:
    """How many instances each rule refused; of all, or of one row."""
    open_rows = np.array([instance is not None for instance in table.instances], bool)
    if only != NO_ROW:
        open_rows &= np.arange(len(table)) == only
    reasons: Counter[str] = Counter()
    for reason, exclude in rules(ask, table, held):
        bad = np.zeros(len(table), np.int32)
        exclude(bad)
        refused = open_rows & (bad != 0)
        if refused.any():
            reasons[reason] += int(refused.sum())
            open_rows &= ~refused
    return reasons


def _facts(ask: Ask, table: InstanceTable) -> Iterator[tuple[str, Exclude]]:
    """Rules that look at facts of the instance, not at what is free."""
    draining = np.array([each is not None and each.status != "ACTIVE" for each in table.instances], bool)
    yield "INSTANCE:DRAINING", lambda bad: np.putmask(bad, draining, -1)
    yield "AGENT", lambda bad: np.putmask(bad, ~table.connected, -1)
    for name, value in ask.required_attributes:
        yield "ATTRIBUTE", lambda bad, name=name, value=value: _attribute(table, name, value, bad)  # type: ignore[misc]
    for expression in ask.expressions:
        yield "MEMBEROF", lambda bad, text=expression: np.putmask(bad, ~parse(text).mask(table), -1)  # type: ignore[misc]


def _attribute(table: InstanceTable, name: str, value: str, bad: Ints) -> None:
    column = table.texts(f"attribute:{name}")
    np.putmask(bad, column.codes != column.code_of.get(value, -2), -1)


def _distinct(ask: Ask, table: InstanceTable) -> Exclude:
    counts = table.groups.get(ask.group)
    return counts.exclude_from if counts is not None else lambda _bad: None


def _custom(table: InstanceTable, name: str, amount: int) -> Exclude:
    free = table.free_custom.get(name)
    if free is None:
        return lambda bad: bad.fill(-1)
    return lambda bad: _less_than(free, amount, bad)


def _less_than(free: Ints, amount: int, bad: Ints) -> None:
    np.putmask(bad, free < min(amount, LIMIT), -1)


def _ports(ask: Ask, table: InstanceTable, bad: Ints) -> None:
    for port in ask.resources.ports:
        table.ports.exclude_from(bad, port)
