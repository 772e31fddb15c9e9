"""`shoal alarm`: tells when a metric crosses a threshold."""

import time
from collections.abc import Sequence
from typing import Any

import click

from shoal import awsjson
from shoal.cli import find, show, text
from shoal.cli.options import connected, duration, output_option, parse_pairs
from shoal.cli.session import Session, call
from shoal.v1 import alarms_pb2 as pb
from shoal.v1 import metrics_pb2

COLUMNS = ("ALARM", "STATE", "SINCE", "WATCHES", "TO BE TOLD")
COMPARISONS = {
    ">=": "GreaterThanOrEqualToThreshold",
    ">": "GreaterThanThreshold",
    "<": "LessThanThreshold",
    "<=": "LessThanOrEqualToThreshold",
}
SIGNS = {words: sign for sign, words in COMPARISONS.items()}
OURS = ("AWS/ECS", "ECS/ContainerInsights")


@click.group()
def alarm() -> None:
    """Make, list and delete alarms on metrics."""


@alarm.command()
@click.argument("name")
@click.option("--metric", required=True, metavar="NAME", help="As `shoal metrics` names it.")
@click.option("--namespace", default="AWS/ECS", show_default=True, help="Of the metric.")
@click.option(
    "--dimension",
    "dimensions",
    multiple=True,
    metavar="NAME=VALUE",
    callback=parse_pairs,
    help="What the metric is of.  [default: this cluster]",
)
@click.option("--statistic", default="Average", show_default=True, help="Or Sum, Minimum, Maximum, SampleCount.")
@click.option("--is", "sign", type=click.Choice(tuple(COMPARISONS)), default=">=", show_default=True, help="Compares.")
@click.option("--threshold", type=float, required=True, help="With what.")
@click.option("--period", type=duration, default="60s", show_default=True, metavar="DURATION", help="Of one datapoint.")
@click.option("--periods", type=int, default=3, show_default=True, metavar="N", help="How many are looked at.")
@click.option("--datapoints", type=int, metavar="M", help="How many of these make an alarm.  [default: all]")
@click.option("--missing", default="missing", show_default=True, help="Or breaching, notBreaching, ignore.")
@click.option("--tell", multiple=True, metavar="URL", help="Told by POST when it becomes ALARM, and when OK again.")
@click.option("--scale", multiple=True, metavar="ARN", help="A step scaling policy that it drives while it is ALARM.")
@click.option("--description", default="", help="For people.")
@connected
def put(name: str, dimensions: dict[str, str], tell: Sequence[str], scale: Sequence[str], **options: Any) -> None:
    """Make an alarm, or change the one of that name.

    \b
    shoal alarm put busy --metric CPUUtilization --is '>' --threshold 80 --periods 5 --datapoints 3 \\
        --tell https://example.org/hook
    shoal events -f                                each change is an event as well
    """

    async def work(session: Session) -> None:
        of = dimensions or ({"ClusterName": session.cluster} if options["namespace"] in OURS else {})
        request = pb.PutMetricAlarmRequest(
            alarm_name=name,
            alarm_description=options["description"],
            ok_actions=tell,
            alarm_actions=[*tell, *scale],
            namespace=options["namespace"],
            metric_name=options["metric"],
            dimensions=[metrics_pb2.Dimension(name=key, value=value) for key, value in of.items()],
            statistic=options["statistic"],
            comparison_operator=COMPARISONS[options["sign"]],
            threshold=options["threshold"],
            period=int(options["period"]),
            evaluation_periods=options["periods"],
            datapoints_to_alarm=options["datapoints"],
            treat_missing_data=options["missing"],
        )
        await session.client.alarms.PutMetricAlarm(request)

    call(work)
    click.echo(name)


@alarm.command("ls")
@click.argument("names", metavar="[NAME...]", nargs=-1)
@output_option
@connected
def list_all(names: tuple[str, ...], output: str) -> None:
    """List alarms with their states."""

    async def work(session: Session) -> pb.DescribeAlarmsResponse:
        whole = pb.DescribeAlarmsResponse()
        request = pb.DescribeAlarmsRequest(alarm_names=names)
        async for answer in find.pages(session.client.alarms.DescribeAlarms, request):
            whole.metric_alarms.extend(answer.metric_alarms)
        return whole

    answer = call(work)
    now_millis = int(time.time() * 1000)
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each, now_millis) for each in answer.metric_alarms], "No alarms."),
        lambda: {"MetricAlarms": [], **awsjson.to_document(answer)},
        [each.alarm_name for each in answer.metric_alarms],
    )


def _row(it: pb.MetricAlarm, now_millis: int) -> Sequence[str]:
    watches = f"{it.statistic} of {it.metric_name} {SIGNS.get(it.comparison_operator, '?')} {it.threshold:g}"
    often = f"{it.datapoints_to_alarm} of {it.evaluation_periods} x {text.span(it.period)}"
    age = text.age(it.state_updated_timestamp, now_millis)
    return (it.alarm_name, it.state_value, age, f"{watches}, {often}", str(len(it.undelivered) or "-"))


@alarm.command()
@click.argument("name", required=False, default="")
@click.option("-o", "--output", type=click.Choice(("table", "json")), default="table", help="How to print.")
@connected
def history(name: str, output: str) -> None:
    """Show the last changes of one alarm or of all, the newest first."""

    async def work(session: Session) -> pb.DescribeAlarmHistoryResponse:
        return await session.client.alarms.DescribeAlarmHistory(pb.DescribeAlarmHistoryRequest(alarm_name=name))

    answer = call(work)
    now_millis = int(time.time() * 1000)
    rows = [
        (
            text.stamp(each.timestamp, now_millis),
            each.alarm_name,
            f"{each.old_state_value} -> {each.new_state_value}",
            each.history_summary,
        )
        for each in answer.alarm_history_items
    ]
    show.emit(
        output,
        lambda: show.Table(("WHEN", "ALARM", "CHANGE", "WHY"), rows, "Nothing has changed yet."),
        lambda: {"AlarmHistoryItems": [], **awsjson.to_document(answer)},
        (),
    )


@alarm.command("rm")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@connected
def remove(names: tuple[str, ...]) -> None:
    """Delete alarms; those that are not there are passed over."""

    async def work(session: Session) -> None:
        await session.client.alarms.DeleteAlarms(pb.DeleteAlarmsRequest(alarm_names=names))

    call(work)
