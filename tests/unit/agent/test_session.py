"""The session against a scheduler of the test's own, over real gRPC with TLS both ways."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from shoal.certificates import Authority, ensure_authority
from shoal.rpc import LEADER_KEY, RETRY_AFTER_KEY, Identity
from shoal.v1 import agent_pb2, log_pb2
from shoal_agent import session
from shoal_agent.fingerprint import Host
from shoal_agent.memory import record
from shoal_agent.session import Session

from tests.unit.agent.rig import CLUSTER, INSTANCE, SLEEP, Rig
from tests.unit.agent.rig import definition as document
from tests.unit.agent.scheduler import ARN, Connect, FakeScheduler, credentials, definition, run, wanted

HOST = Host(4, 8192, 100_000, ("GPU-1",), "Linux", "aarch64", "somewhere")


async def test_with_a_renewed_certificate_a_new_session_begins_when_nobody_is_served(
    connect: Connect, scheduler: FakeScheduler, rig: Rig, authority: Authority, tmp_path: Path, made: list[Session]
) -> None:
    await connect()
    await scheduler.until(lambda: scheduler.sessions)
    await run(scheduler, "t1")
    await scheduler.report("t1", "RUNNING")
    await scheduler.ask_for_logs("a", log_pb2.ReadLogsRequest(task="t1", follow=True))
    await rig.until(lambda: made[0]._served)
    made[0].renewed(credentials(authority, tmp_path / "renewed", "agent", INSTANCE))
    await asyncio.sleep(5 * scheduler.heartbeat_millis / 1000)
    assert len(scheduler.sessions) == 1
    rig.engine.end(rig.name("t1"), 0)  # whoever reads its logs has them all then
    await scheduler.until(lambda: len(scheduler.sessions) == 2)
    assert scheduler.sessions[1].hello.run_id == scheduler.sessions[0].hello.run_id
    assert scheduler.identities == [Identity(CLUSTER, "agent", INSTANCE)] * 2


async def test_it_says_who_it_is_and_what_it_offers(connect: Connect, scheduler: FakeScheduler) -> None:
    await connect()
    await scheduler.until(lambda: scheduler.sessions)
    hello = scheduler.sessions[0].hello
    assert (hello.protocol_version, hello.cluster, hello.incarnation) == (1, CLUSTER, 77)
    assert hello.version_info.docker_version == "0" and hello.hostname == "somewhere"
    resources = {it.name: it.integer_value or list(it.string_set_value) for it in hello.resources}
    assert resources["CPU"] == 4096 and resources["MEMORY"] == 8192
    assert resources["PORTS"] == ["22", "2375", "2376"] and resources["GPU"] == ["GPU-1"]
    attributes = {it.name: it.value for it in hello.attributes}
    assert attributes["ecs.cpu-architecture"] == "arm64" and attributes["ecs.os-type"] == "linux"
    assert scheduler.identities == [Identity(CLUSTER, "agent", INSTANCE)]


async def test_a_task_from_assignment_to_acknowledged_end(connect: Connect, scheduler: FakeScheduler, rig: Rig) -> None:
    await connect()
    await scheduler.until(lambda: scheduler.sessions)
    await run(scheduler, "t1")
    running = await scheduler.report("t1", "RUNNING")
    assert running.containers[0].runtime_id and running.trace[0].name == "agent.received"
    assert "TASK_FENCE=7" in rig.box("t1").body["Env"]
    rig.engine.end(rig.name("t1"), 3)
    stopped = await scheduler.report("t1", "STOPPED")
    assert stopped.containers[0].exit_code == 3 and stopped.stop_code == "EssentialContainerExited"
    await rig.until(lambda: rig.journal.memory.tasks["t1"].acknowledged)
    assert [sequence for sequence, _, _ in scheduler.sessions[0].history] == [1, 2]


async def test_it_goes_where_the_leader_is_said_to_be(
    connect: Connect, scheduler: FakeScheduler, authority: Authority, tmp_path: Path
) -> None:
    """Even if nobody named that scheduler to it."""
    leader = FakeScheduler(credentials(authority, tmp_path, "scheduler", "two"))
    await leader.start()
    scheduler.sends_away = {LEADER_KEY: leader.endpoint}
    await connect()
    await leader.until(lambda: leader.sessions and leader.sessions[0].inventory)
    assert len(scheduler.sessions) == 1
    scheduler.sends_away = {}
    await leader.stop()
    await scheduler.until(lambda: len(scheduler.sessions) > 1 and scheduler.sessions[-1].inventory)


async def test_it_comes_again_when_it_was_told_to(connect: Connect, scheduler: FakeScheduler) -> None:
    scheduler.sends_away = {RETRY_AFTER_KEY: "700"}
    running = await connect()
    await scheduler.until(lambda: scheduler.sessions)
    first = asyncio.get_running_loop().time()
    scheduler.sends_away = {}
    await scheduler.until(lambda: len(scheduler.sessions) == 2)
    assert asyncio.get_running_loop().time() - first >= 0.6 and not running.done()


async def test_a_scheduler_that_fell_silent_is_left(
    connect: Connect, scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SILENCE_SECONDS_MIN", 0.5)
    monkeypatch.setattr(session, "SILENCE_LOOK_SECONDS", 0.05)
    scheduler.deadline_millis = 60_000
    await connect()
    await scheduler.until(lambda: scheduler.sessions and len(scheduler.sessions[0].heartbeats) > 3)
    await asyncio.sleep(0.6)
    assert len(scheduler.sessions) == 1
    scheduler.hears = False
    await scheduler.until(lambda: len(scheduler.sessions) == 2)


async def test_what_was_not_acknowledged_is_sent_again(connect: Connect, scheduler: FakeScheduler, rig: Rig) -> None:
    scheduler.acknowledges = False
    scheduler.deadline_millis = 60_000
    await connect()
    await scheduler.until(lambda: scheduler.sessions)
    await run(scheduler, "t1", ["sh", "-c", "exit 5"])
    await scheduler.report("t1", "STOPPED")
    scheduler.acknowledges = True
    scheduler.full = None
    await scheduler.hang_up()
    await scheduler.until(lambda: len(scheduler.sessions) == 2)
    again = await scheduler.report("t1", "STOPPED")
    assert again.containers[0].exit_code == 5
    assert scheduler.sessions[1].inventoried == {"t1": "STOPPED"}


async def test_a_session_without_acknowledgements_is_given_up(connect: Connect, scheduler: FakeScheduler) -> None:
    scheduler.acknowledges = False
    scheduler.deadline_millis = 300
    scheduler.heartbeat_millis = 100
    await connect()
    await scheduler.until(lambda: scheduler.sessions)
    await run(scheduler, "t1")
    await scheduler.until(lambda: len(scheduler.sessions) >= 2 and scheduler.sessions[1].inventory)
    assert "t1" in scheduler.sessions[1].inventoried


async def test_a_scheduler_that_does_not_welcome_is_left(
    connect: Connect, scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "WELCOME_SECONDS", 0.3)
    scheduler.welcomes = False
    await connect()
    await scheduler.until(lambda: len(scheduler.sessions) >= 2)


async def test_an_older_leader_is_not_obeyed(connect: Connect, scheduler: FakeScheduler, rig: Rig) -> None:
    await rig.journal.append(record.epoch(11))
    await rig.crash()
    rig.epoch = 11
    await rig.start()
    scheduler.epoch = 10
    scheduler.full = agent_pb2.Assignments(
        full=True, assignments=[wanted("t1")], task_definitions=[definition(document(SLEEP), ARN)]
    )
    await connect()
    await scheduler.until(lambda: len(scheduler.sessions) >= 2)
    assert rig.worker.lane("t1") is None
    scheduler.epoch = 12
    await scheduler.report("t1", "RUNNING")
    assert rig.journal.memory.epoch == 12
    assert rig.box("t1").body["Labels"]["shoal.epoch"] == "12"


async def test_a_restarted_scheduler_is_found_within_two_seconds(connect: Connect, scheduler: FakeScheduler) -> None:
    await connect()
    await scheduler.until(lambda: scheduler.sessions)
    await scheduler.stop()
    await asyncio.sleep(1.0)  # it is away for a while: that is the subject
    await scheduler.start()
    await scheduler.until(lambda: len(scheduler.sessions) >= 2, seconds=2.0)


async def test_the_next_scheduler_of_the_list_is_tried(connect: Connect, scheduler: FakeScheduler) -> None:
    await connect("127.0.0.1:1", scheduler.endpoint)
    await scheduler.until(lambda: scheduler.sessions)


async def test_a_strangers_authority_is_not_trusted(connect: Connect, scheduler: FakeScheduler, tmp_path: Path) -> None:
    await scheduler.stop()
    stranger = ensure_authority(tmp_path / "stranger", CLUSTER, datetime.now(UTC))
    scheduler.credentials = credentials(stranger, tmp_path / "stranger", "scheduler", "two")
    await scheduler.start()
    await connect()
    await asyncio.sleep(1.0)  # long enough for several tries
    assert scheduler.sessions == []


async def test_trouble_with_the_engine_is_told_at_once(connect: Connect, scheduler: FakeScheduler, rig: Rig) -> None:
    scheduler.heartbeat_millis = 60_000
    await connect()
    await scheduler.until(lambda: scheduler.sessions and scheduler.sessions[0].heartbeats == ["OK"])
    rig.engine.go_down()
    await scheduler.until(lambda: scheduler.sessions[0].heartbeats[-1] == "IMPAIRED")
    rig.engine.restart(live_restore=True)
    await scheduler.until(lambda: scheduler.sessions[0].heartbeats[-1] == "OK")
    assert scheduler.sessions[0].hello.engine.engine_status == "OK"


async def test_an_engine_that_was_never_seen_is_told_as_the_session_begins(
    connect: Connect, scheduler: FakeScheduler, rig: Rig
) -> None:
    rig.engine.go_down()
    await rig.until(lambda: rig.watch.status == "IMPAIRED")
    await connect()
    await scheduler.until(lambda: scheduler.sessions)
    engine = scheduler.sessions[0].hello.engine
    assert engine.engine_status == "IMPAIRED" and "does not answer" in engine.engine_status_reason


async def test_a_complete_set_may_come_in_several_messages(
    connect: Connect, scheduler: FakeScheduler, rig: Rig
) -> None:
    await connect()
    await scheduler.until(lambda: scheduler.sessions)
    for task_id in ("t1", "t2", "t3"):
        await run(scheduler, task_id)
        await scheduler.report(task_id, "RUNNING")
    scheduler.full = agent_pb2.Assignments(full=True, more=True, assignments=[wanted("t1", last_status="RUNNING")])
    await scheduler.hang_up()
    await scheduler.until(lambda: len(scheduler.sessions) == 2)
    await run(scheduler, "t4")
    await scheduler.report("t4", "RUNNING")
    assert {box.state for box in rig.engine.boxes.values()} == {"running"}
    last = agent_pb2.Assignments(full=True, assignments=[wanted("t2", last_status="RUNNING")])
    await scheduler.sessions[-1].outbox.put(agent_pb2.SchedulerMessage(assignments=last))
    await rig.until(lambda: rig.box("t3").state == "exited")
    assert all(rig.box(task_id).state == "running" for task_id in ("t1", "t2", "t4"))


async def test_each_heartbeat_that_is_heard_renews_the_lease(
    connect: Connect, scheduler: FakeScheduler, rig: Rig
) -> None:
    lease = rig.around.lease
    assert lease.seconds_left <= 0
    scheduler.deadline_millis = 60_000
    await connect()
    await rig.until(lambda: lease.seconds_left > 0)
    expires_at = lease.now + lease.seconds_left
    await rig.until(lambda: lease.now + lease.seconds_left > expires_at + 0.3)
    scheduler.hears = False
    heard = len(scheduler.sessions[0].heartbeats)
    await scheduler.until(lambda: len(scheduler.sessions[0].heartbeats) > heard + 1)
    expires_at = lease.now + lease.seconds_left
    await scheduler.until(lambda: len(scheduler.sessions[0].heartbeats) > heard + 4)
    assert lease.now + lease.seconds_left == pytest.approx(expires_at, abs=0.01)


async def test_a_watchdog_that_comes_or_goes_is_told_of_in_a_new_session(
    connect: Connect, scheduler: FakeScheduler, rig: Rig
) -> None:
    scheduler.heartbeat_millis = 100
    rig.around.guarded = lambda: True
    await connect()
    await scheduler.until(lambda: scheduler.sessions)
    rig.around.guarded = lambda: False
    await scheduler.until(lambda: len(scheduler.sessions) == 2)
    assert [heard.hello.watchdog for heard in scheduler.sessions] == [True, False]
    attributes = [{it.name for it in heard.hello.attributes} for heard in scheduler.sessions]
    assert ["shoal.watchdog" in names for names in attributes] == [True, False]
