"""Random sequences of engine calls: made from a seed, played on any engine, answered in values that compare.

Ids, times and the names of one play are taken out of the answers, and of errors only the kind is kept: what is left
must be the same from every engine. After each call the whole picture is asked for too.
"""

import asyncio
import random
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from shoal_agent.engine import port
from shoal_agent.engine.port import Engine, EngineError, Event, Inspected

PATIENCE_SECONDS = 60.0
NAMES = ("a", "b")
TIERS = ("front", "back")
VOLUMES = ("v", "w")
ABSENT_IMAGE = "localhost:1/no/such:image"
_LEAST = 16 << 20
# A child takes all the memory, in the midst of the life of a container, so that the engine hears of it in time.
HOG = ["sh", "-c", "usleep 300000; tail /dev/zero; usleep 500000; exit 5"]


@dataclass(frozen=True, slots=True)
class Program:
    """`ready`: it stays, once it has said that. `ends`: it is over by itself after its start."""

    command: list[str]
    ready: bool = False
    ends: bool = False
    host: Mapping[str, Any] = field(default_factory=dict)


PROGRAMS = {
    "stays": Program(["sleep", "1000"]),
    "polite": Program(["sh", "-c", "trap 'exit 9' TERM; echo ready; while true; do sleep 0.1; done"], ready=True),
    "with init": Program(["sh", "-c", "echo ready; exec sleep 1000"], ready=True, host={"Init": True}),
    "succeeds": Program(["sh", "-c", "echo one; echo two; exit 0"], ends=True),
    "fails": Program(["sh", "-c", "echo one; exit 3"], ends=True),
    "hog": Program(HOG, ends=True, host={"Memory": _LEAST, "MemorySwap": _LEAST}),
    "is not there": Program(["no-such-program"]),
}

# What may be wrong with a body: fields of it, and of its HostConfig.
FLAWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "image": ({"Image": ABSENT_IMAGE}, {}),
    "folder": ({"WorkingDir": "relative"}, {}),
    "memory": ({}, {"Memory": 1000}),
    "reservation": ({}, {"Memory": _LEAST, "MemoryReservation": 2 * _LEAST}),
    "network": ({}, {"NetworkMode": "no-such-network"}),
}


@dataclass(frozen=True, slots=True)
class Call:
    """`about`: a container, a volume, an image or a tier. `program` and `flaw` are a create's."""

    what: str
    about: str
    program: str = "stays"
    flaw: str | None = None
    volume: str | None = None
    tier: str = TIERS[0]


_WEIGHTS = {"start": 6, "stop": 3, "kill": 3, "remove": 3, "create": 3}
_WEIGHTS |= {"logs": 2, "remove_volume": 2, "containers": 1, "image_digest": 1, "pull": 1}


def sequence(seed: int, image: str) -> list[Call]:
    """The same for the same seed. Begins with a container; what follows may be right or wrong."""
    chance = random.Random(seed)
    calls = [_create(chance, NAMES[0], flawed=0.1)]
    for what in chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=chance.randint(3, 8)):
        match what:
            case "create":
                calls.append(_create(chance, chance.choice((*NAMES, *NAMES, "-wrong")), flawed=0.3))
            case "remove_volume":
                calls.append(Call(what, chance.choice(VOLUMES)))
            case "containers":
                calls.append(Call(what, chance.choice((*TIERS, "none"))))
            case "image_digest":
                calls.append(Call(what, chance.choice((image, ABSENT_IMAGE))))
            case "pull":
                calls.append(Call(what, ABSENT_IMAGE))
            case _:
                calls.append(Call(what, chance.choice((*NAMES, NAMES[0], NAMES[0]))))
    return calls


def _create(chance: random.Random, name: str, flawed: float) -> Call:
    flaw = chance.choice(list(FLAWS)) if chance.random() < flawed else None
    volume = chance.choice((None, *VOLUMES))
    return Call("create", name, chance.choice(list(PROGRAMS)), flaw, volume, chance.choice(TIERS))


class Play:
    """One sequence on one engine. Whatever it made is gone afterwards."""

    def __init__(self, engine: Engine, image: str) -> None:
        self._engine = engine
        self._image = image
        self._run = uuid.uuid4().hex
        self._labels = {"shoal.cluster": "conformance", "shoal.instance": self._run}
        self._programs: dict[str, Program] = {}
        self._made: list[str] = []
        self._heard: list[Event] = []
        self._began = time.time() - 1

    async def answers(self, calls: list[Call]) -> list[Any]:
        """Of each call what it gave and how all is then; at last, by container, what happened to it."""
        listening = asyncio.create_task(self._listen())
        try:
            answers = [(call, await self._one(call), await self._picture()) for call in calls]
            await self._clean()
            return [*answers, await self._ends()]
        finally:
            listening.cancel()
            await self._clean()

    async def _one(self, call: Call) -> Any:
        try:
            return await self._do(call)
        except EngineError as error:
            return _kind(error)

    async def _do(self, call: Call) -> Any:
        engine, name = self._engine, self._name(call.about)
        match call.what:
            case "create":
                container = await engine.create(name, self._body(call))
                self._programs[call.about] = PROGRAMS[call.program]
                self._made.append(container)
            case "start":
                was_running, said = await self._is_running(name), len(await self._log(name))
                await engine.start(name)
                await self._settle(call.about, said if was_running else said + 1)
            case "stop":
                # Who does not listen is not waited for; who listens has the time to say goodbye.
                await engine.stop(name, 10 if self._program(call.about).ready else 0)
            case "kill":
                await engine.kill(name)
                await self._until_over(name)
            case "remove":
                await engine.remove(name)
            case "remove_volume":
                await engine.remove_volume(self._volume(call.about))
            case "logs":
                return await self._log(name)
            case "containers":
                tier = {"tier": call.about}
                return sorted(self._plain(each.name) for each in await engine.containers(self._labels | tier))
            case "image_digest":
                return await engine.image_digest(call.about)
            case "pull":
                await engine.pull(call.about)
            case unknown:
                raise AssertionError(unknown)
        return "done"

    def _name(self, about: str) -> str:
        return f"-{self._run}" if about.startswith("-") else f"{self._run}.{about}"

    def _program(self, about: str) -> Program:
        return self._programs.get(about, PROGRAMS["stays"])

    def _volume(self, about: str) -> str:
        return f"{self._run}-{about}"

    def _plain(self, name: str) -> str:
        return name.removeprefix(f"{self._run}.")

    def _body(self, call: Call) -> dict[str, Any]:
        program = PROGRAMS[call.program]
        fields, host = FLAWS[call.flaw] if call.flaw else ({}, {})
        mounts = [{"Type": "volume", "Source": self._volume(call.volume), "Target": "/data"}] if call.volume else []
        return {
            "Image": self._image,
            "Cmd": program.command,
            "Labels": self._labels | {"tier": call.tier},
            "StopTimeout": 5,
            **fields,
            "HostConfig": {"NetworkMode": "none", "Mounts": mounts, **program.host, **host},
        }

    async def _settle(self, about: str, lines: int) -> None:
        """Until a program that was started is where it stays: over, or ready and has said so many lines."""
        program, name = self._program(about), self._name(about)
        if program.ends:
            await self._until_over(name)
        if program.ready:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(await self._log(name)) < lines:  # noqa: ASYNC110 - the port has no wait
                    await asyncio.sleep(0.02)

    async def _until_over(self, name: str) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self._is_running(name):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def _is_running(self, name: str) -> bool:
        return (await self._engine.inspect(name)).state == "running"

    async def _log(self, name: str) -> list[bytes]:
        async with aclosing(self._engine.logs(name, follow=False, since=None, tail=None)) as lines:
            return [line.text async for line in lines]

    async def _picture(self) -> Any:
        listed = await self._engine.containers(self._labels)
        states = sorted((self._plain(each.name), each.state, each.labels["tier"]) for each in listed)
        return states, [await self._inspected(name) for name in NAMES]

    async def _inspected(self, name: str) -> Any:
        try:
            found = await self._engine.inspect(self._name(name))
        except EngineError as error:
            return _kind(error)
        # A real engine may note a lack of memory too late for the container, but never forgets that it did.
        lacked = found.state == "exited" and await self._engine.lacked_memory(
            found.container_id, self._began, time.time()
        )
        return _comparable(replace(found, oom_killed=found.oom_killed or lacked))

    async def _clean(self) -> None:
        for each in await self._engine.containers(self._labels):
            await self._engine.remove(each.container_id)
        for volume in VOLUMES:
            await self._engine.remove_volume(self._volume(volume))

    async def _listen(self) -> None:
        async for event in self._engine.events(self._labels, self._began):
            self._heard.append(event)

    async def _ends(self) -> list[list[str]]:
        """What happened to each container, in the order in which they were made; the last is its removal."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sum(event.action == "destroy" for event in self._heard) < len(self._made):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return [[event.action for event in self._heard if event.container_id == made] for made in self._made]


def _comparable(found: Inspected) -> dict[str, Any]:
    return {
        "state": found.state,
        "exit code": found.exit_code,
        "out of memory": found.oom_killed,
        "has error": bool(found.error),
        "was started": found.started_at is not None,
        "has ended": found.finished_at is not None,
        "in order": found.state != "exited" or (found.started_at or 0) <= (found.finished_at or 0),
        "ports": found.ports,
        "tty": found.tty,
        "stop timeout": found.stop_timeout_seconds,
        "tier": found.labels["tier"],
    }


def _kind(error: EngineError) -> str:
    """The port's own name of it: an engine may have finer ones."""
    ours = [kind for kind in type(error).__mro__ if getattr(port, kind.__name__, None) is kind]
    assert error.message and not re.search(r"^\s|\s$", error.message), "an error says something"
    return str(ours[0].__name__)
