"""All that an ask demands, in the order in which the rules are asked."""

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import numpy as np

from shoal_scheduler.model.ask import MEMORY_MIB_MIN, Ask, Port, Resources
from shoal_scheduler.placement.demand import Amount, CustomAmount, Demand, Rule
from shoal_scheduler.placement.expression import parse
from shoal_scheduler.placement.gpu_demand import GpuDemand
from shoal_scheduler.state.instance_table import InstanceTable

Item = TypeVar("Item")

_ATTRIBUTE = re.compile(r"attribute:([A-Za-z0-9_.\-/\\]+)")


class Least(NamedTuple):
    """Less than this of an amount cannot be asked for: there is no use in proposing it."""

    cpu: int = 0
    memory_mib: int = MEMORY_MIB_MIN


ANY = Least()


def demands(ask: Ask, table: InstanceTable, least: Least = ANY) -> Iterator[Demand]:
    wanted = ask.resources
    for name, value in ask.required_attributes:
        yield _attribute(name, value, table)
    for expression in ask.expressions:
        yield _member_of(expression, table)
    if ask.distinct_instance:
        yield _distinct(ask.group, table)
    yield Amount("cpu", "cpu units", wanted.cpu, table.free_cpu, _put_cpu, least.cpu)
    yield Amount("memory", "MiB", wanted.memory_mib, table.free_memory, _put_memory, least.memory_mib)
    if wanted.gpus:
        yield GpuDemand(wanted.gpus, wanted.gpu_milli, table.gpus)
    for name, amount in wanted.custom:
        free = table.free_custom.get(name)
        yield CustomAmount(name, amount, np.zeros(len(table), np.int32) if free is None else free)
    for port in wanted.ports:
        yield _port(port, table)


def _put_cpu(resources: Resources, amount: int) -> Resources:
    return resources._replace(cpu=amount)


def _put_memory(resources: Resources, amount: int) -> Resources:
    return resources._replace(memory_mib=amount)


def _attribute(name: str, value: str, table: InstanceTable) -> Rule:
    column = table.texts(f"attribute:{name}")
    return Rule(
        "ATTRIBUTE",
        name,
        value,
        column.codes != column.code_of.get(value, -2),
        lambda row: _attribute_of(table, row, name),
        lambda ask: ask._replace(required_attributes=_without(ask.required_attributes, (name, value))),
    )


def _member_of(expression: str, table: InstanceTable) -> Rule:
    def has(row: int) -> str:
        return ", ".join(f"{name}={_attribute_of(table, row, name)}" for name in attributes_in(expression))

    return Rule(
        "MEMBEROF",
        "memberOf",
        expression,
        ~parse(expression).mask(table),
        has,
        lambda ask: ask._replace(expressions=_without(ask.expressions, expression)),
    )


def attributes_in(expression: str) -> list[str]:
    """The names of those it asks for, and possibly of some in its texts."""
    return list(dict.fromkeys(_ATTRIBUTE.findall(expression)))


def _distinct(group: str, table: InstanceTable) -> Rule:
    counts = table.groups.get(group)

    def has(row: int) -> str:
        count = 0 if counts is None else counts.on(row)
        return f"{count} task{'' if count == 1 else 's'} of {group}"

    return Rule(
        "DISTINCT_INSTANCE",
        "distinctInstance",
        f"no other task of {group}",
        np.zeros(len(table), bool) if counts is None else counts.as_array(len(table)) > 0,
        has,
        lambda ask: ask._replace(distinct_instance=False),
    )


def _port(port: Port, table: InstanceTable) -> Rule:
    taken = np.zeros(len(table), np.int32)
    table.ports.exclude_from(taken, port)

    def drop(ask: Ask) -> Ask:
        return ask._replace(resources=ask.resources._replace(ports=_without(ask.resources.ports, port)))

    numbers = str(port.first) if port.first == port.last else f"{port.first}-{port.last}"
    return Rule(
        "RESOURCE:PORTS",
        "hostPort",
        f"{numbers}/{port.protocol}",
        taken != 0,
        lambda row: "reserved" if is_reserved(port, table, row) else "taken",
        drop,
    )


def is_reserved(port: Port, table: InstanceTable, row: int) -> bool:
    """No task may have it there, whatever runs."""
    instance = table.instances[row]
    if instance is None:
        return False
    reserved = instance.reserved_tcp if port.protocol == "tcp" else instance.reserved_udp
    return any(port.first <= number <= port.last for number in reserved)


def _attribute_of(table: InstanceTable, row: int, name: str) -> str:
    instance = table.instances[row]
    return (instance.attribute(name) if instance is not None else None) or ""


def _without(items: tuple[Item, ...], item: Item) -> tuple[Item, ...]:
    at = items.index(item)
    return items[:at] + items[at + 1 :]
