"""One more instance: of which kind, so that it takes an ask that nothing takes now.

The kinds are those that are registered: by `ecs.instance-type`, and by what the instances have of all that the ask
looks at. One more of a kind is taken to run nothing, and to have the attributes of those that are there.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from shoal_scheduler.model.ask import Ask
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.placement.demands import attributes_in, is_reserved
from shoal_scheduler.placement.expression import Facts, parse
from shoal_scheduler.state.instance_table import InstanceTable

TYPE = "ecs.instance-type"


class Kind(NamedTuple):
    """`like` is one that is registered, `number` how many are. Without one, it is the least an instance would need."""

    cpu: int
    memory_mib: int
    gpus: int = 0
    custom: tuple[tuple[str, int], ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    expressions: tuple[str, ...] = ()
    type: str = ""
    like: Instance | None = None
    number: int = 0


def one_more(ask: Ask, table: InstanceTable) -> Kind:
    """The smallest kind that takes it when empty: of GPUs, then of memory, then of cpu. If none does, what one must
    have at least."""
    wanted = ask.resources
    newest = int(table.numbers("registeredAt").max(initial=0))
    for rows in _kinds(ask, table):
        instance = table.instances[rows[0]]
        if instance is not None and _takes(ask, table, rows[0], instance, newest):
            return _kind_of(ask, instance, len(rows))
    return Kind(
        wanted.cpu, wanted.memory_mib, wanted.gpus, wanted.custom, ask.required_attributes, tuple(ask.expressions)
    )


def _kinds(ask: Ask, table: InstanceTable) -> Iterator[list[int]]:
    """The rows of each kind that is big enough, the smallest kind first."""
    wanted = ask.resources
    gpus = (table.gpus.free >= 0).sum(axis=1)
    big_enough = (table.total_cpu >= wanted.cpu) & (table.total_memory >= wanted.memory_mib) & (gpus >= wanted.gpus)
    big_enough &= np.array([each is not None for each in table.instances], bool)
    for name, value in ask.required_attributes:
        column = table.texts(f"attribute:{name}")
        big_enough &= column.codes == column.code_of.get(value, -2)
    columns = [gpus, table.total_memory, table.total_cpu]
    for name, amount in wanted.custom:
        total = np.array([each.custom.get(name, 0) if each else 0 for each in table.instances], np.int64)
        big_enough &= total >= amount
        columns.append(total)
    columns += [table.texts(f"attribute:{name}").codes for name in _attributes_that_matter(ask)]
    rows = big_enough.nonzero()[0]
    kinds: dict[tuple[int, ...], list[int]] = {}
    for row, key in zip(rows.tolist(), zip(*(column[rows].tolist() for column in columns), strict=True), strict=True):
        kinds.setdefault(key, []).append(row)
    return (kinds[key] for key in sorted(kinds))


def _attributes_that_matter(ask: Ask) -> list[str]:
    required = (name for name, _ in ask.required_attributes)
    asked = (name for expression in ask.expressions for name in attributes_in(expression))
    return list(dict.fromkeys([TYPE, *required, *asked]))


def _takes(ask: Ask, table: InstanceTable, row: int, instance: Instance, newest: int) -> bool:
    """Whether a new one does; how it will be called nobody knows, only that it registers after all others."""
    if any(is_reserved(port, table, row) for port in ask.resources.ports):
        return False
    facts = Facts(instance.attributes, agent_version=instance.agent_version, registered_at=newest + 1)
    return all(parse(expression).test(facts) for expression in ask.expressions)


def _kind_of(ask: Ask, instance: Instance, number: int) -> Kind:
    attributes = ((name, instance.attribute(name)) for name in _attributes_that_matter(ask) if name != TYPE)
    return Kind(
        cpu=instance.cpu,
        memory_mib=instance.memory_mib,
        gpus=len(instance.gpu_ids),
        custom=tuple(sorted(instance.custom.items())),
        attributes=tuple((name, value) for name, value in attributes if value is not None),
        type=instance.attribute(TYPE) or "",
        like=instance,
        number=number,
    )
