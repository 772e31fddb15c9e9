"""A program that needs something is started once that is there, and again only if it still is."""

import asyncio
import os
import signal
from pathlib import Path

from shoal.supervisor import keep
from shoal.supervisor.layout import Layout
from shoal.supervisor.programs import Program

from tests.ground.waiting import wait_until


async def test_it_waits_for_what_it_needs(tmp_path: Path) -> None:
    layout, needed = Layout(tmp_path), tmp_path / "needed"
    registry = keep.Registry(layout.processes)
    program = Program("sleeper", ["sleep", "600"], needs=needed)

    def pid() -> int | None:
        process = registry.find("sleeper")
        return process.pid if process is not None and process.is_alive else None

    keeping = asyncio.create_task(keep.keep(program, layout, registry))
    try:
        await asyncio.sleep(3 * keep.NEED_CHECK_SECONDS)
        assert pid() is None
        needed.touch()
        first = await wait_until(pid)
        assert first is not None
        needed.unlink()
        os.kill(first, signal.SIGKILL)
        await asyncio.sleep(keep.BACKOFF_FIRST_SECONDS + 3 * keep.NEED_CHECK_SECONDS)
        assert pid() is None
        needed.touch()
        assert await wait_until(pid) != first
    finally:
        keeping.cancel()
        await keep.end(program, registry)
