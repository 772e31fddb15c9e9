"""How results are printed: a table for people, documents for scripts."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from shoal.cli.text import printable

_COLOURS = {
    "RUNNING": "green",
    "ACTIVE": "green",
    "HEALTHY": "green",
    "ok": "green",
    "PROVISIONING": "yellow",
    "PENDING": "yellow",
    "ACTIVATING": "yellow",
    "DEACTIVATING": "yellow",
    "STOPPING": "yellow",
    "DEPROVISIONING": "yellow",
    "DRAINING": "yellow",
    "warn": "yellow",
    "fail": "red",
    "UNHEALTHY": "red",
    "INACTIVE": "bright_black",
}


# Narrower than this, a last column that is folded cannot be read.
LAST_COLUMN_MIN = 40


@dataclass(frozen=True, slots=True)
class Table:
    """`empty` is said when there are no rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    empty: str = ""


def emit(output: str, table: Callable[[], Table], document: Callable[[], Any], names: Sequence[str]) -> None:
    """Prints in the form that -o asked for. Only the form that is asked for is made."""
    if output in ("json", "yaml"):
        print_document(output, document())
    elif output == "name":
        for name in names:
            click.echo(name)
    else:
        print_table(table())


def print_document(output: str, document: Any) -> None:
    if output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)
    else:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(table: Table) -> None:
    if not table.rows:
        if table.empty:
            click.echo(table.empty, err=True)
        return
    if sys.stdout.isatty():
        _print_for_terminal(table)
    else:
        click.echo("\n".join(plain_lines(table)))


def plain_lines(table: Table) -> list[str]:
    """Aligned by spaces, nothing cut: for pipes and for tests."""
    lines = [list(table.columns), *([printable(cell) for cell in row] for row in table.rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(table.columns))]
    return ["   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def styled(word: str) -> str:
    """Coloured by its first word, where it is a status and the terminal has colours."""
    colour = _COLOURS.get(word.split(" ", 1)[0])
    return click.style(word, fg=colour) if colour else word


def print_fields(title: str, fields: Sequence[tuple[str, str]]) -> None:
    """A title and its fields, one a line; empty ones are left out."""
    click.echo(click.style(title, bold=True))
    shown = [(name, value) for name, value in fields if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        first, *more = (printable(line) for line in value.splitlines())
        click.echo(f"  {name.ljust(width)}   {styled(first)}")
        for line in more:
            click.echo(f"  {' ' * width}   {line}")


def _print_for_terminal(table: Table) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for at, column in enumerate(table.columns):
        last = at == len(table.columns) - 1
        drawn.add_column(column, no_wrap=not last, overflow="fold" if last else "ellipsis")
    for row in table.rows:
        drawn.add_row(*(Text.from_ansi(styled(printable(cell))) for cell in row))
    Console(width=_width(table), highlight=False).print(drawn)


def _width(table: Table) -> int:
    """The terminal's; or more, and the terminal wraps, where the last column would be squeezed to a thread."""
    *fixed, last = (max(len(column), *(len(row[at]) for row in table.rows)) for at, column in enumerate(table.columns))
    return max(shutil.get_terminal_size().columns, sum(fixed) + 3 * len(fixed) + min(last, LAST_COLUMN_MIN))
