"""The agent's memory on disk, and what is left of it after every kind of damage."""

import errno
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shoal_agent.engine.port import Port
from shoal_agent.memory import journal as journals
from shoal_agent.memory import record
from shoal_agent.memory.journal import Journal, JournalFault, StateInUse
from shoal_agent.task import ContainerPlan, ContainerReport, Ending, Report, Restarts

PLANS = (ContainerPlan("web"), ContainerPlan("side", essential=False))
OUTCOME = Report(
    "t1",
    "STOPPED",
    (ContainerReport("web", "STOPPED", "id", 3, ports=(Port(80, 8080),)), ContainerReport("side", "STOPPED")),
    stop_code="EssentialContainerExited",
    stopped_reason="Essential container in task exited",
)


async def written(folder: Path) -> None:
    journal = Journal(folder)
    await journal.append(record.incarnation(5), record.epoch(11))
    for task_id in ("t1", "t2", "t3"):
        await journal.append(record.task(task_id, PLANS))
        await journal.append(record.launched(task_id, "web"))
    await journal.append(record.outcome(OUTCOME))
    await journal.append(record.forgotten("t3"))
    journal.close()


async def test_it_is_all_there_again(tmp_path: Path) -> None:
    await written(tmp_path)
    journal = Journal(tmp_path)
    memory = journal.memory
    journal.close()
    assert (memory.incarnation, memory.epoch, set(memory.tasks)) == (5, 11, {"t1", "t2"})
    first, second = (memory.tasks[name].as_task(name) for name in ("t1", "t2"))
    assert first.containers == PLANS and first.outcome == OUTCOME and first.launched == {"web"}
    assert second.outcome is None and second.launched == {"web"}


async def test_what_was_decided_is_kept_through_a_rewrite(tmp_path: Path) -> None:
    why = Ending("TaskFailedToStart", "because", "side")
    journal = Journal(tmp_path)
    await journal.append(record.task("t", PLANS), record.failed("t", "side", "CannotPullContainerError: no"))
    await journal.append(record.restarted("t", "web", Restarts(1, 10)), record.ending("t", why))
    await journal.append(record.restarted("t", "web", Restarts(2, 20)))
    memory = journal.memory
    journal.close()
    again = record.Memory()
    for entry in memory.entries():
        again.apply(entry)
    for task in (memory.tasks["t"].as_task("t"), again.tasks["t"].as_task("t")):
        assert task.failures == {"side": "CannotPullContainerError: no"}
        assert task.restarts == {"web": Restarts(2, 20)} and task.ending == why


@pytest.mark.parametrize(
    "damage", ["truncate", "zero the tail", "zero all", "delete", "empty", "garbage", "cut a byte"]
)
async def test_damage_is_survived(tmp_path: Path, damage: str) -> None:
    await written(tmp_path)
    path = tmp_path / "journal"
    content = path.read_bytes()
    match damage:
        case "truncate":
            path.write_bytes(content[: len(content) // 2])
        case "zero the tail":
            path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))
        case "zero all":
            path.write_bytes(bytes(len(content)))
        case "delete":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "garbage":
            path.write_bytes(random.Random(1).randbytes(4096))
        case "cut a byte":
            path.write_bytes(content[:-2])
    journal = Journal(tmp_path)
    await journal.append(record.launched("t9", "web"))
    journal.close()
    again = Journal(tmp_path)
    assert again.memory.tasks["t9"].launched == {"web"}
    again.close()


async def test_an_old_copy_is_believed_as_far_as_it_goes(tmp_path: Path) -> None:
    await written(tmp_path)
    old = (tmp_path / "journal").read_bytes()
    journal = Journal(tmp_path)
    await journal.append(record.forgotten("t1"), record.epoch(12))
    journal.close()
    (tmp_path / "journal").write_bytes(old)
    journal = Journal(tmp_path)
    assert "t1" in journal.memory.tasks and journal.memory.epoch == 11
    journal.close()


def test_a_bit_that_flips_costs_one_line_at_most() -> None:
    entries = [record.launched(f"t{number}", "web") for number in range(5)]
    content = b"".join(map(record.line, entries))
    whole, damaged = record.read(content)
    assert damaged == 0 and len(whole.tasks) == 5
    for position in range(len(content)):
        for bit in (0, 3, 7):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            memory, damaged = record.read(bytes(flipped))
            assert damaged >= 1
            lost = 2 if content[position] == ord("\n") else 1
            assert len(memory.tasks.keys() & whole.tasks.keys()) >= 5 - lost
            assert memory.tasks.keys() <= whole.tasks.keys()


@given(st.binary(max_size=400))
def test_no_bytes_make_it_stumble(content: bytes) -> None:
    record.read(content)


@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda it: st.dictionaries(st.text(max_size=9), it))
)
def test_no_entry_makes_it_stumble(value: object) -> None:
    memory, _ = record.read(record.line({"kind": "outcome", "id": "t1", "report": value}))
    memory, damaged = record.read(record.line(value))  # type: ignore[arg-type]
    assert not memory.tasks or damaged == 0


async def test_it_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "SIZE_BYTES_MAX", 2000)
    journal = Journal(tmp_path)
    for number in range(300):
        await journal.append(record.task(f"t{number}", PLANS), record.launched(f"t{number}", "web"))
        await journal.append(record.forgotten(f"t{number}"))
    await journal.append(record.launched("last", "web"))
    journal.close()
    assert (tmp_path / "journal").stat().st_size < 4000
    again = Journal(tmp_path)
    assert set(again.memory.tasks) == {"last"}
    again.close()


async def test_a_full_disk_is_told_and_gone_when_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    await journal.append(record.launched("before", "web"))
    real, full = os.write, True

    def write(file: int, content: bytes) -> int:
        if full:
            real(file, content[:5])  # torn: half a line is on the disk already
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, content)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(JournalFault):
        await journal.append(record.launched("lost", "web"))
    full = False
    await journal.append(record.launched("after", "web"))
    journal.close()
    memory, damaged = record.read((tmp_path / "journal").read_bytes())
    assert set(memory.tasks) == {"before", "after"} and damaged == 0


async def test_a_folder_has_one_agent(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(StateInUse):
        Journal(tmp_path)
    journal.close()
    Journal(tmp_path).close()
