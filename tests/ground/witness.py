"""Says what really ran, from outside of the system under test: every test container tells it of its own life.

A container appends to one file that is mounted into it: the kernel does that, over no network and through no program
that could be killed, so no fault reaches it. A line is one write, and says

    <task id> <instance> <boot id> <run> <seconds since boot> start|beat|stop

`run` is drawn by the container's program when it starts: a task with two of them was started twice. The clock is
CLOCK_BOOTTIME, one for all hosts of a machine.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.ground import work

MOUNTED_AT = "/witness"
BEAT_SECONDS = 1.0

_TELL = f"""
read run </proc/sys/kernel/random/uuid; read boot </proc/sys/kernel/random/boot_id
say() {{
  read up _ </proc/uptime
  echo "$SHOAL_TASK_ID ${{SHOAL_CONTAINER_INSTANCE_ARN##*/}} $boot $run $up $1" >>{MOUNTED_AT}/record
}}
trap 'say stop; exit 0' TERM
say start
"""
# Reading with a time limit what nobody writes: a sleep would be a new process for every beat.
_BEAT = f"mkfifo /tmp/wait; exec 3<>/tmp/wait; while :; do read -t {BEAT_SECONDS:g} _ <&3; say beat; done"


@dataclass(frozen=True, slots=True)
class Run:
    """One life of a container, by its own words. began, last: seconds since boot."""

    task: str
    instance: str
    boot: str
    id: str
    began: float
    last: float
    stopped: bool = False

    def overlaps(self, other: "Run") -> bool:
        """Clocks of different boots cannot be compared; hosts of one machine have one."""
        assert self.boot == other.boot, "of different boots"
        return self.began <= other.last and other.began <= self.last


@dataclass(frozen=True, slots=True)
class Witness:
    folder: Path

    def definition(self, family: str, lasts: float | None = None, code: int = 0, **container: Any) -> dict[str, Any]:
        """Of a task that tells of itself; it runs until it is told to stop, or for so many seconds."""
        script = _TELL + (_BEAT if lasts is None else f"sleep {lasts:g}; say stop; exit {code}")
        mount = {"sourceVolume": "witness", "containerPath": MOUNTED_AT}
        fields = {"cpu": 2, "memory": 8, "mountPoints": [mount], "stopTimeout": 3, **container}
        document = work.definition(family, ["sh", "-c", script], **fields)
        return {**document, "volumes": [{"name": "witness", "host": {"sourcePath": str(self.folder)}}]}

    def runs(self) -> list[Run]:
        path = self.folder / "record"
        return runs_of(path.read_text().splitlines()) if path.exists() else []

    def runs_of(self, tasks: Iterable[str]) -> dict[str, list[Run]]:
        """By task, in the order of their starts."""
        found: dict[str, list[Run]] = {task: [] for task in tasks}
        for run in self.runs():
            if run.task in found:
                found[run.task].append(run)
        return found


def runs_of(lines: Iterable[str]) -> list[Run]:
    """In the order of their starts. Raises ValueError for a line that is none of a container's."""
    found: dict[str, Run] = {}
    for line in lines:
        task, instance, boot, id_, seconds, word = line.split()
        known = found.get(id_) or Run(task, instance, boot, id_, float(seconds), float(seconds))
        found[id_] = replace(known, last=float(seconds), stopped=known.stopped or word == "stop")
    return sorted(found.values(), key=lambda run: run.began)


def started_twice(runs: Iterable[Run]) -> list[str]:
    """The ids of tasks with more than one run."""
    return sorted(task for task, count in Counter(run.task for run in runs).items() if count > 1)


def overlapping(runs: Sequence[Run], one_of: Mapping[str, str]) -> list[tuple[Run, Run]]:
    """Pairs of runs that were alive at once though they stand for one thing.

    one_of: by task id, what it stands for: the first task, say, of those that replaced one another.
    """
    known = [run for run in runs if run.task in one_of]
    return [
        (first, second)
        for at, first in enumerate(known)
        for second in known[at + 1 :]
        if one_of[first.task] == one_of[second.task] and first.overlaps(second)
    ]


def silent(runs: Iterable[Run], now: float, patience: float = 5 * BEAT_SECONDS) -> list[Run]:
    """Runs that beat no more. `patience` is for a machine that has other things to do."""
    return [run for run in runs if run.stopped or now - run.last > patience]


def seconds_since_boot() -> float:
    """As the containers count."""
    return float(Path("/proc/uptime").read_text().split()[0])
