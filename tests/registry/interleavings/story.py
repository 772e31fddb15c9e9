"""What happens in one seed: bursts of everything at once, and quiet between them, for as long as a grace or none."""

import asyncio
import logging
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from shoal_registry.garbage import Report
from shoal_registry.names import Digest
from shoal_registry.storage import paths

from tests.registry.interleavings.checks import split
from tests.registry.interleavings.clients import Action, Clients
from tests.registry.interleavings.memory import Ambush
from tests.registry.interleavings.world import GRACE_SECONDS, Instance, World

BURSTS = 5
BURST_SECONDS = 8.0
QUIET_SECONDS = tuple(share * GRACE_SECONDS for share in (0.0, 0.2, 0.55, 0.8, 1.15, 1.3, 1.6))
# A crash comes within so many steps of a process.
STEPS = 200
# A collection does about so much to a blob that goes, and to its content.
OPERATIONS_ON_ONE = 16


@dataclass(frozen=True, slots=True)
class Result:
    violations: list[str]
    facts: Counter[str]
    operations: int


def run(seed: int, bug: AbstractContextManager[None] | None = None) -> Result:
    """A seed is the same story every time."""
    logging.getLogger("shoal_registry").setLevel(logging.CRITICAL)
    world = World(seed)
    try:
        with bug or nullcontext():
            story = Story(world)
            world.loop.run_until(world.loop.start(world.clients, story.run()))
        for fault in world.loop.faults:
            world.checks.violated(fault)
        return Result(world.checks.violations, world.checks.facts, world.store.operations)
    finally:
        world.close()


class Story:
    def __init__(self, world: World) -> None:
        self.world = world
        self.clients = Clients(world)
        self.is_old = world.chance.random() < 0.25
        self._under_way: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        chance = self.world.chance
        if self.is_old:
            await self._begin_old()
        for _ in range(BURSTS):
            if chance.random() < 0.5:
                await self.clients.live(self._ambush)
            else:
                for _ in range(chance.randint(3, 6)):
                    self._start(self._choice())
            if chance.random() < 0.7:
                self._start(self._collect)
            if chance.random() < 0.6:
                self._let_one_die()
            await asyncio.sleep(BURST_SECONDS)
            await asyncio.sleep(chance.choice(QUIET_SECONDS))
            if self.world.checks.violations:
                return
        await self._end()

    def _choice(self) -> Action:
        clients = self.clients
        weights: dict[Action, int] = {
            clients.push: 6,
            clients.push_index: 1,
            clients.upload_and_leave: 3,
            clients.pull: 3,
            clients.delete_tag: 1,
            clients.delete_manifest: 3,
            clients.delete_blob: 1,
            self._collect: 2,
            self._clean: 1,
        }
        return self.world.chance.choices(list(weights), list(weights.values()))[0]

    def _start(self, action: Action) -> None:
        async def later() -> None:
            await asyncio.sleep(self.world.chance.uniform(0, BURST_SECONDS))
            await self.clients.live(action)

        self._under_way.append(asyncio.ensure_future(later()))

    async def _ambush(self) -> None:
        """Somebody wants a blob at one of the operations that a collection does on it."""
        chance = self.world.chance
        left = [await self.clients.leave() for _ in range(2)]
        # Mostly for long enough that it goes.
        await asyncio.sleep(chance.choice(QUIET_SECONDS[-5:]))
        for repository, content in left:
            self._arm(content, await self.clients.prepare(repository, content))
        self._start(self._collect)

    def _arm(self, content: bytes, action: Action) -> None:
        def act() -> None:
            task = self.world.loop.start(self.world.clients, self.clients.live(action))
            self._under_way.append(task)

        number = self.world.chance.choice((0, 1, self.world.chance.randrange(OPERATIONS_ON_ONE)))
        self.world.store.ambushes.append(Ambush(Digest.of(content).hex, number, act))

    def _let_one_die(self) -> None:
        victim = self.world.instance
        self.world.checks.facts["crashes"] += 1
        if self.world.chance.random() < 0.3:
            asyncio.get_running_loop().call_later(self.world.chance.uniform(0, BURST_SECONDS), self.world.crash, victim)
            return
        process = victim.process
        process.on_death.append(lambda: self.world.crash(victim))
        process.die_at_call = process.calls + self.world.chance.randrange(STEPS)

    async def _collect(self) -> None:
        self.world.checks.facts["collections"] += 1
        instance = self.world.instance
        self._must_be_sound(await instance.ask(instance.collector.collect()))

    async def _clean(self) -> None:
        instance = self.world.instance
        # By the store's clock, which is the one that files are written by.
        await instance.ask(instance.uploads.clean(self.world.loop.now - GRACE_SECONDS))

    async def _begin_old(self) -> None:
        """With what a registry wrote before there was a grace: links that say nothing, manifests without holders."""
        await self.clients.live(self.clients.push)
        store = self.world.store
        for path in list(store.files):
            if path.parts[0] == "repositories" and split(path)[1] == "_blobs":
                store.plant(path, b"")
            if path.parts[0] == "holders" and self._is_of_manifest(path.parts[3], path.parts[2]):
                store.plant(path, None)

    def _is_of_manifest(self, holder: str, hex_digits: str) -> bool:
        repository = paths.repository_named(holder)
        return any(each.hex == hex_digits for each in self.world.checks.links(repository, "_manifests"))

    async def _end(self) -> None:
        """After a few graces in quiet, nothing is left but what must be."""
        for each in self.world.store.ambushes:
            each.act()
        self.world.store.ambushes.clear()
        await asyncio.gather(*self._under_way)
        self.world.checks.all_is_whole()
        instance = Instance(self.world, 0)
        for _ in range(3):
            await asyncio.sleep(1.6 * GRACE_SECONDS)
            before = {path: file.content for path, file in self.world.store.files.items()}
            would = await instance.ask(instance.collector.collect(is_dry=True))
            if before != {path: file.content for path, file in self.world.store.files.items()}:
                self.world.checks.violated("a dry run wrote something")
            did = await instance.ask(instance.collector.collect())
            self._must_be_sound(did)
            if (would.links, would.contents) != (did.links, did.contents):
                self.world.checks.violated(f"a dry run said {would}, and the next {did}")
            await instance.ask(instance.uploads.clean(self.world.loop.now - GRACE_SECONDS))
        self.world.checks.all_is_whole()
        self.world.checks.nothing_is_left(has_all_holders=not self.is_old)
        self.clients.nothing_acknowledged_is_lost()

    def _must_be_sound(self, report: Report) -> None:
        if report.failed or report.strange:
            self.world.checks.violated(f"a collection failed: {report}")
