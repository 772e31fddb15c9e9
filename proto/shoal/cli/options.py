"""Options that several commands share. Imports click only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])
OUTPUTS = ("table", "wide", "json", "yaml", "name")


class GroupOfNamed(click.Group):
    """A group of commands about named things: a word that is no command is a name, and `named` makes its command."""

    def __init__(self, *arguments: Any, named: Callable[[str], click.Command], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._named = named

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        found = super().get_command(ctx, name)
        return found if found is not None or name.startswith("-") else self._named(name)


def int32(value: str) -> int:
    """A click type: a number that a message has room for; the scheduler says which of them make sense.

    >>> int32("2147483647")
    2147483647
    """
    return _whole_number(value, 32)


def int64(value: str) -> int:
    """The same for what counts further."""
    return _whole_number(value, 64)


def _whole_number(value: str, bits: int) -> int:
    try:
        number = int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no whole number") from None
    most = 2 ** (bits - 1) - 1
    if not -most <= number <= most:
        raise click.BadParameter(f"{value} is beyond {most if number > 0 else -most}")
    return number


@dataclass(slots=True)
class Target:
    """What --context and --cluster said, before or after the verb; None is "as the environment says".

    endpoints: to be asked instead of the context's.
    """

    context: str | None = None
    cluster: str | None = None
    endpoints: tuple[str, ...] = ()


def remember_context(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        target(ctx).context = value


def remember_cluster(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        target(ctx).cluster = value


def remember_endpoints(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> None:
    if values:
        target(ctx).endpoints = tuple(endpoint for value in values for endpoint in value.split(","))


def target(ctx: click.Context | None = None) -> Target:
    """The one of this run of the program, kept in click's root context."""
    found = (ctx or click.get_current_context()).find_root().ensure_object(Target)
    assert isinstance(found, Target)
    return found


def connected(command: Function) -> Function:
    """For a command that speaks to a cluster: the root's options are accepted after the verb, too."""
    for name, callback, text in (
        ("--cluster", remember_cluster, "Which cluster to use."),
        ("--context", remember_context, "Which context to use."),
    ):
        command = click.option(name, metavar="NAME", callback=callback, expose_value=False, help=text)(command)
    return command


def output_option(command: Function) -> Function:
    return click.option(
        "-o",
        "--output",
        type=click.Choice(OUTPUTS),
        default="table",
        help="How to print; json is AWS-style.",
    )(command)


def parse_pairs(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """A click callback: KEY=VALUE, several times."""
    pairs = {}
    for value in values:
        key, equals, rest = value.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"{value!r} is not KEY=VALUE", ctx, option)
        pairs[key] = rest
    return pairs


_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(value: str) -> float:
    """A click type: `90`, `90s`, `10m`, `1h30m`, `2d` as a number of seconds."""
    import re

    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhd])", value)
    if parts and "".join(number + unit for number, unit in parts) == value:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return float(value)
    raise click.BadParameter(f"{value!r} is not a duration such as 90s, 10m or 1h30m")


_MEBIBYTES = {"": 1, "m": 1, "g": 1024}
_MEBIBYTES_MAX = 2**31 - 1  # what the contract has room for


def mebibytes(value: str) -> int:
    """A click type: `64`, `64m`, `64M` and `1g`, as docker writes sizes, in MiB."""
    import re

    found = re.fullmatch(r"([0-9]{1,12})([mMgG]?)", value)
    size = int(found[1]) * _MEBIBYTES[found[2].lower()] if found else 0
    if not 1 <= size <= _MEBIBYTES_MAX:
        raise click.BadParameter(f"{value!r} is not a size of at least 1 MiB, such as 64 (MiB), 64m or 1g")
    return size
