"""Collects what an engine that was killed leaves behind, where the machine's first process does not.

An engine that comes back looks for its old containerd by pid and waits for it to go: remains that nobody collects
(in a container without an init, say) would hold it up. So the supervisor takes in orphans of its descendants.
"""

import asyncio
import ctypes
import os
from collections.abc import Callable, Collection
from pathlib import Path

PERIOD_SECONDS = 0.25
_PR_SET_CHILD_SUBREAPER = 36


def take_in() -> None:
    """From now on, orphans among this process's descendants become its children."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


async def collect(ours: Callable[[], Collection[int]]) -> None:
    """Runs for ever. `ours`: pids of children whose ends somebody else waits for."""
    while True:
        collect_once(ours())
        await asyncio.sleep(PERIOD_SECONDS)


def collect_once(ours: Collection[int]) -> list[int]:
    """The pids whose remains were taken."""
    return [pid for pid in _children() if pid not in ours and _collected(pid)]


def _children() -> list[int]:
    listing = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [int(pid) for pid in listing.split()]


def _collected(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False
