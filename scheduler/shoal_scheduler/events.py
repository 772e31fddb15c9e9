"""The newest things that became true, kept in memory up to a bound, and who waits for more."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from shoal_scheduler.engine import Unavailable
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.task import Task
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.tables import Tables

EVENTS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class EventRecord:
    """`subject` is the object after the change."""

    revision: int
    time: int
    cluster: str
    subject: Task | Instance
    message: str


class EventLog:
    def __init__(self) -> None:
        self._events: deque[EventRecord] = deque(maxlen=EVENTS_MAX)
        self._more = asyncio.Event()
        self._first_known = 0
        self._closed = False
        self.revision = 0

    def start_at(self, revision: int) -> None:
        """Nothing up to this revision is known here."""
        self._first_known = self.revision = revision

    def reaches_back_to(self, revision: int) -> bool:
        """True if every event after this revision is still here."""
        if len(self._events) == EVENTS_MAX:
            return revision >= self._events[0].revision
        return revision >= self._first_known

    def after(self, revision: int) -> list[EventRecord]:
        newest_first = []
        for event in reversed(self._events):
            if event.revision <= revision:
                break
            newest_first.append(event)
        return newest_first[::-1]

    async def wait_beyond(self, revision: int) -> None:
        """Raises Unavailable once this process no longer leads."""
        while self.revision <= revision:
            if self._closed:
                raise Unavailable("this scheduler does not lead any more: watch again")
            await self._more.wait()

    def close(self) -> None:
        self._closed = True
        self._more.set()

    def on_commit(self, tables: Tables, changes: Sequence[c.Change], revision: int, now: int) -> None:
        for change in changes:
            match change:
                case c.PutTask(task):
                    current = tables.task(task.key) or task
                    self._add(EventRecord(revision, now, task.launch.cluster, current, _of_task(tables, task)))
                case c.PutInstance(instance):
                    self._add(EventRecord(revision, now, instance.cluster, instance, _of_instance(instance)))
        self.revision = max(self.revision, revision)
        self._more.set()
        self._more = asyncio.Event()

    def _add(self, event: EventRecord) -> None:
        self._events.append(event)


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


def _of_instance(instance: Instance) -> str:
    return f"instance {instance.hostname or instance.id} {instance.status}"
