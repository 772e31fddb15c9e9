"""The port to a container engine: what the agent asks of it, in values of our own.

EngineError                   the engine said no, or could not say anything
|- EngineUnavailable          no connection, or it broke: whether the call took effect is unknown
|- EngineTimeout              no answer in time: whether the call took effect is unknown
|- ImageNotFound              create, image_digest, image_layers: the image is not on this host
|- ImageInUse                 remove_image: a container is made of it, or another image on top of it
|- NameConflict               create: the name is taken
|- ContainerGone              no such container
|- CannotCreate, CannotStart, CannotPull, CannotExecute    refused, with the engine's own words
`- EngineFault                any other refusal
"""

# ruff: noqa: N818 - the names say what happened

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
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


class ImageInUse(EngineError):
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
    """One line of a listing. `state`: created, running, paused, restarting, removing, exited or dead.
    `health_status`: HEALTHY, UNHEALTHY or UNKNOWN; None if it has no health check or does not run."""

    container_id: str
    name: str
    labels: Mapping[str, str]
    state: str
    health_status: str | None = None
    image_id: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """`tags` are its names with a tag, `digests` those with a registry's digest; both may be empty. `created_at` in
    milliseconds since the epoch."""

    image_id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    size_bytes: int = 0
    created_at: int = 0

    @property
    def references(self) -> tuple[str, ...]:
        return self.tags + self.digests


@dataclass(frozen=True, slots=True)
class Layer:
    """Of an image, unpacked: `diff_id` is its digest as algorithm:hexadecimal digits."""

    diff_id: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Attached:
    """One network a container is on. Addresses are empty where it has none."""

    network: str
    address: str = ""
    address_v6: str = ""
    prefix_length: int = 0
    gateway: str = ""
    mac_address: str = ""


@dataclass(frozen=True, slots=True)
class Inspected:
    """All the agent wants to know of one container. Times are milliseconds since the epoch.

    image          the reference it was made from
    network_mode   as it was created: bridge, host, none, or container:<id> of whose network it shares
    """

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
    health_status: str | None = None
    image: str = ""

    # What of its output the engine keeps at most; None if that is not bounded, or not known.
    log_bytes_max: int | None = None
    created_at: int | None = None
    image_id: str = ""
    network_mode: str = ""
    networks: tuple[Attached, ...] = ()

    # Its first process, as the engine's host numbers it; None if it does not run.
    pid: int | None = None

    @property
    def ipv4_address(self) -> str | None:
        """In the first network that gave one; a container that does not run has none."""
        return next((each.address for each in self.networks if each.address), None)


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine says of itself and its host; empty or None for what it does not tell.

    set_up_at        when it was ready with what it found at its start, in milliseconds: whatever ended later ended
                     under its eyes
    bridge_address   the host's on the default network
    data_root        folder on the engine's host where images and containers lie
    cgroup_driver    cgroupfs, systemd or none
    cgroup_version   1 or 2
    """

    version: str
    operating_system: str
    architecture: str
    cpus: int
    memory_bytes: int
    set_up_at: int | None = None
    bridge_address: str | None = None
    data_root: str = ""
    cgroup_driver: str = ""
    cgroup_version: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """`action`: start, die, destroy, kill, health_status ... `at` in nanoseconds since the epoch."""

    action: str
    container_id: str
    labels: Mapping[str, str]
    at: int


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line without its end. `stream` is stdout or stderr, `at` milliseconds since the epoch, `nanos` the same
    moment in nanoseconds, if the engine tells it so exactly."""

    stream: str
    at: int
    text: bytes
    nanos: int = 0

    @property
    def moment(self) -> int:
        return self.nanos or self.at * 1_000_000


# Of a pull: layer, bytes of it that are here, bytes in all.
Progress = Callable[[str, int, int], None]


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
    """Every call has a deadline of its own and raises an EngineError. Containers go by id or by name.

    `local` is true if the engine is known to run on this host.
    """

    @property
    def local(self) -> bool: ...

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

    async def has_volume(self, name: str) -> bool: ...

    async def inspect(self, container: str) -> Inspected: ...

    async def stats(self, container: str) -> Mapping[str, Any]:
        """One sample of what it uses, as the Docker Engine API has it; of zeros if it does not run."""

    async def image_digest(self, image: str) -> str | None:
        """The digest under which the image's own registry knows it; None for one made on this host. Raises
        ImageNotFound."""

    async def local_images(self) -> list[Image]: ...

    async def image_layers(self, image: str) -> tuple[Layer, ...]:
        """The lowest first. Raises ImageNotFound."""

    async def remove_image(self, reference: str) -> None:
        """By a name: that name, and the image with its last one; or by id. One that is gone is no error. Raises
        ImageInUse."""

    async def pull(self, image: str, *, auth: str | None = None, progress: Progress | None = None) -> None:
        """`auth`: the X-Registry-Auth header. Raises CannotPull, EngineTimeout also if nothing moves for too long."""

    async def import_image(self, image: str, archive: bytes) -> None:
        """Makes an image of a file system in a tar."""

    def events(self, labels: Mapping[str, str], since: float) -> AsyncIterator[Event]:
        """Ends of containers (die, destroy) and changes of their health (health_status) from `since` (seconds) on,
        until the stream breaks: only a hint."""

    async def kills(self, labels: Mapping[str, str], since: float, until: float) -> list[Event]:
        """Signals sent to containers between two moments, as far as the engine remembers."""

    async def lacked_memory(self, container: str, since: float, until: float) -> bool:
        """Whether a container that exists ran out of memory between two moments, also if the engine noted it too
        late for `inspect`. Waits for `until` if that is yet to come."""

    def logs(
        self, container: str, *, follow: bool, since: float | None, tail: int | None
    ) -> AsyncGenerator[LogLine, None]:
        """In the order in which the engine has them, which is not quite that of their times. `since` in seconds."""

    def log_bytes(self, container: str) -> AsyncGenerator[bytes, None]:
        """All the engine has of a container's output now, as logs/lines.py reads it."""

    async def execute(self, container: str, command: Command) -> Execution:
        """As the container's user, with its environment. Returns when it runs, or could not be started."""

    async def end_executions(self, container: str) -> None:
        """Ends what an agent of ours that is gone was executing there; not what this one is."""

    async def close(self) -> None: ...
