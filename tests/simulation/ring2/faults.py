"""What goes wrong: drawn from the seed, one thing after another and several at once; then all is mended."""

import asyncio
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from shoal_scheduler.state import keys

if TYPE_CHECKING:
    from tests.simulation.ring2.world import World

TROUBLES = (2, 14)
CALLS_UNTIL_DEATH_MAX = 80


class Faults:
    def __init__(self, world: "World", only: Collection[str] = ()) -> None:
        """`only`: names of kinds, as the trace has them; all if there are none."""
        self._world = world
        self._chance = world.chance
        self._until = 0.0
        self._kinds: dict[Callable[[], None], float] = {
            self._slow: 2,
            self._cut: 3,
            self._half_open: 2,
            self._reset: 2,
            self._resets: 1,
            self._crash: 4,
            self._crash_all: 0.5,
            self._hold: 2,
            self._block: 2,
            self._etcd_away: 1.5,
            self._etcd_forgets_to_answer: 1.5,
            self._etcd_slow_then_cut: 1.5,
            self._lease_lost: 1,
            self._compaction: 1,
            self._etcd_full: 1,
            self._engine_down: 1.5,
            self._engine_hangs: 1.5,
            self._engine_loses_answers: 1,
            self._container_ends: 1,
            self._container_taken_away: 1,
            self._events_stop: 1,
            self._disk_full: 0.7,
        }
        if only:
            self._kinds = {kind: weight for kind, weight in self._kinds.items() if _name(kind) in only}

    async def run(self, seconds: float) -> None:
        """So many troubles at moments of their own, all of them over in time."""
        chance, loop = self._chance, self._world.loop
        self._until = loop.now + seconds
        for _ in range(chance.randint(*TROUBLES)):
            kind = chance.choices(list(self._kinds), list(self._kinds.values()))[0]
            loop.call_at(loop.now + chance.uniform(0.5, seconds * 0.9), self._begin, kind)
        await asyncio.sleep(seconds)

    def _begin(self, kind: Callable[[], None]) -> None:
        self._say(_name(kind))
        self._world.checks.facts["troubles"] += 1
        kind()

    def _say(self, what: str) -> None:
        self._world.trace.say("FAULT", what)

    def _later(self, least: float, most: float, act: Callable[..., Any], *args: Any) -> None:
        """To mend it, or the next part of it; in any case before all is to be well."""
        loop = self._world.loop
        at = min(loop.now + self._chance.uniform(least, most), self._until - 0.01)
        loop.call_at(max(at, loop.now), act, *args)

    def _program(self) -> str:
        return self._chance.choice((*self._world.schedulers, *self._world.hosts))

    def _leader_or_any(self) -> str:
        world = self._world
        leader = world.checks.leader()
        return leader if leader and self._chance.random() < 0.7 else self._chance.choice(world.schedulers)

    # The network.

    def _pair(self) -> tuple[str, str]:
        world, chance = self._world, self._chance
        one = self._leader_or_any()
        return one, chance.choice(("etcd", "user", *world.hosts, *world.hosts))

    def _slow(self) -> None:
        network = self._world.network
        host = self._chance.choice((self._program(), "etcd"))
        network.slow[host] = (0.05, self._chance.choice((0.3, 1.0, 3.0)))
        self._later(2.0, 15.0, network.slow.pop, host, None)

    def _cut(self) -> None:
        """A host from all others, or from one."""
        world, chance = self._world, self._chance
        one, other = self._pair()
        others = [other]
        if chance.random() < 0.4:
            one = self._program()
            others = [each for each in ("etcd", "user", *world.schedulers, *world.hosts) if each != one]
        for each in others:
            world.network.block(one, each)
            world.network.block(each, one)
        self._later(0.5, 30.0, self._join, one, others)

    def _join(self, one: str, others: list[str]) -> None:
        for each in others:
            self._world.network.unblock(one, each)
            self._world.network.unblock(each, one)

    def _half_open(self) -> None:
        pair = self._pair()
        one, other = pair if self._chance.random() < 0.5 else pair[::-1]
        self._world.network.block(one, other)
        self._later(0.5, 30.0, self._world.network.unblock, one, other)

    def _reset(self) -> None:
        self._world.network.reset(*self._pair())

    def _resets(self) -> None:
        network = self._world.network
        network.reset_chance = self._chance.choice((0.01, 0.05))
        self._later(2.0, 10.0, setattr, network, "reset_chance", 0.0)

    # Processes.

    def _crash(self) -> None:
        """Between any two of its next steps."""
        name = self._chance.choice((self._program(), self._leader_or_any()))
        process = self._world.running.get(name)
        if process is None:
            return
        silently = self._chance.random() < 0.3
        process.host_gone = silently
        process.die_at_call = process.calls + self._chance.randint(1, CALLS_UNTIL_DEATH_MAX)
        self._later(0.5 if not silently else 5.0, 12.0, self._restart, name)

    def _restart(self, name: str) -> None:
        self._world.crash(name)  # if it has not come to its end so far
        self._world.start(name)

    def _crash_all(self) -> None:
        for name in self._world.schedulers:
            self._world.crash(name)
            self._later(0.5, 15.0, self._restart, name)

    def _hold(self) -> None:
        self._freeze(whole=True)

    def _block(self) -> None:
        self._freeze(whole=False)

    def _freeze(self, whole: bool) -> None:
        name = self._chance.choice((self._program(), self._leader_or_any()))
        seconds = min(self._chance.choice((0.3, 3.0, 8.0, 25.0)), self._until - self._world.loop.now)
        self._world.freeze(name, seconds, whole)

    # etcd.

    def _etcd_away(self) -> None:
        self._world.etcd.away = True
        self._later(0.5, 15.0, self._world.etcd.return_)

    def _etcd_forgets_to_answer(self) -> None:
        self._world.etcd.unknown = self._chance.choice((0.1, 0.5))
        self._later(2.0, 15.0, setattr, self._world.etcd, "unknown", 0.0)

    def _etcd_slow_then_cut(self) -> None:
        """Its answers are late, and then the leader hears nothing more of it."""
        etcd, leader = self._world.etcd, self._leader_or_any()
        etcd.slow_seconds = self._chance.uniform(0.5, 1.9)
        self._later(2.0, 6.0, self._cut_off, leader)

    def _cut_off(self, name: str) -> None:
        self._world.network.block("etcd", name)
        self._world.network.block(name, "etcd")
        self._world.loop.call_later(2.0, setattr, self._world.etcd, "slow_seconds", 0.0)
        self._later(6.0, 10.0, self._join, name, ["etcd"])

    def _lease_lost(self) -> None:
        """As by an operator who revokes it."""
        model = self._world.etcd.model
        for number, lease in list(model.leases.items()):
            if keys.LEADER in lease.keys:
                lease.expires_at = self._world.loop.now
                self._world.checks.excuse(number)
                self._say(f"lease {number} lapses")

    def _compaction(self) -> None:
        """Of what watches have not been told; and perhaps whoever was behind must lead next."""
        etcd, chance = self._world.etcd, self._chance
        etcd.stalled = chance.random() < 0.8
        self._later(1.0, 3.0, etcd.compact)
        self._later(3.0, 4.0, self._resume, chance.random() < 0.5)

    def _resume(self, leader_dies: bool) -> None:
        self._world.etcd.resume()
        if leader_dies and (leader := self._world.checks.leader()) is not None:
            self._world.crash(leader)
            self._later(2.0, 12.0, self._restart, leader)

    def _etcd_full(self) -> None:
        """The schedulers make room themselves; at first that has no use."""
        etcd = self._world.etcd
        etcd.full = etcd.stays_full = True
        self._later(0.5, 20.0, setattr, etcd, "stays_full", False)

    # Engines.

    def _host(self) -> Any:
        return self._world.hosts[self._chance.choice(list(self._world.hosts))]

    def _engine_down(self) -> None:
        host = self._host()
        host.memory.go_down()
        self._later(0.5, 12.0, self._engine_returns, host, self._chance.random() < 0.6)

    def _engine_returns(self, host: Any, live_restore: bool) -> None:
        if not host.memory.up:
            host.memory.restart(live_restore)

    def _engine_hangs(self) -> None:
        host = self._host()
        if host.engine.hangs is None:
            host.engine.hangs = asyncio.Event()
        self._later(1.0, 40.0, host.engine.wake)

    def _engine_loses_answers(self) -> None:
        self._host().memory.answers_lost += self._chance.randint(1, 3)

    def _container_ends(self) -> None:
        host = self._host()
        if names := sorted(host.running()):
            host.memory.end(self._chance.choice(names), self._chance.choice((0, 1, 137)))

    def _container_taken_away(self) -> None:
        host = self._host()
        if names := sorted(host.running()):
            host.memory.take_away(self._chance.choice(names))

    def _events_stop(self) -> None:
        memory = self._host().memory
        memory.silent_events = True
        self._later(1.0, 20.0, setattr, memory, "silent_events", False)

    def _disk_full(self) -> None:
        host = self._host()
        host.disk_full = True
        self._later(0.5, 10.0, setattr, host, "disk_full", False)


def _name(kind: Callable[[], None]) -> str:
    return kind.__name__.strip("_").replace("_", " ")


def mend(world: "World") -> None:
    """From here on nothing goes wrong any more."""
    network, etcd = world.network, world.etcd
    for one, other in list(network.blocked):
        network.unblock(one, other)
    network.slow.clear()
    network.reset_chance = 0.0
    etcd.unknown, etcd.slow_seconds, etcd.stays_full = 0.0, 0.0, False
    etcd.return_()
    etcd.resume()
    for host in world.hosts.values():
        host.disk_full = False
        host.engine.wake()
        host.memory.silent_events = False
        host.memory.answers_lost = 0
        if not host.memory.up:
            host.memory.restart(live_restore=True)
    for name in (*world.schedulers, *world.hosts):
        process = world.running.get(name)
        if process is None:
            world.start(name)
            continue
        process.die_at_call = None
        for each in (process, *process.threads):
            world.loop.go_on(each)
