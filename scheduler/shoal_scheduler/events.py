"""The newest things that became true, kept in memory up to a bound, and who waits for more.

A commit costs nothing here but a place in a list: what its changes mean is told when somebody reads.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shoal_scheduler.engine import Unavailable
from shoal_scheduler.model.alarm import Alarm
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.job import JobState
from shoal_scheduler.model.service import ServiceEvent, ServiceEvents
from shoal_scheduler.model.task import Task
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.batch_changes import PutJobState
from shoal_scheduler.state.records import PutRecord
from shoal_scheduler.state.tables import Tables

CHANGES_MAX = 20_000


@dataclass(frozen=True, slots=True)
class ServiceSaid:
    """What a service says of itself."""

    cluster: str
    service: str
    event: ServiceEvent


Subject = Task | Instance | Alarm | JobState | ServiceSaid


@dataclass(frozen=True, slots=True)
class EventRecord:
    """`subject` is the object after the change."""

    revision: int
    time: int
    subject: Subject

    @property
    def cluster(self) -> str:
        """Empty for a job, and for an alarm of no cluster's metric: they concern everybody."""
        match self.subject:
            case Task():
                return self.subject.launch.cluster
            case Alarm():
                return dict(self.subject.dimensions).get("ClusterName", "")
            case JobState():
                return ""
        return self.subject.cluster


class _Commit(NamedTuple):
    revision: int
    time: int
    changes: Sequence[c.Change]

    def events(self) -> Iterator[EventRecord]:
        for change in self.changes:
            match change:
                case c.PutTask(task):
                    yield EventRecord(self.revision, self.time, task)
                case c.PutInstance(instance):
                    yield EventRecord(self.revision, self.time, instance)
                case c.PutAlarm(alarm) if alarm.version == alarm.changed_version:
                    yield EventRecord(self.revision, self.time, alarm)
                case PutJobState(state):
                    yield EventRecord(self.revision, self.time, state)
                case PutRecord(ServiceEvents() as said) if said.added:
                    for event in said.events[-said.added :]:
                        subject = ServiceSaid(said.cluster, said.service, event)
                        yield EventRecord(self.revision, self.time, subject)


class EventLog:
    def __init__(self) -> None:
        self._commits: deque[_Commit] = deque()
        self._changes = 0
        self._more = asyncio.Event()
        self._first_known = 0
        self._closed = False
        self.revision = 0

    def start_at(self, revision: int) -> None:
        """Nothing up to this revision is known here."""
        self._first_known = self.revision = revision

    @property
    def first_known(self) -> int:
        """Every event after this revision is here."""
        return self._first_known

    def recall(self, past: "EventLog") -> None:
        """What came before all that is known here, of a log that begins earlier."""
        older = [commit for commit in past._commits if commit.revision <= self._first_known]
        if not older:
            return
        self._commits.extendleft(reversed(older))
        self._changes += sum(len(commit.changes) for commit in older)
        self._first_known = older[0].revision - 1
        self._forget_oldest()

    def reaches_back_to(self, revision: int) -> bool:
        """True if every event after this revision is still here."""
        return revision >= self._first_known

    def after(self, revision: int) -> list[EventRecord]:
        newest_first = []
        for commit in reversed(self._commits):
            if commit.revision <= revision:
                break
            newest_first.append(commit)
        return [event for commit in reversed(newest_first) for event in commit.events()]

    async def wait_beyond(self, revision: int) -> None:
        """Raises Unavailable once this process no longer leads."""
        while self.revision <= revision:
            if self._closed:
                raise Unavailable("this scheduler does not lead any more: watch again")
            await self._more.wait()

    def close(self) -> None:
        self._closed = True
        self._more.set()

    def on_commit(self, changes: Sequence[c.Change], revision: int, now: int) -> None:
        # Reports of images are no events, and large.
        kept = [change for change in changes if type(change) is not c.SetImages]
        if kept:
            self._commits.append(_Commit(revision, now, kept))
            self._changes += len(kept)
        self._forget_oldest()
        self.revision = max(self.revision, revision)
        self._more.set()
        self._more = asyncio.Event()

    def _forget_oldest(self) -> None:
        while self._changes > CHANGES_MAX and len(self._commits) > 1:
            dropped = self._commits.popleft()
            self._changes -= len(dropped.changes)
            self._first_known = dropped.revision


def message_of(tables: Tables, subject: Subject) -> str:
    """The change in a sentence for people."""
    match subject:
        case Task():
            return _of_task(tables, subject)
        case Alarm():
            return f"alarm {subject.name} {subject.state}: {subject.reason}"
        case JobState():
            return _of_job(tables, subject)
        case ServiceSaid():
            return subject.event.message
    return _of_instance(subject)


def _of_task(tables: Tables, task: Task) -> str:
    instance = tables.instances.get(task.instance)
    where = f" on {instance.hostname or instance.id}" if instance else ""
    if task.is_stopped:
        codes = {state.name: state.exit_code for state in task.containers if state.exit_code is not None}
        exits = "".join(f", {name} exited {code}" for name, code in codes.items())
        return f"{task.launch.definition} STOPPED{where}: {task.stopped_reason or task.stop_code}{exits}"
    if task.desired_status == "STOPPED":
        return f"{task.launch.definition} {task.last_status}{where}, to be stopped: {task.stopped_reason}"
    if not task.instance:
        return f"{task.launch.definition} waits for room"
    if not task.fence:
        return f"{task.launch.definition} placed{where}"
    return f"{task.launch.definition} {task.last_status}{where}"


def _of_job(tables: Tables, state: JobState) -> str:
    job = tables.batch.job(state.job)
    name = f"job {job.name}" if job else "a job"
    if state.outcome:
        why = f": {state.status_reason}" if state.status_reason else ""
        return f"{name} {state.outcome}{why}"
    if state.wish:
        return f"{name} is to end ({state.wish}): {state.wish_reason}"
    return f"{name} may start: what it depends on has succeeded"


def _of_instance(instance: Instance) -> str:
    name = instance.hostname or instance.id
    if instance.revoked_at:
        return f"instance {name} {instance.status}; its identity was revoked by {instance.revoked_by}"
    if instance.copy_seen_at:
        return f"instance {name} {instance.status}; another agent with its key, on {instance.copy_host}, was kept out"
    return f"instance {name} {instance.status}"
