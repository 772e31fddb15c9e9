"""The port to a container engine: what the agent asks of it, in values of our own.

EngineError                   the engine said no, or could not say anything
|- EngineUnavailable          no connection, or it broke: whether the call took effect is unknown
|- EngineTimeout              no answer in time: whether the call took effect is unknown
|- ImageNotFound              create: the image is not on this host
|- NameConflict               create: the name is taken
|- ContainerGone              no such container
|- CannotCreate, CannotStart, CannotPull, CannotExecute    refused, with the engine's own words
`- EngineFault                any other refusal
"""

# ruff: noqa: N818 - the names say what happened

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class EngineError(Exception):
    """`message` is the engine's own sentence."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class EngineUnavailable(EngineError):
    pass


class EngineTimeout(EngineError):
    pass


class ImageNotFound(EngineError):
    pass


class NameConflict(EngineError):
    pass


class ContainerGone(EngineError):
    pass


class CannotCreate(EngineError):
    pass


class CannotStart(EngineError):
    pass


class CannotPull(EngineError):
    pass


class CannotExecute(EngineError):
    pass


class EngineFault(EngineError):
    pass


@dataclass(frozen=True, slots=True)
class Port:
    """A container's port as it is reached from outside."""

    container_port: int
    host_port: int
    protocol: str = "tcp"
    host_ip: str = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a listing. `state`: created, running, paused, restarting, removing, exited or dead."""

    container_id: str
    name: str
    labels: Mapping[str, str]
    state: str


@dataclass(frozen=True, slots=True)
class Inspected:
    """All the agent wants to know of one container. Times are milliseconds since the epoch."""

    container_id: str
    name: str
    labels: Mapping[str, str]
    state: str
    exit_code: int | None = None
    oom_killed: bool = False
    error: str = ""
    started_at: int | None = None
    finished_at: int | None = None
    ports: tuple[Port, ...] = ()
    tty: bool = False
    stop_timeout_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """`set_up_at` (milliseconds) is when the engine that answers was ready with what it found at its start, if it
    tells: whatever ended later ended under its eyes."""

    version: str
    operating_system: str
    architecture: str
    cpus: int
    memory_bytes: int
    set_up_at: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """`action`: start, die, destroy, kill ... `at` in nanoseconds since the epoch."""

    action: str
    container_id: str
    labels: Mapping[str, str]
    at: int


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line without its end. `stream` is stdout or stderr, `at` milliseconds since the epoch."""

    stream: str
    at: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Command:
    """What to execute in a container. `size`: rows and columns of the terminal, 0 if they are not known."""

    arguments: tuple[str, ...]
    tty: bool = False
    interactive: bool = False
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a command's output. `stream` is stdout or stderr; with a terminal there is only stdout."""

    stream: str
    data: bytes


class Execution(Protocol):
    """A command that has been started. All raise EngineError, and `end` must be called whatever happened."""

    async def read(self) -> Piece | None:
        """What it wrote next; None when it has ended. Who does not read holds it up."""

    async def write(self, data: bytes) -> None:
        """To its stdin; returns when the engine has taken it. What a command that has ended is told is lost."""

    async def end_input(self) -> None:
        """A second time is no error."""

    async def resize(self, rows: int, columns: int) -> None: ...

    async def signal(self, name: str) -> None:
        """As SIGINT. To what is in the foreground, as a terminal's Ctrl-C would be."""

    async def exit_code(self) -> int:
        """Once `read` gave None. 126 and 127 if the command could not be started, as a shell has it."""

    async def end(self) -> None:
        """Closes the streams. If it still runs it is ended, with its whole session: asked first, then killed."""


class Engine(Protocol):
    """Every call has a deadline of its own and raises an EngineError. Containers go by id or by name."""

    async def ping(self) -> None: ...

    async def facts(self) -> EngineFacts: ...

    async def containers(self, labels: Mapping[str, str]) -> list[Listed]:
        """All that carry all of `labels`, whatever their state."""

    async def create(self, name: str, body: Mapping[str, Any]) -> str:
        """The new container's id. `body` as the Docker Engine API has it."""

    async def start(self, container: str) -> None:
        """A container that already runs stays as it is."""

    async def stop(self, container: str, grace_seconds: int) -> None:
        """The image's stop signal, the grace, then SIGKILL; returns when it ended."""

    async def kill(self, container: str) -> None:
        """SIGKILL. A container that does not run is left alone."""

    async def remove(self, container: str) -> None:
        """With its unnamed volumes; ends it if it runs. One that is gone is no error."""

    async def remove_volume(self, name: str) -> None: ...

    async def inspect(self, container: str) -> Inspected: ...

    async def image_digest(self, image: str) -> str | None:
        """The digest under which a registry knows the image; None for one made on this host."""

    async def pull(self, image: str) -> None: ...

    def events(self, labels: Mapping[str, str], since: float) -> AsyncIterator[Event]:
        """Ends of containers (die, destroy) from `since` (seconds) on, until the stream breaks: only a hint."""

    async def kills(self, labels: Mapping[str, str], since: float, until: float) -> list[Event]:
        """Signals sent to containers between two moments, as far as the engine remembers."""

    def logs(
        self, container: str, *, follow: bool, since: float | None, tail: int | None
    ) -> AsyncGenerator[LogLine, None]: ...

    async def execute(self, container: str, command: Command) -> Execution:
        """As the container's user, with its environment. Returns when it runs, or could not be started."""

    async def end_executions(self, container: str) -> None:
        """Ends what an agent of ours that is gone was executing there; not what this one is."""

    async def close(self) -> None: ...
