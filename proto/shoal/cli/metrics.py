"""`shoal metrics`: what was measured of a task, an instance, a group or a cluster."""

import math
import shutil
import time
from collections.abc import Mapping, Sequence

import click

from shoal import arn
from shoal.cli import find, show, text
from shoal.cli.failures import NOT_FOUND, Failed
from shoal.cli.options import connected, duration
from shoal.cli.plot import fitted, plot
from shoal.cli.session import Session, call
from shoal.v1 import metrics_pb2
from shoal.v1.metrics_pb2 import Datapoint, GetMetricStatisticsResponse, Metric

STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")

# So far back a period may be so short: that holds for everything, tasks included.
FINEST = ((900, 10), (86_400, 60), (math.inf, 300))
PERIODS = (10, 60, 300, 900, 3600, 21_600)
POINTS_WANTED = 120
PLOT_HEIGHT, PLOT_MARGIN = 8, 16


@click.command()
@click.argument("name", metavar="[TASK|INSTANCE|GROUP|CLUSTER]", required=False)
@click.option("--metric", "names", metavar="NAME", multiple=True, help="Only this metric, as CPUUtilization.")
@click.option("--since", type=duration, default="1h", show_default=True, metavar="DURATION", help="How far back.")
@click.option("--period", type=duration, metavar="DURATION", help="Length of a period; by default what fits.")
@click.option("--plot", "plots", is_flag=True, help="Draw the averages.")
@click.option("-o", "--output", type=click.Choice(("table", "json", "yaml")), default="table", help="How to print.")
@connected
def metrics(
    name: str | None, names: Sequence[str], since: float, period: float | None, plots: bool, output: str
) -> None:
    """Show what was measured: of the cluster, or of what is named.

    A group is named with its kind, as service:web. With one --metric each period is shown, otherwise a line for each
    metric. Values are kept for ten seconds each for 3 hours, then for a minute for a day, for five minutes for 15
    days; of tasks for 3 hours.
    """
    seconds = period_of(since) if period is None else round(period)
    now = time.time()

    async def work(session: Session) -> list[tuple[Metric, GetMetricStatisticsResponse]]:
        found = await _metrics_of(session, name, names)
        return [(each, await _statistics(session, each, now - since, now, seconds)) for each in found]

    answers = call(work)
    if output != "table":
        _print_documents(output, answers, single=len(names) == 1)
    elif plots:
        for metric, answer in answers:
            for line in _plot_lines(metric, answer.datapoints, now - since, now, seconds):
                click.echo(line)
    elif len(names) == 1 and answers:
        show.print_table(_series_table(answers[0][1].datapoints))
    else:
        show.print_table(_overview(answers))


def period_of(since: float) -> int:
    """The shortest that is kept so long and gives no more points than one wants to see.

    >>> [period_of(seconds) for seconds in (600, 3600, 3 * 3600, 86_400, 15 * 86_400)]
    [10, 60, 300, 900, 21600]
    """
    finest = next(seconds for kept, seconds in FINEST if since <= kept)
    return next((each for each in PERIODS if each >= finest and since / each <= POINTS_WANTED), PERIODS[-1])


async def _metrics_of(session: Session, name: str | None, names: Sequence[str]) -> list[Metric]:
    """Those of one thing, in the order of their names. Raises Failed if it has none of the names."""
    dimensions = await _dimensions_of(session, name)
    found: list[Metric] = []
    request = metrics_pb2.ListMetricsRequest(dimensions=_messages(dimensions), exact_dimensions=True)
    async for page in find.pages(session.client.metrics.ListMetrics, request):
        found += page.metrics
    known = {each.metric_name.lower(): each for each in found}
    missing = [each for each in names if each.lower() not in known]
    if missing and known:
        there = text.sentence_list(sorted(each.metric_name for each in found), 20)
        raise Failed(f"There is no metric {missing[0]!r} of it. There are: {there}.", "shoal metrics", NOT_FOUND)
    chosen = [known[each.lower()] for each in names if each.lower() in known] if names else found
    return sorted(chosen, key=lambda each: each.metric_name.lower())


async def _dimensions_of(session: Session, name: str | None) -> dict[str, str]:
    """Raises Failed for a name that nothing has, or several things."""
    cluster = {"ClusterName": session.cluster}
    if name is None or name == session.cluster:
        return cluster
    if ":" in name and not name.startswith("arn:"):
        kind, _, rest = name.partition(":")
        return cluster | ({"ServiceName": rest} if kind == "service" else {"TaskGroup": name})
    instances = [arn.short(each) for each in await find.instance_arns(session)]
    wanted = arn.short(name)
    if any(text.matches(wanted, each) for each in instances):
        return cluster | {"ContainerInstanceId": find.choose(wanted, instances, "instance", text.short_instance)}
    return cluster | {"TaskId": (await find.task_ids(session, [name]))[0]}


def _messages(dimensions: Mapping[str, str]) -> list[metrics_pb2.Dimension]:
    return [metrics_pb2.Dimension(name=name, value=value) for name, value in dimensions.items()]


async def _statistics(
    session: Session, metric: Metric, start: float, end: float, period: int
) -> GetMetricStatisticsResponse:
    request = metrics_pb2.GetMetricStatisticsRequest(
        namespace=metric.namespace,
        metric_name=metric.metric_name,
        dimensions=metric.dimensions,
        start_time=int(start * 1000),
        end_time=int(end * 1000),
        period=period,
        statistics=STATISTICS,
    )
    return await session.client.metrics.GetMetricStatistics(request)


def _print_documents(
    output: str, answers: Sequence[tuple[Metric, GetMetricStatisticsResponse]], *, single: bool
) -> None:
    from shoal import awsjson

    documents = [
        {"Label": metric.metric_name, "Datapoints": [], **awsjson.to_document(answer)} for metric, answer in answers
    ]
    show.print_document(output, documents[0] if single and documents else {"Metrics": documents})


def _series_table(points: Sequence[Datapoint]) -> show.Table:
    now = int(time.time() * 1000)
    rows = [
        (
            text.stamp(point.timestamp, now)[:-4],
            *(number(value, point.unit) for value in (point.average, point.minimum, point.maximum)),
            f"{point.sample_count:g}",
        )
        for point in points
    ]
    return show.Table(("TIME", "AVERAGE", "MINIMUM", "MAXIMUM", "SAMPLES"), rows, "Nothing was measured in that time.")


def _overview(answers: Sequence[tuple[Metric, GetMetricStatisticsResponse]]) -> show.Table:
    rows = [(metric.metric_name, *_overall(answer.datapoints)) for metric, answer in answers]
    columns = ("METRIC", "NEWEST", "AVERAGE", "MINIMUM", "MAXIMUM")
    return show.Table(columns, rows, "Nothing was measured of it yet: agents measure every ten seconds.")


def _overall(points: Sequence[Datapoint]) -> Sequence[str]:
    samples = sum(point.sample_count for point in points)
    if not samples:
        return "-", "-", "-", "-"
    values = (
        points[-1].average,
        sum(point.sum for point in points) / samples,
        min(point.minimum for point in points),
        max(point.maximum for point in points),
    )
    return [number(value, points[-1].unit) for value in values]


def number(value: float, unit: str) -> str:
    """
    >>> number(12.345, "Percent"), number(2048, "Bytes/Second"), number(96.5, "Megabytes"), number(3, "Count")
    ('12.3%', '2 KiB/s', '96.5 MiB', '3')
    """
    match unit:
        case "Percent":
            return f"{value:.1f}%"
        case "Bytes":
            return text.size(value)
        case "Bytes/Second":
            return f"{text.size(value)}/s"
        case "Megabytes":
            return f"{value:.1f} MiB"
    return f"{value:.4g}"


def _plot_lines(metric: Metric, points: Sequence[Datapoint], start: float, end: float, period: int) -> list[str]:
    if not points:
        return [f"{metric.metric_name}: nothing was measured in that time.", ""]
    known = {point.timestamp // 1000: point.average for point in points}
    first = int(start) // period * period
    values = [known.get(at) for at in range(first, int(end) + 1, period)]
    unit = points[-1].unit
    width = max(20, shutil.get_terminal_size().columns - PLOT_MARGIN)
    lines = plot(fitted(values, width), PLOT_HEIGHT, lambda value: number(value, unit))
    title = f"{metric.metric_name}, average of {text.span(period)}, the last {text.span(end - start)}"
    return [title, *lines, ""]
