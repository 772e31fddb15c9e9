"""Whole lives of tasks whose containers join networks that are kept ready, on an engine in memory."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.definition.labels import NETWORK_COUNTERS, READY_NETWORK, counters_from
from shoal_agent.definition.sandbox import ENDED
from shoal_agent.engine.port import EngineUnavailable
from shoal_agent.networks import ready

from tests.fakes.memory_box import Box
from tests.fakes.memory_engine import MemoryEngine
from tests.fakes.memory_namespaces import MemoryNamespaces
from tests.unit.agent.rig import PATIENCE_SECONDS, Rig, assignment, definition, quick

LIMIT = 2


class Host(Rig):
    """A rig with networks, of which `limit` are kept ready."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        engine = MemoryEngine()
        self.spaces = MemoryNamespaces(engine)
        rules = Configuration(ready_networks=limit, dead_container_keep_seconds=0.0)
        super().__init__(folder, engine, rules, namespaces=self.spaces)

    @property
    def keepers(self) -> dict[str, Box]:
        return {box.container_id: box for box in self.engine.boxes.values() if READY_NETWORK in box.labels}

    def network(self, task_id: str) -> str:
        """What its container joined: a keeper's id, or "" for one of its own."""
        mode = self.box(task_id).body["HostConfig"]["NetworkMode"]
        return str(mode.partition(":")[2])

    async def run(self, task_id: str, **more: Any) -> str:
        self.assign(assignment(task_id, **more))
        await self.report(task_id, "RUNNING")
        return self.network(task_id)

    async def end(self, task_id: str) -> None:
        self.engine.end(self.name(task_id), 0)
        await self.report(task_id, "STOPPED")
        await self.until(lambda: self.worker.lane(task_id) is None or self.name(task_id) not in self.names)

    @property
    def names(self) -> set[str]:
        return {box.name for box in self.engine.boxes.values()}

    async def warm(self) -> set[str]:
        """A first task asks for a network; returns those that are then kept."""
        await self.run("first")
        await self.until(lambda: [box.state for box in self.keepers.values()] == ["running"] * LIMIT)
        await self.end("first")
        return set(self.keepers)


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    quick(monkeypatch)
    monkeypatch.setattr(ready, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(ready, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(ready, "LISTING_SECONDS", 0.05)
    made = Host(tmp_path)
    await made.start()
    yield made
    await made.crash()


async def test_a_host_that_starts_nothing_keeps_none(host: Host) -> None:
    await host.until(lambda: ("containers", "") in host.engine.calls)
    assert not host.keepers


async def test_tasks_join_ready_ones_each_its_own_and_leave_them_to_others(host: Host) -> None:
    kept = await host.warm()
    joined = {await host.run("a"), await host.run("b")}
    assert joined <= kept and len(joined) == 2
    assert "" not in joined
    await host.end("a")
    assert await host.run("c") in set(host.keepers)
    assert host.network("c") != host.network("b")
    assert counters_from(host.box("c").labels[NETWORK_COUNTERS])["eth0"]["rx_bytes"] == 90


async def test_what_is_lent_for_long_is_replaced(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = await host.warm()
    monkeypatch.setattr("shoal_agent.networks.policy.TURNOVER_SECONDS", 0.0)
    await host.run("a")
    await host.until(lambda: len(host.keepers) > len(kept))


async def test_off_by_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    host = Host(tmp_path, limit=0)
    await host.start()
    assert [await host.run(task) for task in ("a", "b", "c")] == ["", "", ""]
    assert not host.keepers
    await host.crash()


async def test_a_task_with_ports_has_its_own(host: Host) -> None:
    await host.warm()
    host.assign(assignment("web", definition=definition(portMappings=[{"containerPort": 80}])))
    await host.report("web", "RUNNING")
    assert host.network("web") == ""


async def test_one_that_is_not_as_it_was_is_never_used_again(host: Host) -> None:
    await host.warm()
    dirty = await host.run("a")
    host.spaces.changed[dirty] = "/etc/hosts"
    await host.end("a")
    await host.until(lambda: dirty not in host.keepers and len(host.keepers) == LIMIT)
    assert dirty not in {await host.run("b"), await host.run("c")}


async def test_one_that_is_in_use_rests_first(host: Host) -> None:
    await host.warm()
    resting = await host.run("a")
    host.spaces.occupied[resting] = "connections that have just ended"
    await host.end("a")
    assert resting not in {await host.run("b"), await host.run("c")}
    del host.spaces.occupied[resting]
    async with asyncio.timeout(PATIENCE_SECONDS):
        for number in itertools.count():
            if await host.run(f"again{number}") == resting:
                break
            await host.end(f"again{number}")


async def test_one_that_stays_in_use_goes(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "REST_SECONDS", 0.2)
    await host.warm()
    resting = await host.run("a")
    host.spaces.occupied[resting] = "sockets"
    await host.end("a")
    await host.until(lambda: resting not in host.keepers)


@pytest.mark.parametrize("call", ["create", "start"])
async def test_after_a_call_without_an_answer_nobody_else_gets_it(host: Host, call: str) -> None:
    await host.warm()
    asked = getattr(host.engine, call)

    async def lose(*arguments: Any) -> None:
        setattr(host.engine, call, asked)
        await asked(*arguments)
        raise EngineUnavailable("the answer got lost")

    setattr(host.engine, call, lose)
    uncertain = await host.run("a")
    assert uncertain in host.keepers
    await host.end("a")
    await host.until(lambda: uncertain not in host.keepers)


async def test_an_agent_that_was_started_anew_leaves_running_tasks_theirs_and_begins_anew(host: Host) -> None:
    kept = await host.warm()
    own = await host.run("a")
    await host.crash()
    await host.start()
    await host.until(lambda: set(host.keepers) == {own})
    assert host.box("a").state == "running" and kept - {own}
    host.assign(assignment("a"))
    await host.end("a")
    await host.until(lambda: not host.keepers)


async def test_a_task_whose_network_ends_is_over(host: Host) -> None:
    await host.warm()
    host.engine.take_away(host.keepers[await host.run("a")].name)
    over = await host.report("a", "STOPPED")
    assert (over.stop_code, over.stopped_reason) == ("InfrastructureHealth", ENDED)


async def test_a_container_that_never_ran_is_made_anew_when_its_network_is_gone(host: Host) -> None:
    await host.warm()
    create, came = host.engine.create, asyncio.Event()

    async def never_answer(name: str, body: Any) -> str:
        await create(name, body)
        came.set()
        return str(await asyncio.Event().wait())

    host.engine.create = never_answer
    host.assign(assignment("a"))
    await came.wait()
    host.engine.create = create
    await host.crash()
    before = host.box("a").container_id
    host.engine.take_away(host.keepers[host.network("a")].name)
    await host.start()
    host.assign(assignment("a"))
    await host.report("a", "RUNNING")
    assert host.box("a").container_id != before


async def test_an_engine_that_was_away_may_have_other_rules(host: Host) -> None:
    kept = await host.warm()
    host.engine.go_down()
    await host.until(lambda: host.watch.status != "OK")
    host.engine.restart(live_restore=True)
    await host.until(lambda: host.watch.status == "OK" and not kept & set(host.keepers))


async def test_a_crowd_waits_for_what_comes_back_rather_than_for_the_engine(host: Host) -> None:
    await host.warm()
    ids = [f"t{number}" for number in range(40)]
    host.assign(*(assignment(task_id, command=["sh", "-c", "exit 0"]) for task_id in ids))
    for task_id in ids:
        await host.report(task_id, "STOPPED")
    await host.until(lambda: len(host.worker) == 0)
    assert len(host.keepers) <= 2 * LIMIT
