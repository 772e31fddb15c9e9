"""A container engine in memory, behind the agent's port. It passes the conformance suite the real one passes.

What a container does is read off its command: ["sleep", "100"] runs until it is stopped; ["sh", "-c", SCRIPT] does
the `echo`s, `sleep`s (for ever) and `exit`s of the script, answers SIGTERM as its `trap` says, and at `tail` a child
of it takes all the memory there is; anything else cannot be started, because no image here has another program. Faults
are switched on by name.
"""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal_agent.engine import (
    CannotCreate,
    CannotPull,
    CannotStart,
    ContainerGone,
    EngineFacts,
    EngineFault,
    EngineUnavailable,
    Event,
    ImageNotFound,
    Inspected,
    Listed,
    LogLine,
    NameConflict,
    Port,
)

NETWORKS = ("bridge", "default", "host", "none")
MEMORY_MIN = 6 << 20
KILLED, TERMINATED = 137, 143
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_TRAP = re.compile(r"'exit (\d+)' TERM")


@dataclass(slots=True)
class Box:
    """One container."""

    container_id: str
    name: str
    body: Mapping[str, Any]
    state: str = "created"
    exit_code: int = 0
    oom_killed: bool = False
    oom_noted_late: bool = False  # after its end had been told
    error: str = ""
    trapped: int | None = None  # what it answers SIGTERM with
    health_status: str | None = None
    started_at: int | None = None
    finished_at: int | None = None
    starts: int = 0
    host_ports: dict[str, int] = field(default_factory=dict)
    output: list[LogLine] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class MemoryEngine:
    """`up`, `silent_events`, `answers_lost` and `stuck` may be set at any time; `calls` lists what was asked."""

    def __init__(self, images: tuple[str, ...] = ("image",), registry: tuple[str, ...] = ()) -> None:
        self.up = True
        self.local = True
        self.silent_events = False
        self.answers_lost = 0  # so many calls take effect and then break
        self.stuck: set[str] = set()  # names of containers whose calls never return
        self.images = set(images)
        self.registry = set(registry)
        self.boxes: dict[str, Box] = {}
        self.volumes_removed: list[str] = []
        self.calls: list[tuple[str, str]] = []
        self.set_up_at = _now()
        self.signals: list[Event] = []
        self._numbers = itertools.count(1)
        self._ports = itertools.count(49153)
        self._listeners: list[asyncio.Queue[Event | None]] = []
        self._told: list[Event] = []  # for who listens later

    # The port.

    async def ping(self) -> None:
        await self._enter("ping", "")

    async def facts(self) -> EngineFacts:
        await self._enter("facts", "")
        return EngineFacts("0", "linux", "x86_64", 2, 1 << 32, self.set_up_at)

    async def containers(self, labels: Mapping[str, str]) -> list[Listed]:
        await self._enter("containers", "")
        return [
            Listed(box.container_id, box.name, _labels(box), box.state, box.health_status)
            for box in self.boxes.values()
            if labels.items() <= _labels(box).items()
        ]

    async def create(self, name: str, body: Mapping[str, Any]) -> str:
        await self._enter("create", name)
        refusal = _refusal(body)
        if refusal:
            raise CannotCreate(refusal)
        if body["Image"] not in self.images:
            raise ImageNotFound(f"No such image: {body['Image']}")
        if not _NAME.fullmatch(name):
            raise CannotCreate(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        if any(box.name == name for box in self.boxes.values()):
            raise NameConflict(f'Conflict. The container name "/{name}" is already in use')
        container_id = f"{next(self._numbers):064x}"
        self.boxes[container_id] = Box(container_id, name, body)
        self._lose()
        return container_id

    async def start(self, container: str) -> None:
        box = await self._find("start", container)
        if box.state == "running":
            return
        command: list[str] = [*box.body.get("Entrypoint", ()), *box.body.get("Cmd", ())]
        program, *arguments = command
        box.error = _cannot_start(box.body, program)
        if box.error:
            raise CannotStart(box.error)
        box.state, box.started_at, box.starts = "running", _now(), box.starts + 1
        box.oom_killed, box.trapped, box.ended = False, None, asyncio.Event()
        box.health_status = "UNKNOWN" if box.body.get("Healthcheck", {}).get("Test", ["NONE"])[0] != "NONE" else None
        bindings = box.body.get("HostConfig", {}).get("PortBindings", {})
        box.host_ports = {
            key: int(bound[0]["HostPort"] or next(self._ports)) for key, bound in bindings.items() if bound
        }
        if program == "sh":
            self._play(box, arguments[-1])
        self._lose()

    def _play(self, box: Box, script: str) -> None:
        for line in script.split(";"):
            word, _, rest = line.strip().partition(" ")
            match word:
                case "echo":
                    box.output.append(LogLine("stdout", _now(), rest.encode()))
                case "exit":
                    self.end(box.name, int(rest))
                case "trap":
                    box.trapped = _trapped(rest)
                case "tail":
                    box.oom_killed = True
                    box.output.append(LogLine("stderr", _now(), b"Killed"))
                case "sleep" | "exec" | "while":
                    return
        self.end(box.name, 0)

    async def stop(self, container: str, grace_seconds: int) -> None:
        """A first process that traps nothing does not hear SIGTERM, unless an init passes it on."""
        box = await self._find("stop", container)
        unheard = TERMINATED if _host(box.body).get("Init") else KILLED
        self.end(box.name, unheard if box.trapped is None else box.trapped)

    async def kill(self, container: str) -> None:
        box = await self._find("kill", container)
        self.end(box.name, KILLED)

    async def remove(self, container: str) -> None:
        try:
            box = await self._find("remove", container)
        except ContainerGone:
            return
        self.end(box.name, KILLED)
        self.take_away(box.name)

    async def remove_volume(self, name: str) -> None:
        await self._enter("remove_volume", name)
        if any(name in _volumes(box.body) for box in self.boxes.values()):
            raise EngineFault(f"remove {name}: volume is in use")
        self.volumes_removed.append(name)

    async def inspect(self, container: str) -> Inspected:
        box = await self._find("inspect", container)
        return Inspected(
            container_id=box.container_id,
            name=box.name,
            labels=_labels(box),
            state=box.state,
            exit_code=box.exit_code if box.state == "exited" else None,
            oom_killed=box.oom_killed,
            error=box.error,
            started_at=box.started_at,
            finished_at=box.finished_at,
            ports=_ports(box) if box.state == "running" else (),
            tty=bool(box.body.get("Tty")),
            ipv4_address=f"10.0.0.{int(box.container_id, 16)}" if box.state == "running" else None,
            stop_timeout_seconds=box.body.get("StopTimeout"),
            health_status=box.health_status,
        )

    async def image_digest(self, image: str) -> str | None:
        await self._enter("image_digest", image)
        if image not in self.images:
            raise ImageNotFound(f"No such image: {image}")
        return None

    async def pull(self, image: str) -> None:
        await self._enter("pull", image)
        if image in self.stuck:
            await asyncio.Event().wait()
        if image not in self.registry:
            raise CannotPull(f"manifest for {image} not found")
        self.images.add(image)

    async def import_image(self, image: str, archive: bytes) -> None:
        await self._enter("import_image", image)
        self.images.add(image)

    async def events(self, labels: Mapping[str, str], since: float) -> AsyncIterator[Event]:
        await self._enter("events", "")
        inbox: asyncio.Queue[Event | None] = asyncio.Queue()
        for past in self._told:
            if past.at / 1e9 >= since:
                inbox.put_nowait(past)
        self._listeners.append(inbox)
        try:
            while (event := await inbox.get()) is not None:
                if labels.items() <= event.labels.items():
                    yield event
        finally:
            self._listeners.remove(inbox)

    async def kills(self, labels: Mapping[str, str], since: float, until: float) -> list[Event]:
        await self._enter("kills", "")
        return [event for event in self.signals if since <= event.at / 1e9 <= until]

    async def lacked_memory(self, container: str, since: float, until: float) -> bool:
        box = await self._find("lacked_memory", container)
        return box.oom_killed or box.oom_noted_late

    async def logs(
        self, container: str, *, follow: bool, since: float | None, tail: int | None
    ) -> AsyncGenerator[LogLine, None]:
        box = await self._find("logs", container)
        if follow and box.state == "running":
            await box.ended.wait()
        chosen = [line for line in box.output if since is None or line.at >= since * 1000]
        for line in chosen if tail is None else chosen[len(chosen) - min(tail, len(chosen)) :]:
            yield line

    async def close(self) -> None:
        self.hang_up()

    # What a test does to it.

    def box(self, name: str) -> Box:
        return next(box for box in self.boxes.values() if box.name == name)

    def end(self, name: str, exit_code: int) -> None:
        """The container's process ends."""
        box = self.box(name)
        if box.state != "running":
            return
        box.state, box.exit_code, box.finished_at, box.health_status = "exited", exit_code, _now(), None
        box.ended.set()
        self._announce("die", box)

    def set_health(self, name: str, health_status: str) -> None:
        """Its health check has answered: HEALTHY or UNHEALTHY."""
        box = self.box(name)
        box.health_status = health_status
        self._announce("health_status", box)

    def take_away(self, name: str) -> None:
        """As `docker rm -f` by hand."""
        box = self.box(name)
        del self.boxes[box.container_id]
        self._announce("destroy", box)

    def restart(self, live_restore: bool) -> None:
        """Comes back after `up` was false. Without live-restore it ends what runs first."""
        self.signals.clear()
        for box in list(self.boxes.values()):
            if box.state == "running" and not live_restore:
                self.signals.append(Event("kill", box.container_id, _labels(box), time.time_ns()))
                self.end(box.name, 137)
        if not live_restore:
            self.set_up_at = _now() + 1
        self.up = True

    def go_down(self) -> None:
        self.up = False
        self.hang_up()

    def hang_up(self) -> None:
        """All event streams break."""
        for inbox in self._listeners:
            inbox.put_nowait(None)

    def _announce(self, action: str, box: Box) -> None:
        if self.up and not self.silent_events:
            event = Event(action, box.container_id, _labels(box), time.time_ns())
            self._told.append(event)
            for inbox in self._listeners:
                inbox.put_nowait(event)

    async def _enter(self, call: str, about: str) -> None:
        self.calls.append((call, about))
        if about in self.stuck and call != "pull":
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        if not self.up:
            raise EngineUnavailable("cannot connect")

    async def _find(self, call: str, container: str) -> Box:
        found = [box for box in self.boxes.values() if container in (box.container_id, box.name)]
        await self._enter(call, found[0].name if found else container)
        if not found or found[0].container_id not in self.boxes:
            raise ContainerGone(f"No such container: {container}")
        return found[0]

    def _lose(self) -> None:
        if self.answers_lost:
            self.answers_lost -= 1
            raise EngineUnavailable("the answer got lost")


def _labels(box: Box) -> Mapping[str, str]:
    return box.body.get("Labels") or {}


def _host(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return body.get("HostConfig") or {}


def _volumes(body: Mapping[str, Any]) -> list[str]:
    return [mount["Source"] for mount in _host(body).get("Mounts", ()) if mount["Type"] == "volume"]


def _refusal(body: Mapping[str, Any]) -> str:
    """Why no container is made of this; empty if one is."""
    host = _host(body)
    memory, reserved = host.get("Memory", 0), host.get("MemoryReservation", 0)
    if not body.get("WorkingDir", "/").startswith("/"):
        return f"the working directory '{body['WorkingDir']}' is invalid, it needs to be an absolute path"
    if 0 < memory < MEMORY_MIN:
        return "Minimum memory limit allowed is 6MB"
    if 0 < memory < reserved:
        return "Minimum memory limit can not be less than memory reservation limit, see usage"
    return ""


def _cannot_start(body: Mapping[str, Any], program: str) -> str:
    """What keeps a container from starting; empty if nothing does."""
    network = _host(body).get("NetworkMode", "default")
    if network not in NETWORKS and not network.startswith("container:"):
        return f"network {network} not found"
    if program not in ("sleep", "sh", "/pause"):
        return f'exec: "{program}": executable file not found in $PATH'
    return ""


def _trapped(words: str) -> int | None:
    found = _TRAP.fullmatch(words)
    return int(found.group(1)) if found else None


def _ports(box: Box) -> tuple[Port, ...]:
    split = ((key.partition("/"), host_port) for key, host_port in box.host_ports.items())
    return tuple(Port(int(number), host_port, protocol) for (number, _, protocol), host_port in split)


def _now() -> int:
    return time.time_ns() // 1_000_000
