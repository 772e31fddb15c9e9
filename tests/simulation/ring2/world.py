"""A whole cluster in one process and in virtual time: schedulers, agents, engines, an etcd, and who uses them.

etcd ---- s1 s2 s3 ---- h1 .. h5 (agent and engine)
             '---- user (submits, stops) and judge (looks)
"""

import asyncio
import gc
import hashlib
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from contextvars import Context
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from shoal.client import Client
from shoal.context import Context as ClientContext
from shoal_agent.memory.journal import JournalFault
from shoal_scheduler import scheduler as scheduler_life

from tests.simulation.ring2 import programs
from tests.simulation.ring2.checks import Checks
from tests.simulation.ring2.etcd_service import EtcdService
from tests.simulation.ring2.loop import Process, Stuck, VirtualLoop
from tests.simulation.ring2.machine import machine
from tests.simulation.ring2.network import Network
from tests.simulation.ring2.programs import CLUSTER, Host, Keeper, certificate

SKEW_SECONDS_MAX = 600.0
RESTART_SECONDS = 1.0
_collect = gc.collect
LINES_KEPT = 60


@dataclass(slots=True)
class Trace:
    """What happened, line by line: a hash of all, the last lines."""

    loop: VirtualLoop
    keep: int | None = LINES_KEPT
    lines: deque[str] = field(init=False)
    _hash: Any = field(default_factory=hashlib.sha256)

    def __post_init__(self) -> None:
        self.lines = deque(maxlen=self.keep)

    def say(self, who: str, what: str) -> None:
        line = f"{self.loop.now:10.4f} {who:8} {what}"
        self._hash.update(line.encode())
        self.lines.append(line)

    @property
    def digest(self) -> str:
        return str(self._hash.hexdigest())


class World:
    """`chance` decides what goes wrong and what is asked for; `noise` how long things take."""

    def __init__(self, seed: int, folder: Path, keep_lines: int | None = LINES_KEPT) -> None:
        self.seed = seed
        self.folder = folder
        self.chance, self.noise = Random(f"chance {seed}"), Random(f"noise {seed}")
        self.loop = VirtualLoop()
        self.trace = Trace(self.loop, keep_lines)
        self.network = Network(self.loop, self.noise, self.trace.say)
        self.schedulers = [f"s{number}" for number in range(1, self.chance.randint(1, 3) + 1)]
        endpoints = [f"{name}:7600" for name in self.schedulers]
        self.checks = Checks(self)
        self.network.on_dial = self.checks.on_dial
        self.network.on_answer = lambda host, _method: self.checks.on_welcome(host)
        names = [f"h{number}" for number in range(1, self.chance.randint(1, 5) + 1)]
        self.hosts = {
            name: Host(name, folder, self.chance.sample(endpoints, len(endpoints)), self.noise, self._started)
            for name in names
        }
        self.etcd = EtcdService(self.loop.time, self.noise, self.checks.on_txn, self.checks.on_campaign)
        self.running: dict[str, Process] = {}
        self.gone: list[Process] = []
        self._endpoints = endpoints

    # Processes.

    def begin(self) -> None:
        self._start("etcd", lambda: self.etcd.run())
        for name in (*self.schedulers, *self.hosts):
            self.start(name)

    def start(self, name: str) -> None:
        """A scheduler, or a host's agent."""
        skew = self.chance.uniform(-SKEW_SECONDS_MAX, SKEW_SECONDS_MAX)
        if name in self.hosts:
            self._start(name, self.hosts[name].agent, skew)
        else:
            self._start(name, lambda: programs.scheduler(name, self.folder), skew)

    def _start(self, name: str, program: Callable[[], Any], skew_seconds: float = 0.0) -> Process:
        self.trace.say(name, "starts")
        process = self.running[name] = Process(name, skew_seconds)
        process.on_death.append(lambda: self._died(name, process))
        task = self.loop.start(process, program())
        # Apart from the process, which may be dead by then.
        task.add_done_callback(lambda done: self._ended(name, process, done), context=Context())
        return process

    def _ended(self, name: str, process: Process, task: "asyncio.Task[Any]") -> None:
        if process.killed or task.cancelled():
            return
        error = task.exception()
        if not isinstance(error, JournalFault):
            self.checks.violated(f"{name} ended by itself: {error!r}")
            return
        # An agent whose disk takes nothing does not begin: whoever started it starts it again.
        process.kill()
        self.loop.call_later(RESTART_SECONDS, self._start_again, name)

    def _start_again(self, name: str) -> None:
        if name not in self.running:
            self.start(name)

    def crash(self, name: str, silently: bool = False) -> None:
        process = self.running.get(name)
        if process is not None:
            process.host_gone = silently
            process.kill()

    def _died(self, name: str, process: Process) -> None:
        self.trace.say(name, "is killed")
        self.running.pop(name, None)
        self.gone.append(process)
        self.network.died(process, process.host_gone)
        if name in self.hosts:
            self.hosts[name].crash()

    def freeze(self, name: str, seconds: float, whole: bool) -> None:
        """Its event loop, or the whole process with its threads. Who is held goes on when he would have."""
        process = self.running.get(name)
        if process is None or process.held:
            return
        self.trace.say(name, f"held for {seconds:.1f} s")
        held = [process, *(process.threads if whole else ())]
        for each in held:
            self.loop.hold(each)
        if whole:
            self.network.frozen(process)
        for each in held:
            self.loop.call_later(seconds, self.loop.go_on, each)

    # Containers.

    def _started(self, host: Host, box: Any) -> None:
        self.trace.say(host.name, f"starts container {box.name}")
        self.checks.on_start(host, host.task_of(box))
        command = box.body.get("Cmd") or []
        if command[-1:] == ["60"]:
            starts, seconds, code = box.starts, self.noise.uniform(1.0, 30.0), self.noise.choice((0, 0, 1))
            self.loop.call_later(seconds, self._over, host, box, starts, code)

    def _over(self, host: Host, box: Any, starts: int, code: int) -> None:
        if box.container_id in host.memory.boxes and box.starts == starts:
            host.memory.end(box.name, code)

    # Clients.

    def client(self, name: str) -> Client:
        mine = certificate(self.folder, "operator", name)
        return Client(ClientContext(name, tuple(self._endpoints), CLUSTER, mine, mine, mine))

    def on_host(self, name: str, work: Any) -> "asyncio.Task[Any]":
        process = self.running.get(name) or Process(name)
        self.running[name] = process
        return self.loop.start(process, work)


@dataclass(frozen=True, slots=True)
class Result:
    trace_hash: str
    violations: list[str]
    seconds: float  # of virtual time
    lines: list[str]
    facts: dict[str, int]


def play(seed: int, story: Callable[[World], Any], mutant: Any = None, keep_lines: int | None = LINES_KEPT) -> Result:
    """Runs the story in a world of its own. The same for the same seed."""
    with tempfile.TemporaryDirectory(prefix="shoal-sim-", dir=_memory()) as folder, ExitStack() as stack:
        world = World(seed, Path(folder), keep_lines)

        def keeper(*args: Any) -> Keeper:
            made = Keeper(world.network, *args)
            world.checks.on_lead(made)
            return made

        faults = stack.enter_context(
            machine(world.loop, world.network, seed, [(scheduler_life, "LeaseKeeper", keeper)])
        )
        if mutant is not None:
            stack.enter_context(mutant())
        try:
            world.loop.run_until(world.loop.create_task(story(world)))
        except (Stuck, AssertionError) as error:
            world.checks.violated(f"{type(error).__name__}: {error}")
        for fault in (*faults, *world.loop.faults):
            world.checks.violated(f"a fault of a program: {fault}")
        checks, trace = world.checks, world.trace
        result = Result(trace.digest, checks.violations, world.loop.now, list(trace.lines), dict(checks.facts))
        _let_go(world)
    return result


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _let_go(world: World) -> None:
    """What was under way is dropped, and nothing comes of what it still does."""
    world.loop.over = True
    for host in world.hosts.values():
        host.crash()
    for process in (*world.running.values(), *world.gone):
        for each in (process, *process.threads):
            for task in each.tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    with suppress(BaseException):
                        task.get_coro().close()
            each.tasks.clear()
    world.network.connections.clear()
    world.network.listening.clear()
    world.loop._ready.clear()  # type: ignore[attr-defined]
    world.loop._scheduled.clear()  # type: ignore[attr-defined]
    vars(world).clear()
    _collect()
