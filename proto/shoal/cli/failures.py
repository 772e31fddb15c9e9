"""How a failure is shown, in one block on stderr, and which exit code it gives."""

import re
import sys
from collections.abc import Callable, Iterable

import click

from shoal import errors
from shoal.cli.method_commands import in_commands
from shoal.cli.nearest_command import nearest_command
from shoal.cli.text import printable

OK, FAILED, USAGE, NOT_FOUND, UNREACHABLE, TIMED_OUT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
NO_EXIT_CODE = 125  # a container that never had one; what `docker run` says then

_EXIT_CODES: tuple[tuple[type[errors.ShoalError], int], ...] = (
    (errors.NotFound, NOT_FOUND),
    (errors.NoContext, UNREACHABLE),
    (errors.Unreachable, UNREACHABLE),
    (errors.TimedOut, TIMED_OUT),
)


class Failed(Exception):  # noqa: N818 - reads as what it says
    """A command that did not succeed, in words; hint says what to do."""

    def __init__(self, message: str, hint: str = "", exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


def present(error: BaseException) -> int:
    """Prints it, and says which code to exit with. What nobody foresaw is raised on."""
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            click.echo("Interrupted.", err=True)
            return INTERRUPTED
        case click.UsageError():
            _suggested(error).show()
            return USAGE
        case click.ClickException():
            _block(error.format_message())
            return FAILED
        case Failed():
            _block(error.message, hint=error.hint)
            return error.exit_code
        case errors.ShoalError():
            lines = [f"{_path(each.field)}{each.message}" for each in error.problems]
            # A single problem is often the headline itself.
            more = [in_commands(line) for line in lines if line not in error.message]
            _block(in_commands(_headline(error)), more, error.hint)
            return exit_code(error)
        case BrokenPipeError():
            return FAILED
        case OSError() if error.filename is not None:
            _block(f"{error.filename}: {error.strerror}")
            return FAILED
    raise error


def one_by_one(names: Iterable[str], work: Callable[[str], object]) -> int:
    """Each is done and printed, whatever is refused of the others; the exit code of the first that is."""
    codes = []
    for name in names:
        try:
            work(name)
        except errors.Refused as refused:
            codes.append(present(refused))
        else:
            click.echo(name)
    return codes[0] if codes else OK


def exit_code(error: errors.ShoalError) -> int:
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), FAILED)


def warn(message: str) -> None:
    click.echo(f"{click.style('Warning:', fg='yellow', bold=True)} {printable(message)}", err=True)


def _suggested(error: click.UsageError) -> click.UsageError:
    """With the command that was meant, where what was typed is none and click itself suggests none."""
    typed = re.fullmatch(r"No such command '(.+)'\.", error.format_message())
    if typed is None or error.ctx is None or not isinstance(error.ctx.command, click.Group):
        return error
    meant = nearest_command(typed[1], error.ctx.command.list_commands(error.ctx))
    return click.UsageError(f"{error.message} Did you mean {meant!r}?", error.ctx) if meant else error


def _headline(error: errors.ShoalError) -> str:
    return f"{error.message} ({error.reason})" if error.reason else error.message


def _path(field: str) -> str:
    return f"{field}: " if field else ""


def _block(headline: str, lines: list[str] | None = None, hint: str = "") -> None:
    sys.stdout.flush()
    first, *more = headline.splitlines() or [""]
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {printable(first)}", err=True)
    for line in more:
        click.echo(printable(line), err=True)
    for line in lines or []:
        click.echo(f"  {printable(line)}", err=True)
    if hint:
        click.echo(f"{click.style('Try:', bold=True)} {hint}", err=True)
