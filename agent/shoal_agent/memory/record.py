"""What the journal's entries mean, and how they lie on disk. Pure.

A line is eight hexadecimal digits of CRC-32, a space, an entry as JSON, a newline. Entries:

    incarnation  value               one per start of the agent
    epoch        value               the highest leader's epoch obeyed
    task         id containers on_disconnect    an assignment was taken on
    launched     id container        its start is about to be issued
    restarted    id container count after    so is its next one, the answer to the end at `after` (milliseconds)
    failed       id container reason     it cannot be had, and the task goes on without it
    ending       id why              it was decided to end, and why
    outcome      id report           it is over
    acknowledged id                  and the scheduler has stored that
    forgotten    id                  and nothing is left of it

A line that does not add up is skipped: what is lost with it, the containers' labels and the scheduler tell again.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from shoal_agent.definition.plan import listed, parse_listed
from shoal_agent.engine.port import Port
from shoal_agent.task import ContainerPlan, ContainerReport, Ending, Report, Restarts, Task

Entry = Mapping[str, Any]


@dataclass(slots=True)
class Remembered:
    """One task as the journal knows it."""

    containers: str = ""
    on_disconnect: str = ""
    launched: set[str] = field(default_factory=set)
    restarts: dict[str, Restarts] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    ending: Ending | None = None
    report: Mapping[str, Any] | None = None
    acknowledged: bool = False

    def as_task(self, task_id: str) -> Task:
        return Task(
            id=task_id,
            containers=parse_listed(self.containers),
            on_disconnect=self.on_disconnect,
            launched=frozenset(self.launched),
            restarts=dict(self.restarts),
            failures=dict(self.failures),
            ending=self.ending,
            outcome=report_from(self.report) if self.report else None,
            acknowledged=self.acknowledged,
        )


@dataclass(slots=True)
class Memory:
    """The sum of all entries. `apply` is the only thing that changes it."""

    incarnation: int = 0
    epoch: int = 0
    tasks: dict[str, Remembered] = field(default_factory=dict)

    def apply(self, entry: Entry) -> None:
        match entry.get("kind"):
            case "incarnation":
                self.incarnation = max(self.incarnation, entry["value"])
            case "epoch":
                self.epoch = max(self.epoch, entry["value"])
            case "forgotten":
                self.tasks.pop(entry["id"], None)
            case kind:
                self._apply_to_task(str(kind), entry, self.tasks.setdefault(entry["id"], Remembered()))

    def _apply_to_task(self, kind: str, entry: Entry, task: Remembered) -> None:
        match kind:
            case "task":
                task.containers = entry["containers"]
                task.on_disconnect = str(entry.get("on_disconnect", ""))
            case "launched":
                task.launched.add(entry["container"])
            case "restarted":
                task.restarts[entry["container"]] = Restarts(int(entry["count"]), int(entry["after"]))
            case "failed":
                task.failures[entry["container"]] = str(entry["reason"])
            case "ending":
                task.ending = Ending(**entry["why"])
            case "outcome":
                task.report = entry["report"]
            case "acknowledged":
                task.acknowledged = True

    def entries(self) -> Iterator[Entry]:
        """The shortest history with the same sum."""
        yield {"kind": "incarnation", "value": self.incarnation}
        yield {"kind": "epoch", "value": self.epoch}
        for task_id, task in self.tasks.items():
            yield _task(task_id, task.containers, task.on_disconnect)
            yield from (launched(task_id, container) for container in sorted(task.launched))
            yield from (restarted(task_id, container, it) for container, it in sorted(task.restarts.items()))
            yield from (failed(task_id, container, reason) for container, reason in sorted(task.failures.items()))
            if task.ending is not None:
                yield ending(task_id, task.ending)
            if task.report is not None:
                yield {"kind": "outcome", "id": task_id, "report": task.report}
            if task.acknowledged:
                yield {"kind": "acknowledged", "id": task_id}


def incarnation(value: int) -> Entry:
    return {"kind": "incarnation", "value": value}


def epoch(value: int) -> Entry:
    return {"kind": "epoch", "value": value}


def task(task_id: str, containers: Iterable[ContainerPlan], on_disconnect: str = "") -> Entry:
    return _task(task_id, listed(tuple(containers)), on_disconnect)


def _task(task_id: str, containers: str, on_disconnect: str) -> Entry:
    said = {"on_disconnect": on_disconnect} if on_disconnect else {}
    return {"kind": "task", "id": task_id, "containers": containers, **said}


def launched(task_id: str, container: str) -> Entry:
    return {"kind": "launched", "id": task_id, "container": container}


def restarted(task_id: str, container: str, restarts: Restarts) -> Entry:
    return {"kind": "restarted", "id": task_id, "container": container, **asdict(restarts)}


def failed(task_id: str, container: str, reason: str) -> Entry:
    return {"kind": "failed", "id": task_id, "container": container, "reason": reason}


def ending(task_id: str, why: Ending) -> Entry:
    return {"kind": "ending", "id": task_id, "why": asdict(why)}


def outcome(report: Report) -> Entry:
    return {"kind": "outcome", "id": report.task_id, "report": asdict(_without_trace(report))}


def acknowledged(task_id: str) -> Entry:
    return {"kind": "acknowledged", "id": task_id}


def forgotten(task_id: str) -> Entry:
    return {"kind": "forgotten", "id": task_id}


def _without_trace(report: Report) -> Report:
    """A trace is for the living: it is not kept on disk."""
    return replace(report, trace=())


def report_from(document: Mapping[str, Any]) -> Report:
    containers = tuple(
        ContainerReport(**{**entry, "ports": tuple(Port(**port) for port in entry["ports"])})
        for entry in document["containers"]
    )
    return Report(**{**document, "containers": containers, "trace": ()})


def line(entry: Entry) -> bytes:
    text = json.dumps(entry, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def read(content: bytes) -> tuple[Memory, int]:
    """What a file adds up to, and how many of its lines did not."""
    memory, damaged = Memory(), 0
    for raw in content.split(b"\n"):
        if not raw:
            continue
        try:
            memory.apply(_entry(raw))
        except (ValueError, KeyError, TypeError, AttributeError):
            damaged += 1
    return memory, damaged


def _entry(raw: bytes) -> Entry:
    text = raw[9:]
    if raw[8:9] != b" " or int(raw[:8], 16) != zlib.crc32(text):
        raise ValueError("checksum")
    entry = json.loads(text)
    if not isinstance(entry, dict):
        raise ValueError("not an entry")
    return entry
