from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import click

from shoal.cli import find, show, text
from shoal.cli.options import connected, duration
from shoal.cli.session import Session, call
from shoal.v1 import usage_pb2

AMOUNTS = ("TASKS", "VCPU-HOURS", "GIB-HOURS", "GPU-HOURS")
DAY_SECONDS = 86_400


@click.command()
@click.option(
    "--since", type=duration, default="30d", show_default=True, help="How far back; whole days in UTC, today included."
)
@click.option(
    "--by", type=click.Choice(("group", "day")), default="group", show_default=True, help="What to add up by."
)
@click.option(
    "-o", "--output", type=click.Choice(("table", "json", "csv")), default="table", help="csv: every day and group."
)
@connected
def usage(since: float, by: str, output: str) -> None:
    """Show what tasks reserved, times how long: vCPU-hours, GiB-hours and GPU-hours.

    A task counts from the download of its images to its end, as on Fargate; what still runs counts up to now. TASKS
    are those that ended. `shoal describe TASK -o json` shows what a single one has used.
    """
    days = max(1, -(-int(since) // DAY_SECONDS))
    first = (datetime.now(UTC) - timedelta(days=days - 1)).date().isoformat()
    answer = call(lambda session: _read(session, first))
    if answer.kept_since > first:
        click.echo(f"Kept since {answer.kept_since}: days before it are not known any more.", err=True)
    if output == "csv":
        _print_csv(answer.records)
        return
    rows = _added_up(answer.records, (lambda it: it.group) if by == "group" else (lambda it: it.day))
    show.emit(
        output,
        lambda: show.Table((by.upper(), *AMOUNTS), rows, "Nothing ran."),
        lambda: _document(answer),
        (),
    )


async def _read(session: Session, first_day: str) -> usage_pb2.GetUsageResponse:
    request = usage_pb2.GetUsageRequest(cluster=session.cluster, first_day=first_day, max_results=1000)
    whole = usage_pb2.GetUsageResponse()
    async for page in find.pages(session.client.cluster.GetUsage, request):
        whole.records.extend(page.records)
        whole.kept_since = page.kept_since
    return whole


def _document(answer: usage_pb2.GetUsageResponse) -> object:
    from shoal import awsjson

    return {"records": [], **awsjson.to_document(answer)}


def _added_up(
    records: Sequence[usage_pb2.UsageRecord], name_of: Callable[[usage_pb2.UsageRecord], str]
) -> list[tuple[str, ...]]:
    """One row for each name, in the order of names, and one for all of them if there are several."""
    found: defaultdict[str, list[usage_pb2.UsageRecord]] = defaultdict(list)
    for record in records:
        found[name_of(record)].append(record)
    rows = [(text.printable(name), *_amounts(found[name])) for name in sorted(found)]
    return [*rows, ("all", *_amounts(records))] if len(rows) > 1 else rows


def _amounts(records: Sequence[usage_pb2.UsageRecord]) -> tuple[str, ...]:
    seconds = (
        sum(it.usage.vcpu_seconds for it in records),
        sum(it.usage.gib_seconds for it in records),
        sum(it.usage.gpu_seconds for it in records),
    )
    return (str(sum(it.stopped_tasks_count for it in records)), *(f"{each / 3600:.3f}" for each in seconds))


def _print_csv(records: Sequence[usage_pb2.UsageRecord]) -> None:
    import csv
    import sys

    writer = csv.writer(sys.stdout)
    writer.writerow(("day", "group", "stoppedTasksCount", "vcpuSeconds", "gibSeconds", "gpuSeconds"))
    for it in records:
        used = it.usage
        amounts = (used.vcpu_seconds, used.gib_seconds, used.gpu_seconds)
        writer.writerow((it.day, it.group, it.stopped_tasks_count, *(f"{each:.3f}" for each in amounts)))
