"""Which instances a command is about: those that are named, or all that match an expression."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from shoal import arn
from shoal.cli import find, text
from shoal.cli.failures import NOT_FOUND, Failed
from shoal.cli.session import Session

Function = TypeVar("Function", bound=Callable[..., Any])


def where_option(command: Function) -> Function:
    return click.option(
        "--where",
        "expression",
        metavar="EXPRESSION",
        help="All instances that match, as 'attribute:rack == r1'.",
    )(command)


def check_choice(names: Sequence[str], expression: str | None) -> None:
    """Raises UsageError unless instances are chosen in one way."""
    if names and expression is not None:
        raise click.UsageError("Name instances or choose them by --where, not both.")
    if not names and expression is None:
        raise click.UsageError("Name instances, or choose them by --where 'attribute:rack == r1'.")


async def instance_ids(session: Session, names: Sequence[str], expression: str | None) -> list[str]:
    """Each once. Raises Failed if a name fits none, or several, or if nothing matches."""
    if expression is None:
        return list(dict.fromkeys(await find.instance_ids(session, names)))
    found = [arn.short(each) for each in await find.instance_arns(session, filter=expression)]
    if not found:
        raise Failed(f"No instance matches {expression!r}.", "shoal attributes; shoal instances", NOT_FOUND)
    return found


def some(ids: Sequence[str]) -> str:
    """`1f2e3d4c`, or `3 instances (1f2e3d4c, ...)`."""
    shorts = [text.short_instance(each) for each in ids]
    return shorts[0] if len(shorts) == 1 else f"{text.plural(len(shorts), 'instance')} ({text.sentence_list(shorts)})"
