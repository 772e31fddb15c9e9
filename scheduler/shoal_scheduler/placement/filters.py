"""The rules an instance must pass, in the order in which they are asked.

Each rule sets -1 on the rows it refuses. The first rule that refuses a row is the one that counts; the tally over all
rows is why an ask fits nowhere. `fitting` asks the same of all rows in as few passes as can be.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.model.ask import Ask
from shoal_scheduler.placement.expression import parse
from shoal_scheduler.state.instance_table import STATIC_MAX, InstanceTable
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
    bad, spare, _, _ = buffers(len(table.instances))
    np.subtract(table.free_cpu, wanted.cpu, out=bad)
    np.subtract(table.free_memory, wanted.memory_mib, out=spare)
    np.bitwise_or(bad, spare, out=bad)
    np.right_shift(bad, _SIGN, out=bad)
    np.bitwise_or(bad, static(ask, table), out=bad)
    for port in wanted.ports:
        table.ports.exclude_from(bad, port)
    if wanted.gpus:
        _gpus(ask, table, bad)
    for name, amount in wanted.custom:
        _custom(table, name, amount, bad)
    for expression in _split(ask.expressions).volatile:
        _member_of(expression, table, bad)
    if ask.distinct_instance:
        _distinct(ask, table, bad)
    if held != NO_ROW:
        bad[held] = -1
    return bad


def static(ask: Ask, table: InstanceTable) -> Ints:
    """-1 where the agent is away or its engine impaired, the platform differs or an expression over facts does not
    hold. Kept by the table until facts change."""
    lasting = _split(ask.expressions).lasting
    key = (lasting, ask.required_attributes)
    known = table.static.get(key)
    if known is not None:
        return known
    bad = table.away.copy()
    for name, value in ask.required_attributes:
        _attribute(table, name, value, bad)
    for expression in lasting:
        _member_of(expression, table, bad)
    if len(table.static) >= STATIC_MAX:
        table.static.clear()
    table.static[key] = bad
    return bad


def may_ever_run_on(ask: Ask, table: InstanceTable) -> NDArray[np.bool_]:
    """Where the facts of an ACTIVE instance allow it, whatever is free there, and whether its agent is away or not."""
    bad: Ints = np.zeros(len(table), np.int32)
    np.putmask(bad, ~(table.present() & table.active), -1)
    for name, value in ask.required_attributes:
        _attribute(table, name, value, bad)
    for expression in _split(ask.expressions).lasting:
        _member_of(expression, table, bad)
    fits: NDArray[np.bool_] = bad == 0
    return fits


class _Split(NamedTuple):
    lasting: tuple[str, ...]
    volatile: tuple[str, ...]


@lru_cache(maxsize=1024)
def _split(expressions: tuple[str, ...]) -> _Split:
    """Those over facts alone, and those that look at what every task changes."""
    volatile = tuple(each for each in expressions if parse(each).is_volatile)
    return _Split(tuple(each for each in expressions if each not in volatile), volatile)


def is_volatile(ask: Ask) -> bool:
    """Whether a task that comes or goes may change where it fits by more than what is free."""
    return bool(_split(ask.expressions).volatile)


def rules(ask: Ask, table: InstanceTable, held: int = NO_ROW) -> Iterator[tuple[str, Exclude]]:
    """Each rule with the reason it refuses for, in ECS's words, in the order in which they are asked."""
    wanted = ask.resources
    yield "INSTANCE:DRAINING", lambda bad: np.putmask(bad, ~table.active, -1)
    yield "AGENT", lambda bad: np.putmask(bad, ~table.connected, -1)
    yield "INSTANCE:IMPAIRED", lambda bad: np.putmask(bad, table.impaired, -1)
    for name, value in ask.required_attributes:
        yield "ATTRIBUTE", partial(_attribute, table, name, value)
    for expression in ask.expressions:
        yield "MEMBEROF", partial(_member_of, expression, table)
    if ask.distinct_instance:
        yield "DISTINCT_INSTANCE", partial(_distinct, ask, table)
    yield "RESOURCE:CPU", partial(_less_than, table.free_cpu, wanted.cpu)
    yield "RESOURCE:MEMORY", partial(_less_than, table.free_memory, wanted.memory_mib)
    if wanted.gpus:
        yield "RESOURCE:GPU", partial(_gpus, ask, table)
    for name, amount in wanted.custom:
        yield f"RESOURCE:{name}", partial(_custom, table, name, amount)
    if wanted.ports:
        yield "RESOURCE:PORTS", partial(_ports, ask, table)
    if held != NO_ROW:
        yield "HELD", lambda bad: bad.__setitem__(held, -1)


def refusals(ask: Ask, table: InstanceTable, held: int = NO_ROW, only: int = NO_ROW) -> Counter[str]:
    """How many instances each rule refused; of all, or of one row."""
    open_rows = table.present()
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


def _attribute(table: InstanceTable, name: str, value: str, bad: Ints) -> None:
    column = table.texts(f"attribute:{name}")
    np.putmask(bad, column.codes != column.code_of.get(value, -2), -1)


def _member_of(expression: str, table: InstanceTable, bad: Ints) -> None:
    np.putmask(bad, ~parse(expression).mask(table), -1)


def _distinct(ask: Ask, table: InstanceTable, bad: Ints) -> None:
    counts = table.groups.get(ask.group)
    if counts is not None:
        counts.exclude_from(bad)


def _gpus(ask: Ask, table: InstanceTable, bad: Ints) -> None:
    np.putmask(bad, ~table.gpus.fitting(ask.resources.gpus, ask.resources.gpu_milli), -1)


def _custom(table: InstanceTable, name: str, amount: int, bad: Ints) -> None:
    free = table.free_custom.get(name)
    if free is None:
        bad.fill(-1)
    else:
        _less_than(free, amount, bad)


def _less_than(free: Ints, amount: int, bad: Ints) -> None:
    np.putmask(bad, free < amount, -1)


def _ports(ask: Ask, table: InstanceTable, bad: Ints) -> None:
    for port in ask.resources.ports:
        table.ports.exclude_from(bad, port)
