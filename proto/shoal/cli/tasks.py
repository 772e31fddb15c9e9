"""What a task looks like in a table or a line. Pure: messages in, words out."""

from collections.abc import Iterable, Sequence

from shoal import arn
from shoal.cli import text
from shoal.cli.failures import NO_EXIT_CODE
from shoal.cli.show import Table
from shoal.v1 import task_pb2

COLUMNS = ("TASK", "DEFINITION", "STATUS", "AGE", "INSTANCE", "PORTS")
WIDE_COLUMNS = (*COLUMNS, "GROUP", "STARTED BY", "IMAGE", "WHY")


def table(tasks: Iterable[task_pb2.Task], now_millis: int, wide: bool = False, empty: str = "") -> Table:
    columns = WIDE_COLUMNS if wide else COLUMNS
    return Table(columns, [_row(task, now_millis, wide) for task in tasks], empty)


def newest_first(tasks: Iterable[task_pb2.Task]) -> list[task_pb2.Task]:
    return sorted(tasks, key=lambda task: (-task.created_at, task.task_arn))


def task_id(task: task_pb2.Task) -> str:
    return arn.short(task.task_arn)


def exit_code(task: task_pb2.Task) -> int:
    """The task's own: of its essential containers, in order, the first that is not 0; 125 if one never had a code."""
    containers = [each for each in task.containers if each.essential or not each.HasField("essential")]
    codes = [each.exit_code if each.HasField("exit_code") else NO_EXIT_CODE for each in containers]
    return next((code for code in codes if code != 0), 0 if codes else NO_EXIT_CODE)


def status(task: task_pb2.Task, now_millis: int) -> str:
    """`RUNNING 5m`, `STOPPED (0) 2m ago`, `PENDING`."""
    if task.last_status == "STOPPED":
        code = exit_code(task)
        shown = "no exit code" if code == NO_EXIT_CODE else str(code)
        ago = f" {text.age(task.stopped_at, now_millis)} ago" if task.stopped_at else ""
        return f"STOPPED ({shown}){ago}"
    if task.last_status == "RUNNING" and task.started_at:
        return f"RUNNING {text.age(task.started_at, now_millis)}"
    return task.last_status


def ports(task: task_pb2.Task) -> str:
    """`0.0.0.0:32768->80/tcp` for each, as `docker ps` writes them; a task that has stopped holds none."""
    if task.last_status == "STOPPED":
        return ""
    shown = [
        f"{binding.bind_ip or '0.0.0.0'}:{binding.host_port}->{binding.container_port}/{binding.protocol or 'tcp'}"
        for container in task.containers
        for binding in container.network_bindings
        if binding.host_port
    ]
    return ", ".join(shown)


def why(task: task_pb2.Task) -> str:
    """Why it waits or stopped, or what its containers complain of."""
    said = task.stopped_reason or task.waiting_reason or task.disconnect_reason
    more = (f"{each.name}: {each.reason}" for each in task.containers if each.reason and each.reason not in said)
    return "; ".join(reason for reason in (said, *more) if reason)


def images(task: task_pb2.Task) -> str:
    return ", ".join(each.image for each in task.containers if each.image)


def expand(ranges: Iterable[task_pb2.TaskIdRange]) -> list[str]:
    """Every id of an answer's ranges."""
    return [f"{each.prefix}{number:08x}" for each in ranges for number in range(each.first, each.last + 1)]


def _row(task: task_pb2.Task, now_millis: int, wide: bool) -> Sequence[str]:
    row = (
        text.short_task(task_id(task)),
        arn.short(task.task_definition_arn),
        status(task, now_millis),
        text.age(task.created_at, now_millis) if task.created_at else "",
        text.short_instance(arn.short(task.container_instance_arn)) if task.container_instance_arn else "-",
        ports(task),
    )
    return (*row, task.group, task.started_by, images(task), why(task)) if wide else row
