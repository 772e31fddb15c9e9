"""Random lives of tasks on networks that are kept ready: whatever goes wrong, no two ever share one.

Agents are killed, answers of the engine get lost or come before what they answer has happened, keepers are killed, the
engine goes away. A container may start on a network only if it alone is on it, and nobody was since it was last found
as it was made.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.engine.port import EngineTimeout
from shoal_agent.networks import ready
from shoal_agent.networks.namespaces import Finding, Used

from tests.fakes import container_body
from tests.fakes.memory_engine import MemoryEngine
from tests.fakes.memory_namespaces import MemoryNamespaces
from tests.unit.agent.rig import PATIENCE_SECONDS, Rig, assignment, quick

STEPS = 60
LATE_SECONDS = 0.05


class Watched(MemoryEngine):
    """`joined`: how many starts on a network that was kept ready. `used_by`: by keeper, who was on its network since
    somebody looked. `late`: how likely a start is reported as not done, and happens later."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.late = 0.0
        self.joined = 0
        self.used_by: dict[str, str] = {}
        self.wrong: list[str] = []
        self._later: set[asyncio.Task[None]] = set()

    async def start(self, container: str) -> None:
        if self.chance.random() < self.late:
            later = asyncio.create_task(self._start_later(container))
            self._later.add(later)
            later.add_done_callback(self._later.discard)
            raise EngineTimeout("timed out")
        try:
            await super().start(container)
        finally:
            self._judge(container)

    async def _start_later(self, container: str) -> None:
        await asyncio.sleep(LATE_SECONDS * self.chance.random())
        try:
            await super().start(container)
        except Exception:  # it may be gone by then
            return
        finally:
            self._judge(container)

    def _judge(self, container: str) -> None:
        for box in self.boxes.values():
            keeper = container_body.joins(box.body)
            if keeper is None or container not in (box.container_id, box.name) or box.state != "running":
                continue
            self.joined += 1
            before = self.used_by.setdefault(keeper, box.name)
            if before != box.name:
                self.wrong.append(f"{box.name} is where {before} was")


class Looking(MemoryNamespaces):
    def __init__(self, engine: Watched) -> None:
        super().__init__(engine)
        self._watched = engine

    def look(self, used: Sequence[Used]) -> list[Finding]:
        findings = super().look(used)
        for each, finding in zip(used, findings, strict=True):
            if finding == Finding():
                self._watched.used_by.pop(each.namespace.container_id, None)
        return findings


class History:
    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.engine = Watched(self.chance)
        rules = Configuration(ready_networks=3, concurrent_starts=2, dead_container_keep_seconds=0.0)
        self.rig = Rig(folder, self.engine, rules, namespaces=Looking(self.engine))
        self.tasks = 0
        self.live: list[str] = []

    async def run(self) -> None:
        await self.rig.start()
        while not self.engine.joined:  # until there are any to join
            await self.begin()
            await asyncio.sleep(0.01)
        deeds: list[Callable[[], Coroutine[Any, Any, None]]] = [
            *(self.begin, self.begin, self.begin, self.end, self.end, self.stop, self.be_late, self.lose_an_answer),
            *(self.kill_a_keeper, self.kill_the_agent, self.go_away),
        ]
        for _ in range(STEPS):
            await self.chance.choice(deeds)()
            await asyncio.sleep(0.01 * self.chance.random())
        self.engine.late, self.engine.answers_lost = 0.0, 0
        for task_id in self.live:
            self.rig.ask_to_stop(task_id)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.rig.worker):  # noqa: ASYNC110 - the worker tells nobody when it has nothing left
                await asyncio.sleep(0.01)
        await self.rig.crash()

    async def begin(self) -> None:
        for _ in range(self.chance.randint(1, 4)):
            self.tasks += 1
            self.live.append(f"t{self.tasks}")
            command = self.chance.choice([None, ["sh", "-c", "exit 0"]])
            self.rig.assign(assignment(self.live[-1], command))

    async def end(self) -> None:
        running = [box.name for box in self.engine.boxes.values() if box.state == "running" and ".web" in box.name]
        if running:
            self.engine.end(self.chance.choice(running), 0)

    async def stop(self) -> None:
        if self.live:
            self.rig.ask_to_stop(self.chance.choice(self.live))

    async def be_late(self) -> None:
        self.engine.late = self.chance.choice([0.0, 0.0, 0.3])

    async def lose_an_answer(self) -> None:
        self.engine.answers_lost = 1

    async def kill_a_keeper(self) -> None:
        keepers = [box.name for box in self.engine.boxes.values() if "ready-network" in box.name]
        if keepers:
            self.engine.take_away(self.chance.choice(keepers))

    async def kill_the_agent(self) -> None:
        await self.rig.crash()
        await self.rig.start()
        self.rig.assign(*(assignment(task_id) for task_id in self.live if self.rig.worker.lane(task_id)))

    async def go_away(self) -> None:
        self.engine.go_down()
        await self.rig.until(lambda: self.rig.watch.status != "OK")
        self.engine.restart(live_restore=self.chance.random() < 0.5)
        await self.rig.until(lambda: self.rig.watch.status == "OK")


@pytest.mark.parametrize("seed", range(6))
async def test_no_two_share_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    quick(monkeypatch)
    for name in ("RETRY_SECONDS", "LOOK_SECONDS", "LISTING_SECONDS"):
        monkeypatch.setattr(ready, name, 0.01)
    history = History(tmp_path, seed)
    await history.run()
    assert not history.engine.wrong
