"""`shoal top`: what instances and tasks use now."""

import asyncio
import shutil
import sys
import time
from collections.abc import Sequence

import click

from shoal.cli import show, text
from shoal.cli.options import connected
from shoal.cli.session import Session, call
from shoal.v1 import metrics_pb2
from shoal.v1.metrics_pb2 import ContainerUsage, InstanceUsage, TaskUsage

INSTANCES = ("INSTANCE", "HOST", "CPU", "MEMORY", "DISK", "IN", "OUT", "TASKS", "AGE")
TASKS = ("TASK", "DEFINITION", "INSTANCE", "CORES", "OF RESERVED", "MEMORY", "OF RESERVED", "IN", "OUT", "AGE")
UNITS_PER_CORE, MIB = 1024, 1024 * 1024
REFRESH_SECONDS = 2.0

# Beside the tables: their heads, the lines between them and the last one.
OTHER_LINES = 6


@click.command()
@click.option("--sort", type=click.Choice(("cpu", "memory")), default="cpu", help="Which tasks come first.")
@click.option("-n", "--tasks", "most", type=click.IntRange(1, 1000), help="So many tasks; by default what fits.")
@click.option("-c", "--containers", is_flag=True, help="Also each container of a task.")
@click.option("--once", is_flag=True, help="Show it once, as when the output is no terminal.")
@click.option("-o", "--output", type=click.Choice(("table", "json", "yaml")), default="table", help="How to print.")
@connected
def top(sort: str, most: int | None, containers: bool, once: bool, output: str) -> None:
    """Show what instances and tasks use, again and again until Ctrl-C.

    Agents measure every ten seconds. A `-` is what is not known; an instance or task without an age has not been
    measured in the last half minute.
    """
    request = metrics_pb2.DescribeUsageRequest(sort_by=sort.upper(), max_results=most or 100)
    if output != "table":
        show.print_document(output, call(lambda session: _document(session, request)))
    elif once or not sys.stdout.isatty():
        answer = call(lambda session: _read(session, request))
        for table in _tables(answer, time.time(), containers):
            show.print_table(table)
    else:
        call(lambda session: _watch(session, request, most, containers))


async def _read(session: Session, request: metrics_pb2.DescribeUsageRequest) -> metrics_pb2.DescribeUsageResponse:
    request.cluster = session.cluster
    return await session.client.metrics.DescribeUsage(request)


async def _document(session: Session, request: metrics_pb2.DescribeUsageRequest) -> object:
    from shoal import awsjson

    return {"instances": [], "tasks": [], **awsjson.to_document(await _read(session, request))}


async def _watch(
    session: Session, request: metrics_pb2.DescribeUsageRequest, most: int | None, containers: bool
) -> None:
    from rich.live import Live
    from rich.text import Text

    with Live(Text("Asking the cluster"), auto_refresh=False, screen=True) as live:
        while True:
            answer = await _read(session, request)
            lines = screen(answer, time.time(), shutil.get_terminal_size().lines, most, containers)
            live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)
            await asyncio.sleep(REFRESH_SECONDS)


def screen(
    answer: metrics_pb2.DescribeUsageResponse, now: float, height: int, most: int | None, containers: bool = False
) -> list[str]:
    """As many lines as there are on a terminal of that height."""
    instances, tasks = (show.plain_lines(table) for table in _tables(answer, now, containers))
    # Half of the screen at most is for instances, if there are tasks to show.
    room = max(2, height - OTHER_LINES - min(len(tasks), height // 2))
    left = max(2, height - OTHER_LINES - min(len(instances), room))
    shown = tasks[: left if most is None or containers else min(left, most + 1)]
    said = f"{text.plural(len(answer.instances), 'instance')}, {text.plural(answer.tasks_count, 'task')}"
    return [*instances[:room], "", *shown, "", f"{said}. Ctrl-C ends."]


def _tables(answer: metrics_pb2.DescribeUsageResponse, now: float, containers: bool) -> tuple[show.Table, show.Table]:
    instances = show.Table(INSTANCES, [_instance_row(each, now) for each in answer.instances], "No instances.")
    rows = [row for task in answer.tasks for row in (_task_row(task, now), *_container_rows(task, containers))]
    return instances, show.Table(TASKS, rows, "No tasks run.")


def _container_rows(usage: TaskUsage, wanted: bool) -> list[Sequence[str]]:
    return [
        ("", text.printable(each.name), "", _cores(each), "", _memory(each), "", "", "", "")
        for each in (usage.containers if wanted else ())
    ]


def _cores(usage: TaskUsage | ContainerUsage) -> str:
    return f"{usage.cpu_units / UNITS_PER_CORE:.2f}" if usage.HasField("cpu_units") else "-"


def _memory(usage: TaskUsage | ContainerUsage) -> str:
    return text.size(usage.memory_bytes) if usage.HasField("memory_bytes") else "-"


def _instance_row(usage: InstanceUsage, now: float) -> Sequence[str]:
    return (
        text.short_instance(usage.container_instance_id),
        text.printable(usage.hostname) or "-",
        f"{usage.cpu_percent:.0f}%" if usage.HasField("cpu_percent") else "-",
        _share(usage, "memory_used_bytes", usage.memory_total_bytes),
        _share(usage, "disk_used_bytes", usage.disk_total_bytes),
        _rate(usage, "network_rx_bytes_per_second"),
        _rate(usage, "network_tx_bytes_per_second"),
        str(usage.running_tasks_count),
        _age(usage, now),
    )


def _task_row(usage: TaskUsage, now: float) -> Sequence[str]:
    has_cpu, has_memory = usage.HasField("cpu_units"), usage.HasField("memory_bytes")
    return (
        text.short_task(usage.task_id),
        usage.task_definition,
        text.short_instance(usage.container_instance_id),
        _cores(usage),
        _percent(usage.cpu_units, usage.cpu_reserved_units) if has_cpu else "-",
        _memory(usage),
        _percent(usage.memory_bytes, usage.memory_reserved_mib * MIB) if has_memory else "-",
        _rate(usage, "network_rx_bytes_per_second"),
        _rate(usage, "network_tx_bytes_per_second"),
        _age(usage, now),
    )


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f}%" if whole else "-"


def _share(usage: InstanceUsage, name: str, whole: int) -> str:
    if not usage.HasField(name):  # type: ignore[arg-type]
        return "-"
    part = getattr(usage, name)
    return f"{text.size(part)} {_percent(part, whole)}"


def _rate(usage: InstanceUsage | TaskUsage, name: str) -> str:
    return f"{text.size(getattr(usage, name))}/s" if usage.HasField(name) else "-"  # type: ignore[arg-type]


def _age(usage: InstanceUsage | TaskUsage, now: float) -> str:
    return text.age(usage.sampled_at, int(now * 1000)) if usage.HasField("sampled_at") else "-"
