"""Host loss under seeded histories: whatever happens, each task has one heir at most and nobody is lost early."""

from collections import Counter
from random import Random

import pytest
from shoal_scheduler.control import host_loss
from shoal_scheduler.control import inputs as i
from shoal_scheduler.model.task import Task, TaskKey

from tests.unit.scheduler.plane import Plane, instance

# The session deadline of a small cluster.
L = 15.0


class Chaos:
    """Hosts come, go and return, leaders change, tasks are run, stopped and end, in any order."""

    names = ("a", "b", "c", "d")

    def __init__(self, seed: int) -> None:
        self.chance, self.plane = Random(seed), Plane(seed)
        self.now = self.led_since = 0.0
        self.heard, self.incarnations = dict.fromkeys(self.names, 0.0), dict.fromkeys(self.names, 0)

    async def begin(self) -> None:
        await self.plane.prepare()
        for name in self.names:
            await self.come(name)

    async def act(self) -> None:
        self.plane.now += 1000
        name = self.chance.choice(self.names)
        live = [task for task in self.plane.tables.tasks() if not task.is_stopped]
        match self.chance.choice(("run", "host", "task", "leader", "wait", "wait")):
            case "run":
                kind = self.chance.choice(("", *host_loss.ON_DISCONNECT))
                count = self.chance.randint(1, 3)
                await self.plane.one(i.RunTask("default", "web", count, queue=True, on_disconnect=kind))
            case "host" if name in self.plane.tables.sessions:
                await self.plane.one(i.SessionClosed(name, self.incarnations[name]))
            case "host":
                await self.come(name)
            case "task" if live:
                await self.end(self.chance.choice(live))
            case "leader":
                self.plane.tables, self.led_since = await self.plane.reloaded(), self.now
            case "wait":
                self.now += self.chance.choice((1.0, 5.0, 20.0, 60.0))
        self.heard.update(dict.fromkeys(self.plane.tables.sessions, self.now))

    async def come(self, name: str) -> None:
        self.incarnations[name] += 1
        await self.plane.one(instance(name, incarnation=self.incarnations[name], watchdog=name in "ab"))

    async def end(self, task: Task) -> None:
        if self.chance.random() < 0.5:
            await self.plane.one(i.StopTask("default", task.id, ""))
        else:
            status = self.chance.choice(("RUNNING", "STOPPED"))
            incarnation = self.incarnations.get(task.instance, 0)
            await self.plane.one(i.TaskReport(task.instance, incarnation, task.id, status))

    async def look(self) -> None:
        looked = host_loss.look(self.plane.tables, self.heard, self.led_since, self.now, self.plane.context)
        await self.plane.run([], looked.changes)

    def check_lost(self, before: set[TaskKey]) -> None:
        """Of what was lost in this very look, that its time had come."""
        tables = self.plane.tables
        for task in tables.tasks():
            if task.is_stopped and task.key not in before:
                silent = self.now - max(self.led_since, self.heard[task.instance])
                assert silent >= host_loss.seconds_until_lost(tables, tables.instances[task.instance], task) >= L
                assert task.instance not in tables.sessions

    def check_heirs(self) -> None:
        tables = self.plane.tables
        heirs = Counter(task.launch.replaces for task in tables.tasks() if task.launch.replaces)
        assert max(heirs.values(), default=0) <= 1
        assert set(tables.replacements) == set(heirs)
        for task in tables.tasks():
            if task.stop_code == "HostLost" and "being stopped" not in task.stopped_reason:
                assert host_loss.replaced_by(tables, task)


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_happens_each_has_one_heir_at_most_and_nobody_is_lost_early(seed: int) -> None:
    chaos = Chaos(seed)
    await chaos.begin()
    for _ in range(100):
        await chaos.act()
        before = {task.key for task in chaos.plane.tables.tasks() if task.is_stopped}
        await chaos.look()
        chaos.check_lost(before)
        chaos.check_heirs()
    reloaded = await chaos.plane.reloaded()
    assert {task.key: task for task in reloaded.tasks()} == {task.key: task for task in chaos.plane.tables.tasks()}
