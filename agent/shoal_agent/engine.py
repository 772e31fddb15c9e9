"""The port to a container engine: what the agent asks of it, in values of our own.

EngineError                   the engine said no, or could not say anything
|- EngineUnavailable          no connection, or it broke: whether the call took effect is unknown
|- EngineTimeout              no answer in time: whether the call took effect is unknown
|- ImageNotFound              create, image_digest: the image is not on this host
|- NameConflict               create: the name is taken
|- ContainerGone              no such container
|- CannotCreate, CannotStart, CannotPull    refused, with the engine's own words
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
    health_status: str | None = None
    ipv4_address: str | None = None


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """`set_up_at` (milliseconds) is when the engine that answers was ready with what it found at its start, if it
    tells: whatever ended later ended under its eyes. `cgroup_driver` is cgroupfs, systemd or none, `cgroup_version`
    1 or 2; empty if it does not tell."""

    version: str
    operating_system: str
    architecture: str
    cpus: int
    memory_bytes: int
    set_up_at: int | None = None
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
    """One line without its end. `stream` is stdout or stderr, `at` milliseconds since the epoch."""

    stream: str
    at: int
    text: bytes


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

    async def inspect(self, container: str) -> Inspected: ...

    async def image_digest(self, image: str) -> str | None:
        """The digest under which a registry knows the image; None for one made on this host."""

    async def pull(self, image: str) -> None: ...

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
    ) -> AsyncGenerator[LogLine, None]: ...

    async def close(self) -> None: ...
