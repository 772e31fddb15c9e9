"""What a task's change does to what is free on its instance. The one place where capacity is taken and given back."""

from collections import Counter
from collections.abc import Iterable

from shoal_scheduler.model.ask import Port, Resources
from shoal_scheduler.model.candidate import Used
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.instance_table import InstanceTable


def recount(table: InstanceTable, wanted: Resources, before: Task | None, after: Task) -> None:
    """A task holds its resources from its assignment until it is STOPPED, STOPPING included. It never moves, so
    `before` holds them on the same instance or on none."""
    row = table.rows.get(after.instance)
    if row is None:
        return
    held, holding = before is not None and holds(before), holds(after)
    was_running = held and before is not None and before.last_status == "RUNNING"
    is_running = after.last_status == "RUNNING"
    if held and holding:
        table.running[row] += is_running - was_running
        table.pending[row] += was_running - is_running
    elif holding:
        table.take(row, wanted, after.launch.group, _positions(table, row, after), running=is_running)
    elif held and before is not None:
        table.give_back(row, wanted, after.launch.group, _positions(table, row, before), running=was_running)


def put_instance(
    table: InstanceTable, instance: Instance, *, connected: bool, tasks: Iterable[tuple[Task, Resources]]
) -> None:
    """`tasks` are those that hold something there: of GPUs that come and go, what they hold is counted anew."""
    row = table.rows.get(instance.id)
    before = None if row is None else table.instances[row]
    table.put(instance, connected=connected)
    row = table.rows.get(instance.id)
    if row is not None and before is not None and before.gpu_ids != instance.gpu_ids:
        for task, wanted in tasks:
            table.gpus.take(row, _positions(table, row, task), wanted.gpu_milli)


def used_by(tasks: Iterable[tuple[Task, Resources]]) -> Used:
    """What these tasks take together."""
    cpu = memory = running = pending = 0
    gpus: Counter[str] = Counter()
    custom: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    ports: list[Port] = []
    for task, wanted in tasks:
        cpu, memory = cpu + wanted.cpu, memory + wanted.memory_mib
        running += task.last_status == "RUNNING"
        pending += task.last_status != "RUNNING"
        groups[task.launch.group] += 1
        ports.extend(wanted.ports)
        custom.update(dict(wanted.custom))
        for ids in (task.gpu_ids or {}).values():
            gpus.update(dict.fromkeys(ids, wanted.gpu_milli))
    return Used(cpu, memory, gpus, tuple(sorted(ports)), custom, groups, running, pending)


def holds(task: Task) -> bool:
    return bool(task.instance) and not task.is_stopped


def _positions(table: InstanceTable, row: int, task: Task) -> list[int]:
    """Which of the instance's GPUs the task has; one that is no longer there is not counted."""
    if not task.gpu_ids:
        return []
    instance = table.instances[row]
    offered = {gpu: position for position, gpu in enumerate(instance.gpu_ids if instance else ())}
    return [offered[gpu] for ids in task.gpu_ids.values() for gpu in ids if gpu in offered]
