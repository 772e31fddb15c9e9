"""A host that goes: what ends, when at the latest and why, and what the scheduler is told of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shoal.v1 import agent_pb2
from shoal_agent.configuration import Configuration
from shoal_agent.interruption import HostInterruption, Notice, Word
from shoal_agent.life import last_moment
from shoal_agent.life.machine import End, Finish, Stop, next_actions
from shoal_agent.life.verdict import ending
from shoal_agent.task import RUNNING, ContainerPlan, Ending, Interruption, Seen, Task, View

from tests.fakes.memory_engine import MemoryEngine
from tests.unit.agent.conftest import Connect
from tests.unit.agent.rig import INSTANCE, Rig, assignment, definition, quick
from tests.unit.agent.scheduler import FakeScheduler
from tests.unit.agent.test_session import run

WHY = Interruption("SpotInterruption", "it goes", 100.0)
GONE = View(interruption=WHY)
WEB = Task("t1", (ContainerPlan("web"),), assigned=True)
STARTED = replace(WEB, launched=frozenset({"web"}))


def interruption(rig: Rig) -> HostInterruption:
    return HostInterruption(f"{INSTANCE} (here)", rig.worker.interrupt, rig.around.lease.clock)


@pytest.fixture
async def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An agent without a scheduler."""
    quick(monkeypatch)
    made = Rig(tmp_path / "local", MemoryEngine(), Configuration())
    await made.start()
    yield made
    await made.crash()


def test_everything_ends_and_nothing_begins() -> None:
    running = replace(GONE, seen={"web": Seen(RUNNING)})
    assert next_actions(STARTED, running, 0, 0) == (End(Ending("SpotInterruption", "it goes")),)
    decided = replace(STARTED, ending=Ending("SpotInterruption", "it goes"))
    assert next_actions(decided, replace(running, interruption=None), 0, 0) == (Stop("web"),)  # decided is decided
    (never_begun,) = next_actions(WEB, GONE, 0, 0)
    assert isinstance(never_begun, Finish) and never_begun.outcome.stop_code == "SpotInterruption"


def test_what_came_first_is_why() -> None:
    stopped = replace(STARTED, desired_status="STOPPED", stop_code="UserInitiated", stopped_reason="enough")
    assert ending(stopped, GONE) == Ending("UserInitiated", "enough")
    # A host that is cut off and goes: another instance knows of the second only.
    stranded = replace(STARTED, on_disconnect="stop")
    assert ending(stranded, replace(GONE, lease_over=True)) == Ending("SpotInterruption", "it goes")


def test_the_first_reason_and_the_earliest_moment_stand() -> None:
    told: list[Interruption | None] = []
    now = [1000.0]
    host = HostInterruption("x (host-x)", told.append, lambda: now[0])
    host.found(Notice("the file says so", 120.0))
    host.told(Word("TerminationNotice", "an operator's", 60.0), acknowledged=True)
    host.told(Word("TerminationNotice", "an operator's", 90.0), acknowledged=True)
    first, *_, last = told
    assert first is not None and last is not None
    assert (first.stop_code, first.ends_at, last.ends_at) == ("SpotInterruption", 1120.0, 1060.0)
    assert first.reason.startswith("Container instance x (host-x) is interrupted by a notice it got: it goes at 20")
    assert (last.stop_code, last.reason) == (first.stop_code, first.reason)


def test_a_notice_is_told_until_it_is_acknowledged_with_the_time_that_is_left() -> None:
    told: list[Interruption | None] = []
    now = [0.0]
    host = HostInterruption("x", told.append, lambda: now[0])
    host.found(Notice("n", 100.0))
    now[0] = 30.0
    assert host.untold == Notice("n", 70.0)
    host.told(None, acknowledged=False)  # a welcome to a hello that did not know of it yet
    host.told(Word("TerminationNotice", "before it heard", 200.0), acknowledged=False)
    assert host.untold == Notice("n", 70.0)
    host.told(Word("SpotInterruption", "heard", 70.0), acknowledged=True)
    assert host.untold is None
    assert told[-1] is not None
    host.told(None, acknowledged=True)
    assert told[-1] is None


async def test_tasks_end_also_without_a_scheduler(local: Rig) -> None:
    local.assign(assignment("t1"), assignment("t2", on_disconnect="keep"))
    for task in ("t1", "t2"):
        await local.report(task, "RUNNING")
    interruption(local).found(Notice("the file /run/notice is there", 60.0))
    for task in ("t1", "t2"):
        ended = await local.report(task, "STOPPED")
        assert ended.stop_code == "SpotInterruption"
        assert ended.stopped_reason is not None and ended.stopped_reason.endswith("(the file /run/notice is there)")
    local.assign(assignment("t3"))
    late = await local.report("t3", "STOPPED")
    assert late.stop_code == "SpotInterruption" and not local.told("t3", "RUNNING")


async def test_tasks_run_again_once_it_is_taken_back(local: Rig) -> None:
    host = interruption(local)
    host.told(Word("TerminationNotice", "sold", 60.0), acknowledged=False)
    host.told(None, acknowledged=False)
    local.assign(assignment("t1"))
    await local.report("t1", "RUNNING")


class _Stubborn:
    """In place of the engine's stop: a container that does not end until it is killed. Which were asked to."""

    def __init__(self, rig: Rig) -> None:
        self.engine, self.asked = rig.engine, list[str]()

    async def __call__(self, container: str, grace_seconds: int) -> None:
        box = await self.engine._find("stop", container)
        self.asked.append(container)
        await box.ended.wait()


@pytest.mark.parametrize("user_stopped_before", [False, True])
async def test_who_does_not_end_is_killed_before_the_host_goes(
    local: Rig, monkeypatch: pytest.MonkeyPatch, user_stopped_before: bool
) -> None:
    stubborn = _Stubborn(local)
    monkeypatch.setattr(local.engine, "stop", stubborn)
    monkeypatch.setattr(last_moment, "LOOK_SECONDS", 0.02)
    local.assign(assignment("t1"))
    await local.report("t1", "RUNNING")
    if user_stopped_before:
        local.ask_to_stop("t1")
        await local.until(lambda: stubborn.asked)
    clock = local.around.lease.clock
    began = clock()
    interruption(local).found(Notice("n", last_moment.SPARE_SECONDS + 0.6))
    ended = await local.report("t1", "STOPPED")
    assert ended.containers[0].exit_code == 137
    assert len(stubborn.asked) == 1  # SIGTERM, and then SIGKILL; not at once
    assert clock() - began >= last_moment.GRACE_SECONDS
    assert ended.stop_code == ("UserInitiated" if user_stopped_before else "SpotInterruption")


async def test_what_is_replaced_first_runs_until_there_is_only_time_to_stop_it(
    local: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_moment, "LOOK_SECONDS", 0.05)
    slow, quick_to_stop = definition(stopTimeout=60), definition(stopTimeout=0)
    local.assign(
        assignment("t1", definition=quick_to_stop, replaced_first=True),
        assignment("t2", definition=slow, replaced_first=True),
        assignment("t3", definition=quick_to_stop),
    )
    for name in ("t1", "t2", "t3"):
        await local.report(name, "RUNNING")
    clock = local.around.lease.clock
    began = clock()
    interruption(local).found(Notice("n", 2 * last_moment.SPARE_SECONDS + 1.0))
    for name in ("t2", "t3"):
        await local.report(name, "STOPPED")
    assert not local.told("t1", "STOPPED")
    ended = await local.report("t1", "STOPPED")
    assert ended.stop_code == "SpotInterruption"
    assert clock() - began >= 1.0


async def test_a_host_without_time_still_asks_first(local: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn = _Stubborn(local)
    monkeypatch.setattr(local.engine, "stop", stubborn)
    local.assign(assignment("t1"))
    await local.report("t1", "RUNNING")
    interruption(local).found(Notice("n", 0.0))
    await local.report("t1", "STOPPED")
    assert len(stubborn.asked) == 1


async def test_the_scheduler_is_told_before_what_ends_for_it(
    connect: Connect, scheduler: FakeScheduler, rig: Rig
) -> None:
    host = interruption(rig)
    await connect(interruption=host)
    await scheduler.until(lambda: scheduler.sessions)
    assert not scheduler.sessions[0].hello.HasField("interruption")
    await run(scheduler, "t1")
    await scheduler.report("t1", "RUNNING")
    host.found(Notice("n", 60.0))
    stopped = await scheduler.report("t1", "STOPPED")
    assert stopped.stop_code == "SpotInterruption"
    ((notice, reports_before),) = scheduler.sessions[0].notices
    assert (notice.reason, 50_000 < notice.remaining_millis <= 60_000) == ("n", True)
    assert "STOPPED" not in [status for _, _, status in scheduler.sessions[0].history[:reports_before]]


async def test_a_second_notice_is_told_as_well_and_both_are_taken_back(
    connect: Connect, scheduler: FakeScheduler, rig: Rig
) -> None:
    """Else the agent would wait for ever that the scheduler hears of it, and end whatever that has it run."""
    host = interruption(rig)
    host.found(Notice("first", 60.0))
    await connect(interruption=host)
    await scheduler.until(lambda: scheduler.sessions)
    await scheduler.say_of_interruption(remaining_millis=50_000, reason="recorded", stop_code="SpotInterruption")
    await rig.until(lambda: host.untold is None)
    host.found(Notice("second", 60.0))
    await scheduler.until(lambda: scheduler.sessions[0].notices)
    ((notice, _),) = scheduler.sessions[0].notices
    assert notice.reason == "second"
    await scheduler.say_of_interruption(remaining_millis=50_000, reason="recorded", stop_code="SpotInterruption")
    await scheduler.say_of_interruption()
    await run(scheduler, "t1")
    await scheduler.report("t1", "RUNNING")


async def test_a_notice_goes_with_the_hello_until_it_is_acknowledged(
    connect: Connect, scheduler: FakeScheduler, rig: Rig
) -> None:
    host = interruption(rig)
    host.found(Notice("n", 60.0))
    await connect(interruption=host)
    await scheduler.until(lambda: scheduler.sessions)
    await scheduler.hang_up()
    await scheduler.until(lambda: len(scheduler.sessions) == 2)
    assert [it.hello.interruption.reason for it in scheduler.sessions] == ["n", "n"]
    await scheduler.say_of_interruption(remaining_millis=50_000, reason="recorded", stop_code="SpotInterruption")
    await rig.until(lambda: host.untold is None)
    await scheduler.hang_up()
    await scheduler.until(lambda: len(scheduler.sessions) == 3)
    assert not scheduler.sessions[2].hello.HasField("interruption")


async def test_a_schedulers_word_ends_tasks_and_takes_it_back(
    connect: Connect, scheduler: FakeScheduler, rig: Rig
) -> None:
    await connect()
    await scheduler.until(lambda: scheduler.sessions)
    await run(scheduler, "t1")
    await scheduler.report("t1", "RUNNING")
    await scheduler.say_of_interruption(remaining_millis=50_000, reason="sold", stop_code="TerminationNotice")
    stopped = await scheduler.report("t1", "STOPPED")
    assert (stopped.stop_code, stopped.stopped_reason) == ("TerminationNotice", "sold")
    await scheduler.say_of_interruption()
    await run(scheduler, "t2")
    await scheduler.report("t2", "RUNNING")


async def test_the_welcome_says_so_too(connect: Connect, scheduler: FakeScheduler, rig: Rig) -> None:
    await connect()
    await scheduler.until(lambda: scheduler.sessions)
    await run(scheduler, "t1")
    await scheduler.report("t1", "RUNNING")
    scheduler.interruption = agent_pb2.HostInterruption(
        remaining_millis=50_000, reason="sold", stop_code="TerminationNotice"
    )
    scheduler.full = None
    await scheduler.hang_up()
    stopped = await scheduler.report("t1", "STOPPED")
    assert stopped.stop_code == "TerminationNotice"
