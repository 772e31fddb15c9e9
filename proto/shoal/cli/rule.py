"""`shoal rule`: which requests go to which target groups."""

from collections.abc import Mapping, Sequence

import click

from shoal import arn, awsjson
from shoal.cli import find, show
from shoal.cli.options import connected, int32, output_option, parse_pairs
from shoal.cli.session import Session, call
from shoal.v1 import resource_pb2
from shoal.v1 import traffic_pb2 as pb

COLUMNS = ("RULE", "LISTENS", "PRIORITY", "HOSTS", "PATHS", "TO", "PROBLEM")
EMPTY = "No rules: shoal rule create NAME --to GROUP"


@click.group()
def rule() -> None:
    """Which requests that come in at a port go to which target groups."""


def _forwards(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, int]]:
    """A click callback: GROUP or GROUP=WEIGHT, several times."""
    found = []
    for value in values:
        name, _, weight = value.partition("=")
        if not name:
            raise click.BadParameter(f"{value!r} is not GROUP or GROUP=WEIGHT", ctx, option)
        found.append((name, int32(weight) if weight else 1))
    return found


@rule.command()
@click.argument("name")
@click.option(
    "--to",
    "forwards",
    multiple=True,
    required=True,
    metavar="GROUP[=WEIGHT]",
    callback=_forwards,
    help="A target group, or several with their shares of the requests.",
)
@click.option("--protocol", type=click.Choice(("HTTP", "HTTPS", "TCP", "TLS")), default="HTTP", show_default=True)
@click.option("--port", type=int, help="Where the cluster listens.  [default: 80, of HTTPS and TLS 443]")
@click.option("--host", "hosts", multiple=True, metavar="PATTERN", help="Of the request, as *.example.  [default: any]")
@click.option("--path", "paths", multiple=True, metavar="PATTERN", help="Of the request, as /api/*.  [default: any]")
@click.option("--priority", type=int, metavar="N", help="The lowest is asked first.  [default: after the others]")
@click.option("--certificate", metavar="NAME", help="Of HTTPS and TLS: NAME.crt and NAME.key of the ingress.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", callback=parse_pairs, help="Of the rule.")
@output_option
@connected
def create(
    name: str,
    forwards: Sequence[tuple[str, int]],
    protocol: str,
    port: int | None,
    hosts: Sequence[str],
    paths: Sequence[str],
    priority: int | None,
    certificate: str | None,
    tags: Mapping[str, str],
    output: str,
) -> None:
    """Create a rule; the cluster listens at its port from then on.

    \b
    shoal rule create web --to web --host web.example
    shoal rule create api --to api-1=90 --to api-2=10 --host web.example --path '/api/*'
    shoal rule create db --protocol TCP --port 5432 --to db
    """
    conditions = [("host-header", hosts), ("path-pattern", paths)]
    tuples = [pb.TargetGroupTuple(target_group_arn=group, weight=weight) for group, weight in forwards]

    async def work(session: Session) -> pb.CreateRuleResponse:
        request = pb.CreateRuleRequest(
            name=name,
            cluster=session.cluster,
            protocol=protocol,
            port=port,
            priority=priority,
            certificate=certificate,
            conditions=[pb.RuleCondition(field=field, values=values) for field, values in conditions if values],
            actions=[pb.Action(type="forward", forward_config=pb.ForwardActionConfig(target_groups=tuples))],
            tags=[resource_pb2.Tag(key=key, value=value) for key, value in tags.items()],
        )
        return await session.client.traffic.CreateRule(request)

    answer = call(work)
    if output in ("json", "yaml"):
        show.print_document(output, awsjson.to_document(answer))
    else:
        click.echo(answer.rules[0].name)


@rule.command("ls")
@output_option
@connected
def list_all(output: str) -> None:
    """List rules by port and priority, and what keeps one from being served."""

    async def work(session: Session) -> pb.DescribeRulesResponse:
        whole = pb.DescribeRulesResponse()
        request = pb.DescribeRulesRequest(cluster=session.cluster)
        async for answer in find.pages(session.client.traffic.DescribeRules, request):
            whole.rules.extend(answer.rules)
        return whole

    answer = call(work)
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each) for each in answer.rules], EMPTY),
        lambda: {"Rules": [], **awsjson.to_document(answer)},
        [each.name for each in answer.rules],
    )


def _row(it: pb.Rule) -> Sequence[str]:
    said = {condition.field: ", ".join(condition.values) for condition in it.conditions}
    tuples = it.actions[0].forward_config.target_groups
    alone = len(tuples) == 1
    to = (arn.short(each.target_group_arn) + ("" if alone else f"={each.weight}") for each in tuples)
    return (
        it.name,
        f"{it.protocol} {it.port}",
        str(it.priority),
        said.get("host-header", "*"),
        said.get("path-pattern", "*"),
        ", ".join(to),
        it.problem or "-",
    )


@rule.command("delete")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@connected
def remove(names: tuple[str, ...]) -> None:
    """Delete rules; a port without rules is closed."""

    async def work(session: Session) -> None:
        for name in names:
            await session.client.traffic.DeleteRule(pb.DeleteRuleRequest(rule_arn=name, cluster=session.cluster))
            click.echo(arn.short(name))

    call(work)
