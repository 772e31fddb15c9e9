"""A container engine in memory, behind the agent's port. It passes the conformance suite the real one passes.

What a container does is read off its command: ["sleep", "100"] runs until it is stopped; ["sh", "-c", SCRIPT] does
the `echo`s, `sleep`s (for ever) and `exit`s of the script, answers SIGTERM as its `trap` says, and at `tail` a child
of it takes all the memory there is; anything else cannot be started, because no image here has another program. Faults
are switched on by name.
"""

import asyncio
import hashlib
import itertools
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from shoal.image_reference import pinned
from shoal_agent.engine.port import (
    CannotCreate,
    CannotExecute,
    CannotPull,
    CannotStart,
    Command,
    ContainerGone,
    EngineError,
    EngineFacts,
    EngineFault,
    EngineUnavailable,
    Event,
    Image,
    ImageInUse,
    ImageNotFound,
    Inspected,
    Layer,
    Listed,
    LogLine,
    NameConflict,
    Progress,
)

from tests.fakes import container_body
from tests.fakes.memory_box import Box
from tests.fakes.memory_execution import MemoryExecution

KILLED, TERMINATED = 137, 143
LAYER_BYTES = 4096
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


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
        self.digests: dict[str, str] = {}  # by image, of those that came from a registry
        self.volumes: set[str] = set()
        self.auths: list[str | None] = []
        self.failing_pulls: dict[str, list[EngineError]] = {}  # what the next pulls of an image raise
        self.boxes: dict[str, Box] = {}
        self.volumes_removed: list[str] = []
        self.calls: list[tuple[str, str]] = []
        self.set_up_at = _now()
        self.signals: list[Event] = []
        self.executions: list[MemoryExecution] = []
        self._numbers = itertools.count(1)
        self._ports = itertools.count(49153)
        self._listeners: list[asyncio.Queue[Event | None]] = []
        self._told: list[Event] = []  # for who listens later

    # The port.

    async def ping(self) -> None:
        await self._enter("ping", "")

    async def facts(self) -> EngineFacts:
        await self._enter("facts", "")
        return EngineFacts("0", "linux", "x86_64", 2, 1 << 32, self.set_up_at, "172.17.0.1")

    async def containers(self, labels: Mapping[str, str]) -> list[Listed]:
        await self._enter("containers", "")
        return [
            Listed(box.container_id, box.name, box.labels, box.state, box.health_status, f"sha256:{box.body['Image']}")
            for box in self.boxes.values()
            if labels.items() <= box.labels.items()
        ]

    async def create(self, name: str, body: Mapping[str, Any]) -> str:
        await self._enter("create", name)
        refusal = container_body.refusal(body)
        if refusal:
            raise CannotCreate(refusal)
        if body["Image"] not in self.images | {pinned(*known) for known in self.digests.items()}:
            raise ImageNotFound(f"No such image: {body['Image']}")
        if not _NAME.fullmatch(name):
            raise CannotCreate(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        if any(box.name == name for box in self.boxes.values()):
            raise NameConflict(f'Conflict. The container name "/{name}" is already in use')
        number = next(self._numbers)
        container_id, address = f"{number:064x}", f"172.17.{number // 250}.{number % 250 + 2}"
        self.boxes[container_id] = Box(container_id, name, body, created_at=_now(), address=address)
        self._lose()
        return container_id

    async def start(self, container: str) -> None:
        box = await self._find("start", container)
        if box.state == "running":
            return
        joined = container_body.joins(box.body)
        if joined is not None and (joined not in self.boxes or self.boxes[joined].state != "running"):
            raise CannotStart(f"cannot join network of a non running container: {joined}")
        box.error = container_body.cannot_start(box.body)
        if box.error:
            raise CannotStart(box.error)
        program, *arguments = container_body.command(box.body)
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
                    box.trapped = container_body.trapped(rest)
                case "tail":
                    box.oom_killed = True
                    box.output.append(LogLine("stderr", _now(), b"Killed"))
                case "sleep" | "exec" | "while":
                    return
        self.end(box.name, 0)

    async def stop(self, container: str, grace_seconds: int) -> None:
        """A first process that traps nothing does not hear SIGTERM, unless an init passes it on."""
        box = await self._find("stop", container)
        unheard = TERMINATED if container_body.host(box.body).get("Init") else KILLED
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
        if any(name in container_body.volumes(box.body) for box in self.boxes.values()):
            raise EngineFault(f"remove {name}: volume is in use")
        self.volumes_removed.append(name)

    async def has_volume(self, name: str) -> bool:
        await self._enter("has_volume", name)
        return name in self.volumes

    async def inspect(self, container: str) -> Inspected:
        box = await self._find("inspect", container)
        return Inspected(
            container_id=box.container_id,
            name=box.name,
            labels=box.labels,
            state=box.state,
            exit_code=box.exit_code if box.state == "exited" else None,
            oom_killed=box.oom_killed,
            error=box.error,
            started_at=box.started_at,
            finished_at=box.finished_at,
            ports=box.ports if box.state == "running" else (),
            tty=bool(box.body.get("Tty")),
            stop_timeout_seconds=box.body.get("StopTimeout"),
            health_status=box.health_status,
            created_at=box.created_at,
            image=box.body["Image"],
            image_id=f"sha256:{box.body['Image']}",
            network_mode=box.body.get("HostConfig", {}).get("NetworkMode", "bridge"),
            networks=box.networks,
        )

    async def stats(self, container: str) -> Mapping[str, Any]:
        box = await self._find("stats", container)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return {"id": box.container_id, "name": f"/{box.name}", "read": now, "cpu_stats": {"cpu_usage": {}}}

    async def image_digest(self, image: str) -> str | None:
        await self._enter("image_digest", image)
        if image not in self.images:
            raise ImageNotFound(f"No such image: {image}")
        return self.digests.get(image)

    async def local_images(self) -> list[Image]:
        await self._enter("local_images", "")
        return [Image(f"sha256:{name}", (name,), size_bytes=LAYER_BYTES) for name in sorted(self.images)]

    async def image_layers(self, image: str) -> tuple[Layer, ...]:
        """One, of the image's own."""
        await self._enter("image_layers", image)
        name = image.removeprefix("sha256:")
        if name not in self.images:
            raise ImageNotFound(f"No such image: {image}")
        return (Layer(f"sha256:{hashlib.sha256(name.encode()).hexdigest()}", LAYER_BYTES),)

    async def remove_image(self, reference: str) -> None:
        await self._enter("remove_image", reference)
        if any(box.body["Image"] == reference for box in self.boxes.values()):
            raise ImageInUse(f"conflict: unable to remove repository reference {reference!r}")
        self.images.discard(reference.removeprefix("sha256:"))

    async def pull(self, image: str, *, auth: str | None = None, progress: Progress | None = None) -> None:
        await self._enter("pull", image)
        self.auths.append(auth)
        if image in self.stuck:
            await asyncio.Event().wait()
        if self.failing_pulls.get(image):
            raise self.failing_pulls[image].pop(0)
        if progress is not None:
            progress("layer", 1, 2)
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

    async def log_bytes(self, container: str) -> AsyncGenerator[bytes, None]:
        box = await self._find("log_bytes", container)
        for line in box.output:
            moment = datetime.fromtimestamp(line.at / 1000, UTC)
            text = f"{moment:%Y-%m-%dT%H:%M:%S}.{line.at % 1000:03d}000000Z ".encode() + line.text + b"\n"
            number = 2 if line.stream == "stderr" else 1
            yield bytes([number, 0, 0, 0]) + len(text).to_bytes(4, "big") + text

    async def execute(self, container: str, command: Command) -> MemoryExecution:
        box = await self._find("execute", container)
        if box.state != "running":
            raise CannotExecute(f"Container {box.container_id} is not running")
        self.executions.append(MemoryExecution(command))
        return self.executions[-1]

    async def end_executions(self, container: str) -> None:
        await self._find("end_executions", container)

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
                self.signals.append(Event("kill", box.container_id, box.labels, time.time_ns()))
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
            event = Event(action, box.container_id, box.labels, time.time_ns())
            self._told.append(event)
            for inbox in self._listeners:
                inbox.put_nowait(event)

    async def _enter(self, call: str, about: str) -> None:
        self.calls.append((call, about))
        if about in self.stuck and call not in ("pull", "image_digest"):
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


def _now() -> int:
    return time.time_ns() // 1_000_000
