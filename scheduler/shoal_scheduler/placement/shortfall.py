"""How far an ask is from fitting on each instance, relative to what it asks for."""

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.model.ask import Ask
from shoal_scheduler.placement.filters import static
from shoal_scheduler.state.instance_table import InstanceTable


def shortfall(ask: Ask, table: InstanceTable) -> NDArray[np.float64]:
    """Sum over resources of the part of the ask that is not free; infinite where the ask would not fit even if the
    instance ran nothing, or where facts of the instance refuse it."""
    wanted = ask.resources
    lacks = np.where(static(ask, table) == 0, 0.0, np.inf)
    for amount, free, total in _amounts(ask, table):
        lacks += np.maximum(amount - free, 0) / max(amount, 1)
        lacks[total < amount] = np.inf
    if wanted.gpus:
        fitting = (table.gpus.free >= wanted.gpu_milli).sum(axis=1)
        lacks += np.maximum(wanted.gpus - fitting, 0) / wanted.gpus
        lacks[(table.gpus.free >= 0).sum(axis=1) < wanted.gpus] = np.inf
    if ask.distinct_instance and (counts := table.groups.get(ask.group)) is not None:
        lacks += counts.as_array(len(table)) > 0
    return lacks


def _amounts(ask: Ask, table: InstanceTable) -> list[tuple[int, NDArray[np.int32], NDArray[np.int32]]]:
    """Amount wanted, free and in all, a resource each."""
    wanted = ask.resources
    amounts = [
        (wanted.cpu, table.free_cpu, table.total_cpu),
        (wanted.memory_mib, table.free_memory, table.total_memory),
    ]
    for name, amount in wanted.custom:
        total = np.array([each.custom.get(name, 0) if each else 0 for each in table.instances], np.int32)
        amounts.append((amount, table.free_custom.get(name, np.zeros(len(table), np.int32)), total))
    return amounts
