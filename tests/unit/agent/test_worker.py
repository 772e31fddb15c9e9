"""Whole lives of tasks on an engine in memory, with crashes of everything in between."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.engine.port import CannotPull
from shoal_agent.life import steps
from shoal_agent.life.verdict import ESSENTIAL_EXITED, OUT_OF_MEMORY

from tests.fakes.memory_engine import MemoryEngine
from tests.unit.agent.rig import Rig, assignment, definition, quick


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    quick(monkeypatch)
    made = Rig(tmp_path, MemoryEngine(registry=("elsewhere:1",)), Configuration())
    await made.start()
    yield made
    await made.crash()


async def test_a_task_runs_and_ends(rig: Rig) -> None:
    rig.assign(assignment("t1"))
    running = await rig.report("t1", "RUNNING")
    assert running.started_at is not None
    assert running.containers[0].runtime_id == rig.box("t1").container_id
    assert [span.name for span in running.trace] == [
        "agent.received",
        "journal",
        "engine.create",
        "journal",
        "engine.start",
    ]
    rig.engine.end(rig.name("t1"), 3)
    stopped = await rig.report("t1", "STOPPED")
    assert (stopped.stop_code, stopped.containers[0].exit_code) == ("EssentialContainerExited", 3)
    assert len(rig.told("t1", "STOPPED")) == 1


async def test_nothing_is_inspected_on_the_way_to_running_without_dynamic_ports(rig: Rig) -> None:
    rig.assign(assignment("t1"))
    await rig.report("t1", "RUNNING")
    assert "inspect" not in [call for call, _ in rig.engine.calls]


async def test_dynamic_ports_are_in_the_first_running_report(rig: Rig) -> None:
    rig.assign(assignment("t1", definition=definition(portMappings=[{"containerPort": 80}])))
    running = await rig.report("t1", "RUNNING")
    (port,) = running.containers[0].ports
    assert port.container_port == 80 and port.host_port >= 49153


async def test_a_container_is_made_from_what_its_tag_meant_and_reports_it(rig: Rig) -> None:
    rig.engine.digests = {"image": "sha256:0af3"}
    rig.assign(assignment("t1"), assignment("t2", definition=definition(versionConsistency="disabled")))
    (pinned,) = (await rig.report("t1", "RUNNING")).containers
    (floating,) = (await rig.report("t2", "RUNNING")).containers
    assert (pinned.image_digest, rig.box("t1").body["Image"]) == ("sha256:0af3", "image@sha256:0af3")
    assert (floating.image_digest, rig.box("t2").body["Image"]) == ("sha256:0af3", "image")


@pytest.mark.parametrize("trouble", ["manifest unknown", "dial tcp: connection refused"])
async def test_an_image_that_is_here_is_asked_for_anew_once_and_used_if_no_registry_has_it(
    rig: Rig, trouble: str
) -> None:
    rig.engine.failing_pulls = {"image": [CannotPull(trouble)]}
    rig.assign(assignment("t1", refreshes_images=True))
    await rig.report("t1", "RUNNING")
    assert [call for call, _ in rig.engine.calls].count("pull") == 1


async def test_the_digest_is_known_after_a_crash_though_the_tag_has_moved(rig: Rig) -> None:
    rig.engine.digests = {"image": "sha256:0af3"}
    rig.assign(assignment("t1"))
    await rig.report("t1", "RUNNING")
    rig.engine.digests = {"image": "sha256:ffff"}
    await rig.crash()
    await rig.start()
    rig.engine.end(rig.name("t1"), 0)
    assert (await rig.report("t1", "STOPPED")).containers[0].image_digest == "sha256:0af3"


async def test_a_shared_volume_that_nobody_makes_has_to_be_there(rig: Rig) -> None:
    rig.engine.volumes = {"there"}
    for name in ("there", "gone"):
        wanted = definition(mountPoints=[{"sourceVolume": name, "containerPath": "/data"}])
        wanted["volumes"] = [{"name": name, "dockerVolumeConfiguration": {"scope": "shared"}}]
        rig.assign(assignment(name, definition=wanted))
    await rig.report("there", "RUNNING")
    reason = (await rig.report("gone", "STOPPED")).containers[0].reason
    assert reason is not None and "volumes[0].dockerVolumeConfiguration.autoprovision: no volume" in reason


async def test_a_missing_image_is_pulled_once_for_all(rig: Rig) -> None:
    ids = [f"t{number}" for number in range(5)]
    rig.assign(*(assignment(task_id, definition=definition(image="elsewhere:1")) for task_id in ids))
    reports = [await rig.report(task_id, "RUNNING") for task_id in ids]
    waited = [report for report in reports if report.pull_started_at is not None]
    assert waited and all(report.pull_stopped_at is not None for report in waited)
    assert [call for call, _ in rig.engine.calls].count("pull") == 1


async def test_a_pull_that_takes_its_time_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "PROGRESS_PERIOD_SECONDS", 0.01)
    rig.engine.stuck = {f"{letter}:1" for letter in "abcd"}
    for letter in "abcd":
        rig.assign(assignment(letter, definition=definition(image=f"{letter}:1")))
    await rig.until(lambda: len({report.task_id for report in rig.reports}) == 4)
    told = {report.task_id: (report.last_status, report.containers[0].reason) for report in rig.reports}
    waiting = "waiting to pull the image: as many others as may be at once are being pulled"
    assert sorted(told.values()) == [("PENDING", "pulling image")] * 3 + [("PENDING", waiting)]
    assert all(report.pull_started_at for report in rig.reports)
    for letter in "abcd":
        assert rig.told(letter, "PENDING")
        rig.assign(assignment(letter, desired_status="STOPPED"))
        assert (await rig.report(letter, "STOPPED")).containers[0].reason is None


async def test_an_image_that_is_nowhere(rig: Rig) -> None:
    rig.assign(assignment("t1", definition=definition(image="nowhere:1")))
    stopped = await rig.report("t1", "STOPPED")
    assert stopped.stop_code == "TaskFailedToStart"
    assert stopped.stopped_reason is not None
    assert stopped.stopped_reason.startswith("CannotPullContainerError: nowhere:1: manifest")
    assert stopped.containers[0].exit_code is None and stopped.started_at is None


async def test_a_program_that_cannot_start(rig: Rig) -> None:
    rig.assign(assignment("t1", ["nope"]))
    stopped = await rig.report("t1", "STOPPED")
    assert stopped.stopped_reason is not None
    assert stopped.stopped_reason.startswith("CannotStartContainerError: exec")
    await rig.until(lambda: not rig.engine.boxes)


async def test_a_lack_of_memory_that_is_noted_late(rig: Rig) -> None:
    rig.assign(assignment("t1"), assignment("t2"))
    for task_id in ("t1", "t2"):
        await rig.report(task_id, "RUNNING")
    rig.box("t1").oom_noted_late = True
    for task_id in ("t1", "t2"):
        rig.engine.end(rig.name(task_id), 137)
    assert (await rig.report("t1", "STOPPED")).stopped_reason == OUT_OF_MEMORY
    assert (await rig.report("t2", "STOPPED")).stopped_reason == ESSENTIAL_EXITED


async def test_what_the_instance_does_not_allow(rig: Rig) -> None:
    rig.assign(assignment("t1", definition=definition(privileged=True)))
    stopped = await rig.report("t1", "STOPPED")
    assert stopped.stopped_reason is not None
    assert stopped.stopped_reason.startswith("CannotCreateContainerError: containerDefinitions[0].privileged: ")
    assert rig.engine.boxes == {}


async def test_a_stop_on_request(rig: Rig) -> None:
    rig.assign(assignment("t1"))
    await rig.report("t1", "RUNNING")
    rig.ask_to_stop("t1")
    stopped = await rig.report("t1", "STOPPED")
    assert (stopped.stop_code, stopped.stopped_reason) == ("UserInitiated", "enough")
    assert stopped.containers[0].exit_code == 137
    assert rig.told("t1", "STOPPING")


async def test_a_stop_does_not_wait_for_a_pull(rig: Rig) -> None:
    rig.engine.stuck.add("elsewhere:1")
    rig.assign(assignment("t1", definition=definition(image="elsewhere:1")))
    await rig.until(lambda: ("pull", "elsewhere:1") in rig.engine.calls)
    rig.ask_to_stop("t1")
    assert (await rig.report("t1", "STOPPED")).stop_code == "UserInitiated"


async def test_a_journal_that_lost_the_containers_of_a_task_learns_them_from_labels(rig: Rig) -> None:
    rig.assign(assignment("t1"))
    await rig.report("t1", "RUNNING")
    await rig.crash()
    journal = rig.folder / "journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b'"kind":"task"' not in line))
    assert len(lines) > 1 and b"launched" in journal.read_bytes()
    await rig.start()
    assert {report.task_id: report.last_status for report in rig.worker.inventory()} == {"t1": "RUNNING"}
    assert rig.box("t1").starts == 1


async def test_a_restarted_agent_adopts(rig: Rig) -> None:
    ids = [f"t{number}" for number in range(20)]
    rig.assign(*map(assignment, ids))
    for task_id in ids:
        await rig.report(task_id, "RUNNING")
    await rig.crash()
    rig.engine.silent_events = True
    rig.engine.end(rig.name("t3"), 9)
    rig.engine.silent_events = False
    await rig.start()
    inventory = {report.task_id: report.last_status for report in rig.worker.inventory()}
    assert inventory.keys() | {"t3"} == set(ids)
    assert [status for task_id, status in inventory.items() if task_id != "t3"] == ["RUNNING"] * 19
    assert (await rig.report("t3", "STOPPED")).containers[0].exit_code == 9
    rig.assign(*(assignment(task_id, last_status="RUNNING") for task_id in ids if task_id != "t3"), full=True)
    rig.engine.end(rig.name("t4"), 4)
    assert (await rig.report("t4", "STOPPED")).containers[0].exit_code == 4
    assert all(box.starts == 1 for box in rig.engine.boxes.values())
    assert all(len(rig.told(task_id, "STOPPED")) == 1 for task_id in ("t3", "t4"))


@pytest.mark.parametrize("answers_lost", [1, 2, 3])
async def test_a_lost_answer_changes_nothing(rig: Rig, answers_lost: int) -> None:
    rig.engine.answers_lost = answers_lost
    rig.assign(assignment("t1"))
    await rig.report("t1", "RUNNING")
    assert rig.box("t1").starts == 1 and len(rig.engine.boxes) == 1


async def test_a_lost_journal_is_rebuilt_from_labels(rig: Rig) -> None:
    rig.assign(assignment("t1"), assignment("t2"))
    await rig.report("t2", "RUNNING")
    await rig.report("t1", "RUNNING")
    await rig.crash()
    (rig.folder / "journal").unlink()
    await rig.start()
    rig.assign(*(assignment(task_id, last_status="RUNNING") for task_id in ("t1", "t2", "t9")), full=True)
    lost = await rig.report("t9", "STOPPED")
    assert lost.stopped_reason is not None and "missing" in lost.stopped_reason
    assert lost.containers[0].exit_code is None
    rig.engine.end(rig.name("t1"), 1)
    assert (await rig.report("t1", "STOPPED")).containers[0].exit_code == 1
    assert all(box.starts == 1 for box in rig.engine.boxes.values())


async def test_a_container_removed_by_hand(rig: Rig) -> None:
    rig.assign(assignment("t1"))
    await rig.report("t1", "RUNNING")
    rig.engine.take_away(rig.name("t1"))
    stopped = await rig.report("t1", "STOPPED")
    assert stopped.stopped_reason is not None and "missing" in stopped.stopped_reason
    assert stopped.containers[0].exit_code is None
    assert not rig.engine.boxes


async def test_an_end_without_an_event_is_seen_by_the_listing(rig: Rig) -> None:
    rig.engine.silent_events = True
    rig.assign(assignment("t1"))
    await rig.report("t1", "RUNNING")
    rig.engine.end(rig.name("t1"), 5)
    assert (await rig.report("t1", "STOPPED")).containers[0].exit_code == 5


async def test_the_complete_set_ends_what_is_beyond_it(rig: Rig) -> None:
    rig.assign(assignment("t1"), assignment("t2"))
    await rig.report("t1", "RUNNING")
    await rig.report("t2", "RUNNING")
    rig.assign(assignment("t1", last_status="RUNNING"), full=True)
    await rig.until(lambda: rig.box("t2").state == "exited")
    assert rig.box("t1").state == "running"
    assert not rig.told("t2", "STOPPED")


async def test_a_strangers_container_is_never_touched(rig: Rig) -> None:
    theirs = {"shoal.cluster": "default", "shoal.instance": "other", "shoal.task": "t1", "shoal.container": "web"}
    stranger = await rig.engine.create("theirs", {"Image": "image", "Cmd": ["sleep", "1"], "Labels": theirs})
    await rig.engine.start(stranger)
    taken = await rig.engine.create(rig.name("t2"), {"Image": "image", "Cmd": ["sleep", "1"], "Labels": {}})
    rig.assign(full=True)
    rig.assign(assignment("t2"))
    stopped = await rig.report("t2", "STOPPED")
    assert stopped.stopped_reason is not None and "already in use" in stopped.stopped_reason
    assert rig.engine.boxes[stranger].state == "running" and taken in rig.engine.boxes


async def test_a_hung_container_delays_nobody(rig: Rig) -> None:
    rig.engine.stuck.add(rig.name("t1"))
    rig.assign(assignment("t1"))
    await rig.until(lambda: ("create", rig.name("t1")) in rig.engine.calls)
    for number in range(2, 12):
        rig.assign(assignment(f"t{number}"))
    for number in range(2, 12):
        await rig.report(f"t{number}", "RUNNING")


async def test_the_engine_comes_back_with_live_restore(rig: Rig) -> None:
    rig.assign(assignment("t1"), assignment("t2"))
    await rig.report("t1", "RUNNING")
    await rig.report("t2", "RUNNING")
    rig.engine.go_down()
    await rig.until(lambda: rig.watch.status == "IMPAIRED")
    rig.engine.end(rig.name("t2"), 3)
    rig.engine.restart(live_restore=True)
    assert (await rig.report("t2", "STOPPED")).containers[0].exit_code == 3
    assert rig.watch.status == "OK"
    assert not rig.told("t1", "STOPPED") and rig.box("t1").starts == 1


async def test_the_engine_comes_back_and_ends_what_ran(rig: Rig) -> None:
    rig.assign(assignment("t1"), assignment("t2"))
    await rig.report("t1", "RUNNING")
    await rig.report("t2", "RUNNING")
    rig.engine.go_down()
    await rig.until(lambda: rig.watch.status == "IMPAIRED")
    rig.engine.end(rig.name("t2"), 3)
    rig.engine.restart(live_restore=False)
    ended = await rig.report("t1", "STOPPED")
    assert ended.containers[0].exit_code is None
    assert ended.stop_code == "InfrastructureHealth"
    assert ended.stopped_reason is not None and "engine went away" in ended.stopped_reason
    assert (await rig.report("t2", "STOPPED")).containers[0].exit_code == 3
    await asyncio.sleep(0.1)
    assert len(rig.told("t1", "STOPPED")) == len(rig.told("t2", "STOPPED")) == 1


async def test_an_engine_that_is_down_at_first(rig: Rig) -> None:
    await rig.crash()
    rig.engine.go_down()
    await rig.start()
    rig.assign(assignment("t1"))
    assert rig.watch.status == "IMPAIRED"
    rig.engine.restart(live_restore=True)
    await rig.report("t1", "RUNNING")


async def test_dead_containers_are_kept_for_a_time_and_by_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    rules = Configuration(dead_container_keep_seconds=3600.0, dead_containers_max=2)
    rig = Rig(tmp_path, MemoryEngine(), rules)
    await rig.start()
    try:
        for number in range(5):
            rig.assign(assignment(f"t{number}", ["sh", "-c", "exit 0"]))
            await rig.report(f"t{number}", "STOPPED")
        await rig.until(lambda: len(rig.engine.boxes) == 2)
        assert {box.name for box in rig.engine.boxes.values()} == {rig.name("t3"), rig.name("t4")}
        await rig.until(lambda: len(rig.worker) == 2)
    finally:
        await rig.crash()


async def test_volumes_of_a_task_go_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    rig = Rig(tmp_path, MemoryEngine(), Configuration(dead_container_keep_seconds=0.0))
    await rig.start()
    try:
        wanted = definition(["sh", "-c", "exit 0"], mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}])
        rig.assign(assignment("t1", definition=wanted | {"volumes": [{"name": "v", "host": {}}]}))
        await rig.until(lambda: rig.engine.volumes_removed == ["shoal.default.t1.v"])
        await rig.until(lambda: len(rig.worker) == 0)
        assert rig.journal.memory.tasks == {}
    finally:
        await rig.crash()
