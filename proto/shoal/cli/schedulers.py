"""The schedulers of the control plane: who leads, who stands by; and leadership handed over."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from shoal import awsjson, errors
from shoal.cli import show, text
from shoal.cli.failures import UNREACHABLE, Failed
from shoal.cli.options import connected, output_option
from shoal.cli.session import Session, call

if TYPE_CHECKING:
    from shoal.v1.scheduler_pb2 import DescribeSchedulerResponse

COLUMNS = ("SCHEDULER", "ENDPOINT", "ROLE", "SINCE", "BEHIND", "VERSION")
ANSWER_SECONDS = 3.0
HAND_OVER_SECONDS = 20.0
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Found:
    """One scheduler; `said` is None if it does not answer, and `trouble` says why not."""

    endpoint: str
    said: "DescribeSchedulerResponse | None"
    trouble: str = ""

    @property
    def role(self) -> str:
        return self.said.role if self.said is not None else ""


@click.group(invoke_without_command=True)
@output_option
@connected
@click.pass_context
def schedulers(ctx: click.Context, output: str) -> None:
    """List schedulers: who leads, who stands by and how far behind."""
    if ctx.invoked_subcommand is not None:
        return
    found = call(find_all, "Asking the schedulers")
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each) for each in found]),
        lambda: {"schedulers": [_document(each) for each in found]},
        [each.said.name for each in found if each.said is not None],
    )


@schedulers.command("hand-over")
@click.option("--force", is_flag=True, help="Even where nobody stands by: until a scheduler leads, nothing is placed.")
@connected
def hand_over(force: bool) -> None:
    """Have the leader step down; one that stands by leads next."""
    click.echo(call(lambda session: _hand_over(session, force), "Handing over", HAND_OVER_SECONDS))


async def find_all(session: Session) -> list[Found]:
    """Those of the context, and the leader if it is none of them; each once."""
    endpoints = dict.fromkeys(session.client.context.endpoints)
    found = await _ask(session, list(endpoints))
    named = {each.said.leader_endpoint for each in found if each.said is not None and each.said.leader_endpoint}
    known = endpoints.keys() | {each.said.endpoint for each in found if each.said is not None}
    found += await _ask(session, sorted(named - known))
    by_name = {each.said.name if each.said is not None else each.endpoint: each for each in found}
    return list(by_name.values())


async def _ask(session: Session, endpoints: Sequence[str]) -> list[Found]:
    async def one(endpoint: str) -> Found:
        try:
            return Found(endpoint, await session.client.describe_scheduler(endpoint, ANSWER_SECONDS))
        except errors.ShoalError as error:
            return Found(endpoint, None, error.message)

    return list(await asyncio.gather(*map(one, endpoints)))


async def _hand_over(session: Session, force: bool) -> str:
    """Who leads now, in words."""
    found = await find_all(session)
    leader = next((each for each in found if each.role == "LEADER"), None)
    if leader is None:
        raise Failed("No scheduler that answers leads.", "shoal schedulers shows them", UNREACHABLE)
    if not force and not any(each.role == "STANDBY" for each in found):
        raise Failed("No other scheduler stands by.", "Start another one first, or hand over with --force.")
    began = time.monotonic()
    epoch = (await session.client.hand_over(leader.endpoint, ANSWER_SECONDS)).epoch
    while time.monotonic() - began < HAND_OVER_SECONDS:
        for each in await _ask(session, [each.endpoint for each in found]):
            if each.said is not None and each.said.role == "LEADER" and each.said.epoch > epoch:
                return f"{each.said.name} leads, after {time.monotonic() - began:.1f} s"
        await asyncio.sleep(LOOK_SECONDS)
    raise Failed("The leader stepped down, and none leads yet.", "shoal schedulers shows who stands by", UNREACHABLE)


def _row(each: Found) -> tuple[str, ...]:
    said = each.said
    if said is None:
        return ("-", each.endpoint, "does not answer", "-", "-", "-")
    behind = text.plural(said.steps_behind, "commit") if said.role == "STANDBY" else "-"
    return (said.name, said.endpoint, said.role, text.age(said.since_millis, said.now_millis), behind, said.version)


def _document(each: Found) -> dict[str, object]:
    if each.said is None:
        return {"endpoint": each.endpoint, "trouble": each.trouble}
    return awsjson.to_document(each.said)
