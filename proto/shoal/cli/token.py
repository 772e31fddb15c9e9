"""`shoal token`: by such a token a host joins the cluster, once or a few times, for a while."""

import sys
import time
from collections.abc import Sequence

import click

from shoal import awsjson
from shoal.cli import show, text
from shoal.cli.options import connected, duration, output_option
from shoal.cli.session import Session, call
from shoal.v1 import join_token_pb2 as pb

COLUMNS = ("TOKEN", "ROLE", "USES LEFT", "EXPIRES", "CREATED", "BY", "JOINED")


@click.group()
def token() -> None:
    """Create, list and revoke tokens by which hosts join."""


@token.command()
@click.option("--role", default="agent", show_default=True, help="What joins.")
@click.option("--ttl", type=duration, default="1h", show_default=True, metavar="DURATION", help="At most 1h.")
@click.option("--uses", type=int, default=1, show_default=True, metavar="N", help="How many hosts may join by it.")
@connected
def create(role: str, ttl: float, uses: int) -> None:
    """Create a token and print it, which is the only time it can be seen.

    Whoever has it can join a host until it has expired or been used up: hand it over as you would a password.
    """

    async def work(session: Session) -> pb.CreateJoinTokenResponse:
        request = pb.CreateJoinTokenRequest(cluster=session.cluster, role=role, ttl_seconds=int(ttl), uses=uses)
        return await session.client.cluster.CreateJoinToken(request)

    answer = call(work)
    click.echo(answer.token)
    if sys.stdout.isatty():
        often = "once" if uses == 1 else f"{uses} times"
        click.echo(
            f"Good for {text.span(int(ttl))}, {often}. On the host: shoal agent join SCHEDULER:7601 --token …",
            err=True,
        )


@token.command("ls")
@output_option
@connected
def list_all(output: str) -> None:
    """List tokens, the newest first, also those that are over since less than a day."""

    async def work(session: Session) -> pb.ListJoinTokensResponse:
        return await session.client.cluster.ListJoinTokens(pb.ListJoinTokensRequest(cluster=session.cluster))

    answer = call(work)
    now_millis = int(time.time() * 1000)
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each, now_millis) for each in answer.join_tokens], "No tokens."),
        lambda: {"joinTokens": [], **awsjson.to_document(answer)},
        [each.id for each in answer.join_tokens],
    )


@token.command()
@click.argument("ids", metavar="TOKEN...", nargs=-1, required=True)
@connected
def revoke(ids: Sequence[str]) -> None:
    """Let nobody join by these tokens any more. Hosts that have joined stay: `shoal instances revoke`."""

    async def work(session: Session) -> None:
        for each in ids:
            request = pb.RevokeJoinTokenRequest(cluster=session.cluster, id=each)
            click.echo((await session.client.cluster.RevokeJoinToken(request)).join_token.id)

    call(work)


def _row(token: pb.JoinToken, now_millis: int) -> Sequence[str]:
    left_seconds = (token.expires_at - now_millis) // 1000
    return (
        token.id,
        token.role,
        f"{token.uses_left} of {token.uses}",
        f"in {text.span(left_seconds)}" if left_seconds > 0 else "expired",
        text.age(token.created_at, now_millis),
        token.created_by,
        text.sentence_list(map(text.short_instance, token.joined), 3) or "-",
    )
