"""`shoal exec`: a command in a container of a running task, with this terminal or these pipes as its own."""

import asyncio
import contextlib
import os

import click

from shoal import errors
from shoal.cli import find
from shoal.cli.exec_input import STDIN, Inputs, copy_stdin, in_thread, signals
from shoal.cli.failures import NO_EXIT_CODE, Failed
from shoal.cli.options import connected
from shoal.cli.session import Session, call
from shoal.cli.terminal import is_terminal, raw
from shoal.v1 import command_pb2

STDOUT, STDERR = 1, 2


@click.command("exec")
@click.argument("task")
@click.argument("command", metavar="[--] COMMAND...", nargs=-1, required=True)
@click.option("-i", "--interactive", is_flag=True, help="Send it what is typed or piped in.")
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal.")
@click.option("-c", "--container", metavar="NAME", help="Which container, if there are several.")
@connected
def execute(task: str, command: tuple[str, ...], interactive: bool, tty: bool, container: str | None) -> int:
    """Execute a command in a container of a running task, and exit with its code.

    \b
    shoal exec -it TASK -- sh                               a shell in it
    shoal exec TASK -- ls -l /srv                           one command
    tar c . | shoal exec -i TASK -- tar x -C /srv           pipes, of any bytes

    The task must have been run with --enable-execute-command. Without -t, Ctrl-C is sent to the command; a second
    one leaves. The command ends with this one: whichever way you leave, nothing stays behind.
    """
    if tty and interactive and not is_terminal(STDIN):
        raise click.UsageError("The input is not a terminal: leave out -t, as in `... | shoal exec -i TASK -- CMD`.")
    start = command_pb2.ExecuteCommandStart(container=container, command=command, tty=tty, interactive=interactive)

    async def work(session: Session) -> int:
        start.cluster = session.cluster
        start.task = (await find.task_ids(session, [task]))[0]
        return await _execute(session, start)

    return call(work)


async def _execute(session: Session, start: command_pb2.ExecuteCommandStart) -> int:
    inputs = Inputs(start)
    with signals(inputs), contextlib.ExitStack() as begun:
        try:
            code = await _show(session, inputs, begun)
        except asyncio.CancelledError:
            if inputs.ended_by is None:
                raise
            return 128 + inputs.ended_by
        except errors.Unreachable as error:
            if inputs.has_begun:
                error.hint = "The command has been ended with its connection: execute it again."
            raise
    if code is None:
        raise Failed("The command has ended, but its exit code is not known.", exit_code=NO_EXIT_CODE)
    return code


async def _show(session: Session, inputs: Inputs, begun: contextlib.ExitStack) -> int | None:
    """Copies until the command's end; its exit code. `begun` holds what is to be undone afterwards."""
    async for answer in session.client.cluster.ExecuteCommand(inputs.requests()):
        output = answer.output
        match output.WhichOneof("kind"):
            case "started":
                session.progress.end()
                _begin(inputs, begun)
            case "stdout":
                await in_thread(_write, STDOUT, output.stdout)
            case "stderr":
                await in_thread(_write, STDERR, output.stderr)
            case "stdin_taken":
                inputs.taken(output.stdin_taken)
            case "exit_code":
                return int(output.exit_code)
    return None


def _begin(inputs: Inputs, begun: contextlib.ExitStack) -> None:
    """Only now: until here Ctrl-C must work, and errors must be readable."""
    inputs.has_begun = True
    if not inputs.start.interactive:
        return
    if inputs.start.tty:
        begun.enter_context(raw(STDIN))
    copying = asyncio.create_task(copy_stdin(inputs))
    begun.callback(copying.cancel)


def _write(stream: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(stream, left) :]
