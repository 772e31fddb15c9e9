"""A container engine of one host: it outlives the agent, and things go wrong with it. Stands for the Docker Engine
behind the agent's port; it keeps the truth about every container, for the checkers."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any
from zlib import crc32

from shoal_agent.definition import labels
from shoal_agent.engine.port import (
    CannotStart,
    ContainerGone,
    EngineError,
    EngineFacts,
    EngineFault,
    EngineTimeout,
    EngineUnavailable,
    Event,
    ImageNotFound,
    Inspected,
    Listed,
    NameConflict,
)

from tests.simulation import coroutines
from tests.simulation.clock import Clock
from tests.simulation.lives import Future, Life, life
from tests.simulation.registry import HostImages, Program, Registry

KILLED, TERMINATED, UNKNOWN = 137, 143, 255
JOB_ID, JOB_ATTEMPT = "AWS_BATCH_JOB_ID", "AWS_BATCH_JOB_ATTEMPT"
DIGEST = "sha256:" + "0" * 64
NO_CHECK = {"Test": ["NONE"]}


@dataclass(slots=True)
class Box:
    """One container. `ended_by`: itself, agent, engine, host or hand; `runs` counts its starts."""

    id: str
    name: str
    labels: Mapping[str, str]
    command: tuple[str, ...]
    grace_seconds: int
    image: str
    made_at: int
    state: str = "created"
    exit_code: int | None = None
    oom_killed: bool = False
    started_at: int | None = None
    finished_at: int | None = None
    ended_by: str = ""
    runs: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)

    # Of an image of the registry: its bytes, and what they do. Health: None without a health check.
    digest: str = ""
    program: Program | None = None
    has_check: bool = False
    health: str | None = None

    @property
    def task(self) -> str:
        return self.labels.get(labels.TASK, "")

    @property
    def container(self) -> str:
        return self.labels.get(labels.CONTAINER, "")


@dataclass(slots=True)
class Troubles:
    """Chances for each call, and what is wrong for a while."""

    reply_lost: float = 0.0
    start_fails: float = 0.0
    stop_hangs: float = 0.0
    image_missing: float = 0.0
    silent_events: bool = False
    hangs: bool = False


@dataclass(slots=True)
class _Listener:
    owner: Life
    news: "coroutines.Event"
    events: list[Event] = field(default_factory=list)
    broken: bool = False


class ModelEngine:
    """`on_start(box)` and `on_change()` tell the witness; `touched(box)` that the agent did something to it."""

    local = True

    def __init__(
        self, clock: Clock, rng: Random, host: str, wall: Callable[[], int], registry: Registry | None = None
    ) -> None:
        self.clock, self.rng, self.host, self.wall = clock, rng, host, wall
        self.images = HostImages(registry or Registry())
        self.up = True
        self.live_restore = True
        self.troubles = Troubles()
        self.boxes: dict[str, Box] = {}
        self.on_start: Callable[[Box], None] = lambda _box: None
        self.on_end: Callable[[Box], None] = lambda _box: None
        self.on_touch: Callable[[Box], None] = lambda _box: None
        self._made = 0
        self._ready_at = wall()
        self._died_at = 0
        self.deaths = 0
        self._kills: list[Event] = []
        self._listeners: list[_Listener] = []

    # Calls.

    async def _call(self, effect: Callable[[], Any], deadline: float = 30.0, lossy: bool = True) -> Any:
        """The effect is the engine's, whoever asked for it and died meanwhile."""
        if not self.up:
            raise EngineUnavailable("connection refused")
        answer = Future(life())
        if self.troubles.hangs:
            self.clock.after(deadline, answer.set_exception, EngineTimeout("no answer in time"))
        else:
            lost = lossy and self.troubles.reply_lost and self.rng.random() < self.troubles.reply_lost
            self.clock.after(self.rng.uniform(0.001, 0.02), self._carry_out, effect, answer, lost)
        return await answer

    def _carry_out(self, effect: Callable[[], Any], answer: Future, lost: bool) -> None:
        if not self.up:
            answer.set_exception(EngineUnavailable("the connection broke"))
            return
        try:
            value = effect()
        except EngineError as error:
            answer.set_exception(error)
            return
        if isinstance(value, float):  # it is done later
            self.clock.after(value, self._tell, answer, None, lost)
        else:
            self._tell(answer, value, lost)

    def _tell(self, answer: Future, value: Any, lost: bool) -> None:
        if lost:
            kind = self.rng.choice((EngineTimeout, EngineUnavailable))
            self.clock.after(self.rng.uniform(0.0, 5.0), answer.set_exception, kind("the answer was lost"))
        elif self.up:
            self.clock.after(self.rng.uniform(0.001, 0.02), answer.set_result, value)
        else:
            answer.set_exception(EngineUnavailable("the connection broke"))

    async def ping(self) -> None:
        await self._call(lambda: None, 5.0, lossy=False)

    async def facts(self) -> EngineFacts:
        facts = EngineFacts("27.1.1", "linux", "x86_64", 4, 1 << 33, self._ready_at)
        return await self._call(lambda: facts, 10.0, lossy=False)  # type: ignore[no-any-return]

    async def containers(self, wanted: Mapping[str, str]) -> list[Listed]:
        def effect() -> list[Listed]:
            return [
                Listed(box.id, box.name, box.labels, box.state, box.health)
                for box in self.boxes.values()
                if all(box.labels.get(name) == value for name, value in wanted.items())
            ]

        return await self._call(effect, 10.0, lossy=False)  # type: ignore[no-any-return]

    async def create(self, name: str, body: Mapping[str, Any]) -> str:
        def effect() -> str:
            if any(box.name == name for box in self.boxes.values()):
                raise NameConflict(f"the name {name} is taken")
            image = body["Image"]
            digest = self.images.digest(image) if self.images.registry.has(image) else ""
            box = self.put(name, body["Labels"], tuple(body["Cmd"]), body.get("StopTimeout") or 30, image)
            box.digest, box.program = digest, self.images.registry.programs.get(digest)
            box.has_check = body.get("Healthcheck", NO_CHECK) != NO_CHECK
            box.environment = dict(each.split("=", 1) for each in body.get("Env", ()))
            return box.id

        return await self._call(effect)  # type: ignore[no-any-return]

    def put(self, name: str, tags: Mapping[str, str], command: tuple[str, ...], grace: int, image: str = "") -> Box:
        self._made += 1
        box = Box(f"{self.host}-{self._made}", name, dict(tags), command, grace, image, self.wall())
        self.boxes[box.id] = box
        return box

    def find(self, handle: str) -> Box:
        box = self.boxes.get(handle) or next((each for each in self.boxes.values() if each.name == handle), None)
        if box is None:
            raise ContainerGone(f"no such container: {handle}")
        return box

    async def start(self, container: str) -> None:
        def effect() -> None:
            box = self.find(container)
            self.on_touch(box)
            if box.state == "running":
                return
            if self.troubles.start_fails and self.rng.random() < self.troubles.start_fails:
                raise CannotStart("driver failed programming external connectivity")
            self.run(box)

        await self._call(effect)

    def run(self, box: Box) -> None:
        """The command: how long it runs (0 is for ever), its exit code, how long it takes to end when asked. In
        jobs also how many in a hundred attempts end with that code, and what makes each attempt another chance."""
        box.state, box.started_at, box.finished_at, box.exit_code = "running", self.wall(), None, None
        box.runs += 1
        self.on_start(box)
        seconds, code = float(box.command[0]), int(box.command[1])
        if box.program is not None:
            seconds, code = box.program.seconds, box.program.code
            self._check_health(box, box.program)
        if len(box.command) > 3:
            drawn = crc32(f"{box.command[4]} {box.environment[JOB_ID]} {box.environment[JOB_ATTEMPT]}".encode())
            code = code if drawn % 100 < int(box.command[3]) else 0
            seconds *= 0.5 + drawn // 100 % 100 / 100
        if seconds:
            self.clock.after(seconds, self.exit, box, code, "itself", box.runs)

    def _check_health(self, box: Box, program: Program) -> None:
        if box.has_check:
            box.health, word = "UNKNOWN", "HEALTHY" if program.is_healthy else "UNHEALTHY"
            self.clock.after(program.health_after, self.set_health, box, word, box.runs)

    def set_health(self, box: Box, word: str, run: int) -> None:
        if box.state == "running" and box.runs == run and box.health != word:
            box.health = word
            self._say("health_status", box)

    def exit(self, box: Box, code: int, by: str, run: int) -> None:
        if box.state != "running" or box.runs != run:
            return
        box.health = None
        box.state, box.exit_code, box.finished_at, box.ended_by = "exited", code, self.wall(), by
        self.on_end(box)
        self._say("die", box)

    async def stop(self, container: str, grace_seconds: int) -> None:
        def effect() -> float | None:
            box = self.find(container)
            self.on_touch(box)
            if box.state != "running":
                return None
            if self.troubles.stop_hangs and self.rng.random() < self.troubles.stop_hangs:
                raise EngineTimeout("no answer in time")
            seconds = float(box.command[2])
            code = TERMINATED if seconds <= grace_seconds else KILLED
            seconds = min(seconds, float(grace_seconds)) + 0.01
            self.clock.after(seconds, self.exit, box, code, "agent", box.runs)
            return seconds + 0.01

        await self._call(effect)

    async def kill(self, container: str) -> None:
        def effect() -> None:
            box = self.find(container)
            self.on_touch(box)
            self.exit(box, KILLED, "agent", box.runs)

        await self._call(effect)

    async def remove(self, container: str) -> None:
        def effect() -> None:
            box = self.boxes.get(container) or next((b for b in self.boxes.values() if b.name == container), None)
            if box is not None:
                self.on_touch(box)
                self.exit(box, KILLED, "agent", box.runs)
                del self.boxes[box.id]

        await self._call(effect)

    async def remove_volume(self, name: str) -> None:
        await self._call(lambda: None)

    async def has_volume(self, name: str) -> bool:
        return bool(await self._call(lambda: True))

    async def inspect(self, container: str) -> Inspected:
        def effect() -> Inspected:
            box = self.find(container)
            return Inspected(
                container_id=box.id,
                name=box.name,
                labels=box.labels,
                state=box.state,
                exit_code=box.exit_code,
                oom_killed=box.oom_killed,
                started_at=box.started_at,
                finished_at=box.finished_at,
                stop_timeout_seconds=box.grace_seconds,
                image=box.image,
                created_at=box.made_at,
                health_status=box.health,
            )

        return await self._call(effect, 10.0, lossy=False)  # type: ignore[no-any-return]

    async def image_digest(self, image: str) -> str | None:
        def effect() -> str:
            if self.troubles.image_missing and self.rng.random() < self.troubles.image_missing:
                raise ImageNotFound(f"no such image: {image}")
            return self.images.digest(image) if self.images.registry.has(image) else DIGEST

        return await self._call(effect, 10.0, lossy=False)  # type: ignore[no-any-return]

    async def pull(self, image: str, **_: Any) -> None:
        await self._call(lambda: self.rng.uniform(0.1, 5.0), 600.0, lossy=False)
        if self.images.registry.has(image):
            self.images.pull(image)

    async def lacked_memory(self, container: str, since: float, until: float) -> bool:
        box = self.boxes.get(container)
        return bool(await self._call(lambda: box is not None and box.oom_killed, 10.0, lossy=False))

    async def kills(self, _labels: Mapping[str, str], since: float, until: float) -> list[Event]:
        def effect() -> list[Event]:
            return [event for event in self._kills if since <= event.at / 1e9 <= until]

        return await self._call(effect, 10.0, lossy=False)  # type: ignore[no-any-return]

    async def events(self, _labels: Mapping[str, str], since: float) -> AsyncGenerator[Event, None]:
        await self._call(lambda: None, 10.0, lossy=False)
        listener = _Listener(life(), coroutines.Event())
        self._listeners.append(listener)
        while not listener.broken:
            while listener.events:
                yield listener.events.pop(0)
            listener.news.clear()
            await listener.news.wait()
        raise EngineUnavailable("the event stream broke")

    def _say(self, action: str, box: Box) -> None:
        self._listeners = [each for each in self._listeners if each.owner.alive and not each.broken]
        if not self.up or self.troubles.silent_events:
            return
        for each in self._listeners:
            if labels.TASK in box.labels:
                each.events.append(Event(action, box.id, box.labels, self.wall() * 1_000_000))
                each.owner.call_later(self.rng.uniform(0.0, 0.05), each.news.set)

    # What happens to it.

    def die(self) -> None:
        """Killed: what runs goes on."""
        self.up = False
        self.deaths += 1
        self._died_at = self.wall()
        for each in self._listeners:
            each.broken = True
            each.owner.call_soon(each.news.set)

    def come_back_from(self, death: int, *, host_was_down: bool = False) -> None:
        """Unless it has come back since, or died again."""
        if death == self.deaths and not self.up:
            self.come_back(host_was_down=host_was_down)

    def come_back(self, *, host_was_down: bool = False) -> None:
        """With live-restore it adopts what runs; without, it ends that first. What went with the host it calls 255."""
        running = [box for box in self.boxes.values() if box.state == "running"]
        if not self.live_restore and not host_was_down:
            for box in running:
                self._kills.append(Event("kill", box.id, box.labels, self.wall() * 1_000_000))
                code = self.rng.choice((TERMINATED, KILLED, 0))
                self.exit(box, code, "engine", box.runs)
        if host_was_down:
            for box in self.boxes.values():
                if box.ended_by == "host" and box.finished_at == self._died_at:
                    box.finished_at = self.wall()
        self.clock.after(0.0 if self.live_restore else self.rng.uniform(0.1, 2.0), self._ready, self.deaths)

    def _ready(self, death: int) -> None:
        if death != self.deaths:
            return
        self.up = True
        self._ready_at = self.wall() + 1

    def host_dies(self) -> None:
        """Everything on it ends; the engine will say 255 and the moment of its return."""
        self.die()
        for box in self.boxes.values():
            self.exit(box, UNKNOWN, "host", box.runs)

    async def local_images(self) -> list[Any]:
        return []

    async def import_image(self, image: str, archive: bytes) -> None:
        raise EngineFault("nobody asks for it here")

    async def close(self) -> None:
        return None
