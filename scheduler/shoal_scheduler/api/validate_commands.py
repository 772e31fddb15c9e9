"""Rules of ExecuteCommand: what may be executed where, and what its input may be."""

from shoal.v1 import command_pb2 as pb

from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.task import Task

ARGUMENTS_MAX = 1024
COMMAND_BYTES_MAX = 64 * 1024
STDIN_BYTES_MAX = 64 * 1024
STDIN_AHEAD_BYTES_MAX = 256 * 1024
SIZE_MAX = 65_535
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2")


def check_start(start: pb.ExecuteCommandStart) -> None:
    """Raises Refused."""
    if not start.command or not start.command[0]:
        raise invalid_field("command", "is required: the program and its arguments.")
    if len(start.command) > ARGUMENTS_MAX:
        raise invalid_field("command", f"has {len(start.command)} items, at most {ARGUMENTS_MAX}.")
    size_bytes = sum(len(word.encode()) + 1 for word in start.command)
    if size_bytes > COMMAND_BYTES_MAX:
        raise invalid_field("command", f"has {size_bytes} bytes, at most {COMMAND_BYTES_MAX}; send the rest as stdin.")
    if any("\0" in word for word in start.command):
        raise invalid_field("command", "must not contain NUL characters.")
    _check_size("size", start.size)


def container_for(task: Task, name: str) -> str:
    """The container of the task that is meant. Raises Refused."""
    if task.is_stopped or task.last_status != "RUNNING":
        raise Refused(
            "failed_precondition",
            f"The task is {task.last_status}: a command can be executed only while its task is RUNNING.",
            reason="InvalidParameterException",
        )
    if not task.launch.enable_execute_command:
        raise Refused(
            "failed_precondition",
            "Execute command was not enabled when the task was run. Run a new task with enableExecuteCommand"
            " (`shoal run --enable-execute-command`), and try again.",
            reason="InvalidParameterException",
        )
    states = {state.name: state for state in task.containers}
    if not name and len(states) != 1:
        raise invalid_field("container", f"is required, for the task has several: {', '.join(states)}.")
    chosen = states.get(name) if name else next(iter(states.values()))
    if chosen is None:
        raise invalid_field("container", f"the task has no container {name!r}: {', '.join(states)}.")
    if chosen.last_status != "RUNNING":
        raise Refused(
            "failed_precondition",
            f"The container {chosen.name!r} is {chosen.last_status}: a command can be executed only in one that runs.",
            reason="InvalidParameterException",
        )
    return chosen.name


class InputCheck:
    """Of one call: what it may send, and how far ahead of what the command takes."""

    def __init__(self, interactive: bool) -> None:
        self._interactive = interactive
        self._ended = False
        self._sent_bytes = self._taken_bytes = 0

    def taken(self, total_bytes: int) -> None:
        self._taken_bytes = total_bytes

    def admit(self, message: pb.CommandInput) -> None:
        """Raises Refused."""
        match message.WhichOneof("kind"):
            case "stdin":
                self._admit_stdin(message.stdin)
            case "stdin_end":
                self._ended = True
            case "resize":
                _check_size("input.resize", message.resize)
            case "signal" if message.signal not in SIGNALS:
                raise invalid_field("input.signal", f"must be one of {', '.join(SIGNALS)}.")
            case None:
                raise invalid_field("input", "is empty: say one of stdin, stdinEnd, resize and signal.")

    def _admit_stdin(self, data: bytes) -> None:
        if not self._interactive:
            raise invalid_field("input.stdin", "is not read: the start says interactive for a command that has input.")
        if self._ended:
            raise invalid_field("input.stdin", "comes after its end.")
        if len(data) > STDIN_BYTES_MAX:
            raise invalid_field("input.stdin", f"has {len(data)} bytes, at most {STDIN_BYTES_MAX} in a message.")
        self._sent_bytes += len(data)
        if self._sent_bytes - self._taken_bytes > STDIN_AHEAD_BYTES_MAX:
            raise invalid_field(
                "input.stdin",
                f"is more than {STDIN_AHEAD_BYTES_MAX} bytes ahead of what the command took: wait for stdinTaken.",
            )


def _check_size(path: str, size: pb.TerminalSize) -> None:
    for name, value in (("rows", size.rows), ("columns", size.columns)):
        if not 0 <= value <= SIZE_MAX:
            raise invalid_field(f"{path}.{name}", f"must be between 0 and {SIZE_MAX}.")
