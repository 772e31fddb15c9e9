"""An engine that is silent for a moment, or a disk that takes nothing: neither ends a task nor costs its output."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from shoal_agent.configuration import Configuration
from shoal_agent.engine.port import EngineTimeout
from shoal_agent.memory.journal import JournalFault

from tests.fakes.memory_engine import MemoryEngine
from tests.unit.agent.rig import Rig, assignment, quick


async def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    quick(monkeypatch)
    rig = Rig(folder, MemoryEngine(), Configuration())
    await rig.start()
    return rig


class _Once:
    """In place of a method: the first call raises."""

    def __init__(self, method: Any, fault: Exception) -> None:
        self._method = method
        self._fault: Exception | None = fault
        self.calls = 0

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        self.calls += 1
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        return self._method(*arguments, **more)


async def test_a_look_for_an_image_without_an_answer_ends_no_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await opened(tmp_path, monkeypatch)
    look = _Once(rig.engine.image_digest, EngineTimeout("timed out"))
    monkeypatch.setattr(rig.engine, "image_digest", look)
    rig.assign(assignment("t1"))
    await rig.report("t1", "RUNNING")
    assert look.calls == 2 and not rig.told("t1", "STOPPED")
    await rig.crash()


async def test_output_is_not_given_up_for_want_of_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = await opened(tmp_path, monkeypatch)
    rig.assign(assignment("t1"))
    await rig.report("t1", "RUNNING")
    read = _Once(rig.engine.log_bytes, EngineTimeout("timed out"))
    monkeypatch.setattr(rig.engine, "log_bytes", read)
    handle, keep = rig.name("t1"), rig.around.log_store.keep
    rig.engine.end(handle, 0)
    with pytest.raises(EngineTimeout):
        await keep(rig.engine, "t2", "web", handle)
    await keep(rig.engine, "t2", "web", handle)
    assert rig.around.log_store.containers("t2") == ["web"]
    await rig.crash()


async def test_a_disk_that_takes_nothing_is_not_tried_in_a_tight_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await opened(tmp_path, monkeypatch)
    tries = 0

    async def refuse(_: Any) -> None:
        nonlocal tries
        tries += 1
        raise JournalFault("no space left")

    with monkeypatch.context() as full:
        full.setattr(rig.journal, "append", refuse)
        rig.assign(assignment("t1"))
        await asyncio.sleep(0.3)
    assert 1 <= tries <= 3
    await rig.report("t1", "RUNNING")
    await rig.crash()
