"""The programs of a cluster, each as one process of the simulation: schedulers, agents with their engines."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import grpc
from shoal.rpc import Credentials
from shoal_agent import __main__ as agent_program
from shoal_agent.configuration import Configuration as AgentRules
from shoal_agent.definition.labels import Owner
from shoal_agent.definition.labels import read as read_labels
from shoal_agent.engine.port import EngineTimeout, Event
from shoal_agent.fingerprint import Fingerprint
from shoal_agent.life.case import Surroundings
from shoal_agent.life.cgroup import Cgroups
from shoal_agent.life.verdict import EngineStart
from shoal_agent.logs.store import LogStore
from shoal_agent.memory import record
from shoal_agent.memory.journal import JournalFault, JournalFile
from shoal_agent.memory.record import Entry, Memory
from shoal_agent.reporter import Reporter
from shoal_agent.session import Caller, Session
from shoal_agent.slots import Pulls, Slots
from shoal_agent.watch import Watch
from shoal_agent.worker import Worker
from shoal_scheduler import __main__ as scheduler_program
from shoal_scheduler import leader
from shoal_scheduler.configuration import Configuration
from shoal_scheduler.leader import Leadership
from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc

from tests.fakes.memory_engine import MemoryEngine
from tests.simulation.ring2 import etcd_service
from tests.simulation.ring2.channel import Channel
from tests.simulation.ring2.loop import CURRENT, Process, VirtualLoop
from tests.simulation.ring2.network import Certificate, Network

CLUSTER = "default"
CPU, MEMORY_MIB = 4096, 4096
ENGINE_TIMEOUTS_SECONDS = {"ping": 5.0, "containers": 10.0}
ENGINE_TIMEOUT_SECONDS = 60.0


def certificate(folder: Path, role: str, name: str) -> Path:
    """A file in place of a certificate's: it names its holder."""
    path = folder / f"{role}-{name}"
    path.write_bytes(f"shoal://{CLUSTER}/{role}/{name}".encode())
    return path


async def scheduler(name: str, folder: Path) -> None:
    mine = certificate(folder, "scheduler", name)
    endpoint = f"{name}:7600"
    config = Configuration(endpoint, endpoint, name, (etcd_service.ENDPOINT,), mine, mine, mine, cluster=CLUSTER)
    await scheduler_program.serve(config)


class Keeper:
    """The lease's thread: a process of its own, so that it goes on while the scheduler's loop is blocked."""

    def __init__(
        self, network: Network, _endpoints: Any, credentials: Credentials, leadership: Leadership, progress_at: Any
    ) -> None:
        scheduler = CURRENT.get()
        assert scheduler is not None
        self._loop: VirtualLoop = network.loop
        self._scheduler = scheduler
        self._thread = Process(scheduler.host, scheduler.skew_seconds, thread_of=scheduler)
        self._network = network
        self._credentials = credentials
        self._leadership = leadership
        self._progress_at = progress_at
        self.stopping = False
        self.ended = False
        self.excused = False

    @property
    def host(self) -> str:
        return self._scheduler.host

    @property
    def lease(self) -> int:
        return self._leadership.lease

    @property
    def at_work(self) -> bool:
        """Not held, and not just let go either: then it first finds out what time it is."""
        process = self._scheduler
        return not process.held and self._loop.now > process.went_on_at + 0.5

    @property
    def leads(self) -> bool:
        """As far as it knows itself."""
        return not (self.stopping or self.ended or self._thread.killed)

    def start(self) -> None:
        self._loop.start(self._thread, self._run())

    def stop(self) -> None:
        self.stopping = True

    async def _run(self) -> None:
        channel: Any = Channel(self._network, etcd_service.ENDPOINT, Certificate(self._credentials.certificate))
        leases, steps = pb_grpc.LeaseStub(channel), leader.renewals(self._leadership, self._progress_at)
        step = next(steps, None)
        while step is not None:
            answer = await self._do(step, leases)
            if self.stopping:
                return
            try:
                step = steps.send(answer)
            except StopIteration:
                step = None
        self.ended = True
        self._loop.call_soon(self._leadership.lose, context=self._scheduler.context)

    async def _do(self, step: Any, leases: Any) -> int | None:
        lease = self._leadership.lease
        try:
            match step:
                case leader.Pause(seconds):
                    await asyncio.sleep(seconds)
                case leader.Renew(timeout_seconds):
                    async with asyncio.timeout(timeout_seconds):
                        answer = await leases.LeaseKeepAlive([pb.LeaseKeepAliveRequest(ID=lease)]).read()
                    return int(answer.TTL)
                case leader.GiveBack():
                    await leases.LeaseRevoke(pb.LeaseRevokeRequest(ID=lease), timeout=leader.CALL_TIMEOUT_SECONDS)
        except (grpc.aio.AioRpcError, TimeoutError):
            pass
        return None


class LateJournal:
    """Writes with a delay and without a thread; a full disk if it is told so."""

    def __init__(self, folder: Path, chance: Random, is_full: Callable[[], bool]) -> None:
        self._file = JournalFile(folder)
        self._chance = chance
        self._order = asyncio.Lock()
        self._is_full = is_full

    @property
    def memory(self) -> Memory:
        return self._file.memory

    async def append(self, *entries: Entry) -> None:
        async with self._order:
            await asyncio.sleep(self._chance.uniform(0.0005, 0.01))
            fault = OSError(28, "No space left on device") if self._is_full() else self._file.write(entries)
        if fault is not None:
            raise JournalFault(*fault.args)

    def close(self) -> None:
        self._file.close()


class LateEngine:
    """An engine as its agent has it: every call takes a while, and may hang."""

    def __init__(self, memory: MemoryEngine, chance: Random, on_start: Callable[[Any], None]) -> None:
        """on_start: told of the container at each start that took effect."""
        self.memory = memory
        self.hangs: asyncio.Event | None = None
        self._chance = chance
        self._on_start = on_start

    @property
    def local(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.memory, name)
        if not asyncio.iscoroutinefunction(call):
            return call

        async def late(*args: Any, **named: Any) -> Any:
            return await self._call(name, call, args, named)

        return late

    async def _call(self, name: str, call: Any, args: Any, named: Any) -> Any:
        await self._wait(name)
        starts = self._starts(args) if name == "start" else 0
        try:
            result = await call(*args, **named)
        finally:
            if name == "start" and self._starts(args) > starts:
                self._tell_start(args[0])
        await self._wait(name)
        return result

    def wake(self) -> None:
        if self.hangs is not None:
            self.hangs.set()
            self.hangs = None

    async def _wait(self, name: str) -> None:
        await asyncio.sleep(self._chance.uniform(0.001, 0.03))
        if self.hangs is not None:
            try:
                async with asyncio.timeout(ENGINE_TIMEOUTS_SECONDS.get(name, ENGINE_TIMEOUT_SECONDS)):
                    await self.hangs.wait()
            except TimeoutError:
                raise EngineTimeout(f"{name}: no answer in time") from None

    def _boxes(self, container: str) -> list[Any]:
        return [box for box in self.memory.boxes.values() if container in (box.container_id, box.name)]

    def _starts(self, args: Any) -> int:
        return sum(box.starts for box in self._boxes(args[0]))

    def _tell_start(self, container: str) -> None:
        for box in self._boxes(container):
            self._on_start(box)

    async def events(self, labels: Mapping[str, str], since: float) -> AsyncGenerator[Event, None]:
        async for event in self.memory.events(labels, since):
            await asyncio.sleep(self._chance.uniform(0.001, 0.02))
            yield event

    async def close(self) -> None:
        pass


class _Silent:
    """In place of what an agent does beside its tasks: the metadata's endpoint, the clean-up of images, samples."""

    def __init__(self) -> None:
        self.newest = None
        self.changed = asyncio.Event()

    async def run(self) -> None:
        await asyncio.Event().wait()


class Host:
    """A machine that runs tasks: its engine and its disk outlive its agent."""

    def __init__(self, name: str, folder: Path, endpoints: list[str], chance: Random, on_start: Any) -> None:
        self.name = name
        self.folder = folder / name
        self.memory = MemoryEngine(images=("app",))
        self.engine = LateEngine(self.memory, chance, lambda box: on_start(self, box))
        self.journal: LateJournal | None = None
        self.around: Surroundings | None = None
        self.worker: Worker | None = None
        self.epoch_seen = 0
        self.disk_full = False
        self._endpoints = endpoints
        self._chance = chance

    async def agent(self) -> None:
        rules = AgentRules(dead_container_keep_seconds=20.0)
        self.folder.mkdir(exist_ok=True)
        mine = certificate(self.folder, "agent", self.name)
        credentials = Credentials.load(mine, mine, mine)
        journal: Any = LateJournal(self.folder, self._chance, lambda: self.disk_full)
        self.journal = journal
        incarnation = max(journal.memory.incarnation + 1, time.time_ns() // 1_000_000)
        await journal.append(record.incarnation(incarnation))
        engine: Any = self.engine
        around = Surroundings(
            engine=engine,
            journal=journal,
            log_store=LogStore(self.folder / "logs", rules.log_host_mib * 1024**2, rules.log_keep_seconds),
            reporter=Reporter(),
            rules=rules,
            owner=Owner(CLUSTER, self.name, journal.memory.epoch),
            creates=Slots(max(1, rules.concurrent_starts // 2)),
            starts=Slots(rules.concurrent_starts),
            pulls=Pulls(engine, rules.concurrent_pulls),
            engine_trouble=asyncio.Event(),
            engine_start=EngineStart(),
            cgroups=Cgroups(self.name),
        )
        worker = Worker(around, [task.as_task(task_id) for task_id, task in journal.memory.tasks.items()])
        self.around, self.worker = around, worker
        watch = Watch(around, worker)
        caller = Caller(credentials, incarnation, self._fingerprint(), f"{self._chance.getrandbits(64):x}")
        beside: Any = _Silent()
        session = Session(self._endpoints, caller, around, worker, watch, beside)
        await agent_program._work(around, watch, worker, session, beside, beside, beside, beside, None, ())

    def _fingerprint(self) -> Fingerprint:
        attributes = {"ecs.os-type": "linux", "ecs.cpu-architecture": "x86_64"}
        return Fingerprint(CPU, MEMORY_MIB, (22,), (), (), attributes, {}, self.name, {})

    @property
    def epoch(self) -> int:
        """The highest that its agent obeys."""
        return self.around.owner.epoch if self.around is not None else 0

    def running(self) -> dict[str, Any]:
        """The containers that run, by their names."""
        return {box.name: box for box in self.memory.boxes.values() if box.state == "running"}

    @staticmethod
    def task_of(box: Any) -> str:
        tag = read_labels(box.labels)
        assert tag is not None
        return tag.task_id

    def crash(self) -> None:
        """What the process held is let go: its files are closed."""
        if self.journal is not None:
            self.journal.close()
            self.journal = None
