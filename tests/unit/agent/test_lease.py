"""How long a host goes on alone with tasks that must not run twice: the lease, the machine, the worker, the session."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.lease import Lease
from shoal_agent.lease_file import BOOT_ID
from shoal_agent.life import machine
from shoal_agent.life.machine import Action, Create, End, Finish, Inspect, Start, Stop, next_actions
from shoal_agent.life.verdict import HOST_LOST, NO_SCHEDULER
from shoal_agent.task import CREATED, EXITED, RUNNING, ContainerPlan, Ending, Report, Seen, Task, View

from tests.fakes.memory_engine import MemoryEngine
from tests.unit.agent.history import World
from tests.unit.agent.rig import Rig, assignment, quick
from tests.unit.agent.test_machine_histories import go_on, settle

LOST = Ending(HOST_LOST, NO_SCHEDULER)


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_counts_from_when_it_was_sent() -> None:
    clock = Clock()
    lease = Lease(None, clock)
    assert lease.seconds_left <= 0
    sent_at, clock.now = clock.now, 110.0
    lease.renew(sent_at, 15.0)
    assert lease.seconds_left == 5.0
    lease.renew(90.0, 15.0)  # an answer that comes late
    assert lease.seconds_left == 5.0
    clock.now = 115.0
    assert lease.seconds_left == 0.0


def test_an_agent_that_begins_anew_knows_it(tmp_path: Path) -> None:
    clock = Clock()
    Lease(tmp_path / "lease", clock).renew(100.0, 15.0)
    clock.now = 104.0
    assert Lease(tmp_path / "lease", clock).seconds_left == 11.0


@pytest.mark.parametrize("content", ["", "{}", "[]", "no", '{"boot": "BOOT", "renewed_at": "x", "seconds": 15}'])
def test_what_is_on_disk_and_is_none_is_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "lease").write_text(content.replace("BOOT", BOOT_ID.read_text().strip()))
    assert Lease(tmp_path / "lease", Clock()).seconds_left <= 0


def test_one_of_an_earlier_start_of_the_host_is_over(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "lease", Clock())
    lease.renew(100.0, 15.0)
    written = (tmp_path / "lease").read_text()
    (tmp_path / "lease").write_text(written.replace(BOOT_ID.read_text().strip(), "another"))
    assert Lease(tmp_path / "lease", Clock()).seconds_left <= 0


WEB = Task("t", (ContainerPlan("web"),), assigned=True, on_disconnect="stop")
LAUNCHED = replace(WEB, launched=frozenset({"web"}))
ALONE = View(lease_over=True)


def seen(status: str, **more: Any) -> View:
    return replace(ALONE, seen={"web": Seen(status, "id", **more)})


@pytest.mark.parametrize(
    ("task", "view", "first"),
    [
        (WEB, ALONE, Finish),
        (WEB, seen(CREATED), Finish),
        (LAUNCHED, seen(RUNNING), End),
        (replace(LAUNCHED, on_disconnect="exclusive"), seen(RUNNING), End),
        (replace(LAUNCHED, ending=LOST), seen(RUNNING), Stop),
        (replace(LAUNCHED, ending=LOST), replace(seen(RUNNING), lease_over=False), Stop),  # decided is decided
        (LAUNCHED, ALONE, Inspect),
        (replace(WEB, on_disconnect="keep"), ALONE, Create),
        (replace(WEB, on_disconnect=""), seen(CREATED), Start),
        (WEB, replace(seen(CREATED), lease_over=False), Start),
    ],
)
def test_the_next_step(task: Task, view: View, first: type[Action]) -> None:
    assert type(next_actions(task, view, 1000, 1000)[0]) is first


def test_what_ended_by_itself_before_keeps_its_reason() -> None:
    ended = replace(seen(EXITED, exit_code=0, finished_at=900))
    (finish,) = next_actions(LAUNCHED, ended, 1000, 1000)
    assert isinstance(finish, machine.Finish)
    assert finish.outcome.stop_code == "EssentialContainerExited"


@pytest.mark.parametrize("seed", range(300))
def test_whatever_happened_before_nothing_starts_any_more_and_all_ends(seed: int) -> None:
    world = World(Random(seed))
    world.disk = replace(world.disk, on_disconnect="stop")
    world.task = replace(world.task, on_disconnect="stop")
    for _ in range(world.rng.randrange(60)):
        if not world.forgotten:
            go_on(world)
    world.task = replace(world.task, on_disconnect="stop")  # a lost journal: the labels tell
    world.view = replace(world.view, lease_over=True)
    begun = [name for name, call in world.calls.items() if isinstance(call, Start)]
    ran = {name: box.started_at for name, box in world.boxes.items() if name not in begun}
    settle(world)
    assert not world.running()
    assert all(world.boxes[name].started_at == ran[name] for name in ran if name in world.boxes)


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    quick(monkeypatch)
    made = Rig(tmp_path, MemoryEngine(), Configuration())
    await made.start()
    yield made
    await made.crash()


async def running(rig: Rig, on_disconnect: str, task_id: str = "t1") -> None:
    rig.assign(assignment(task_id, on_disconnect=on_disconnect))
    await rig.report(task_id, "RUNNING")


def lost(report: Report) -> bool:
    return report.stop_code == HOST_LOST


async def test_stop_and_exclusive_end_when_the_lease_does_and_the_others_run_on(rig: Rig) -> None:
    kinds = {"t1": "stop", "t2": "exclusive", "t3": "keep", "t4": ""}
    for task_id, kind in kinds.items():
        await running(rig, kind, task_id)
    rig.worker.lease_over(True)
    assert lost(await rig.report("t1", "STOPPED"))
    assert lost(await rig.report("t2", "STOPPED"))
    rig.worker.lease_over(False)
    assert [rig.box(task_id).state for task_id in ("t3", "t4")] == ["running", "running"]
    assert not rig.told("t3", "STOPPED") + rig.told("t4", "STOPPED")


@pytest.mark.parametrize("journal_is_lost", [False, True])
async def test_an_agent_that_begins_anew_alone_ends_it(rig: Rig, journal_is_lost: bool) -> None:
    await running(rig, "stop")
    await rig.crash()
    if journal_is_lost:
        (rig.folder / "journal").unlink()
    await rig.start()
    rig.worker.lease_over(True)
    assert lost(await rig.report("t1", "STOPPED"))


async def test_nothing_is_started_once_it_is_over(rig: Rig) -> None:
    rig.worker.lease_over(True)
    rig.assign(assignment("t1", on_disconnect="stop"))
    assert lost(await rig.report("t1", "STOPPED"))
    assert "start" not in [call for call, _ in rig.engine.calls]


async def test_a_start_that_waits_for_its_turn_is_not_made_once_it_is_over(rig: Rig) -> None:
    async with contextlib.AsyncExitStack() as taken:
        for _ in range(rig.rules.concurrent_starts):
            await taken.enter_async_context(rig.around.starts.one())
        rig.assign(assignment("t1", on_disconnect="stop"))
        await rig.until(lambda: "t1" in rig.journal.memory.tasks and rig.journal.memory.tasks["t1"].launched)
        rig.worker.lease_over(True)
    assert lost(await rig.report("t1", "STOPPED"))
    assert "start" not in [call for call, _ in rig.engine.calls]


async def test_it_is_told_when_it_is_over_and_when_not_any_more() -> None:
    clock, told = Clock(), list[bool]()
    lease = Lease(None, clock)
    rounds = count()

    def tell(over: bool) -> None:
        told.append(over)
        match next(rounds):
            case 0:
                lease.renew(clock.now, 0.02)
            case 1:
                clock.now += 1.0
            case _:
                raise InterruptedError

    with pytest.raises(InterruptedError):
        await lease.run(tell)
    assert told == [True, False, True]
