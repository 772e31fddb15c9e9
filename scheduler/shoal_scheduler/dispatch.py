"""What each connected agent is still to be told: only which tasks changed, never copies of them.

A session takes its outbox and reads the tables for the newest state, so a slow reader costs no memory and old
news is never sent.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from shoal_scheduler.model.task import Task, TaskKey
from shoal_scheduler.state import changes as c


@dataclass(frozen=True, slots=True)
class LogsWanted:
    """The agent is to open a stream with this id and send the logs of the task. `since` in milliseconds."""

    request_id: str
    task: str
    container: str = ""
    follow: bool = False
    since: int | None = None
    tail: int | None = None


class Outbox:
    """The tasks of one session that changed. `closed` ends the session."""

    def __init__(self) -> None:
        self._keys: dict[TaskKey, None] = {}
        self._log_requests: list[LogsWanted] = []
        self._ready = asyncio.Event()
        self.closed = False

    def put(self, key: TaskKey) -> None:
        self._keys[key] = None
        self._ready.set()

    def ask_logs(self, request: LogsWanted) -> None:
        self._log_requests.append(request)
        self._ready.set()

    def take_log_requests(self) -> list[LogsWanted]:
        requests, self._log_requests = self._log_requests, []
        return requests

    def close(self) -> None:
        self.closed = True
        self._ready.set()

    async def take(self) -> list[TaskKey]:
        """All tasks that changed since the last call. Returns once there is one, a log request, or the end."""
        while not (self._keys or self._log_requests or self.closed):
            self._ready.clear()
            await self._ready.wait()
        keys, self._keys = list(self._keys), {}
        return keys


class Dispatch:
    def __init__(self) -> None:
        self._outboxes: dict[str, Outbox] = {}

    def attach(self, instance: str) -> Outbox:
        """A session starts: an earlier one of the same instance ends."""
        self.close(instance)
        self._outboxes[instance] = Outbox()
        return self._outboxes[instance]

    def detach(self, instance: str, outbox: Outbox) -> None:
        if self._outboxes.get(instance) is outbox:
            del self._outboxes[instance]

    def close(self, instance: str) -> None:
        if earlier := self._outboxes.pop(instance, None):
            earlier.close()

    def ask_logs(self, instance: str, request: LogsWanted) -> None:
        """Of a connected instance."""
        if outbox := self._outboxes.get(instance):
            outbox.ask_logs(request)

    def close_all(self) -> None:
        for instance in list(self._outboxes):
            self.close(instance)

    def on_commit(self, changes: Sequence[c.Change]) -> None:
        for change in changes:
            match change:
                case c.PutTask(task) if task.instance in self._outboxes and _concerns_agent(task):
                    self._outboxes[task.instance].put(task.key)
                case c.SetSession(instance, 0):
                    self.close(instance)


def _concerns_agent(task: Task) -> bool:
    """A new assignment, or the wish to stop; what the agent itself reported is no news to it."""
    return not task.fence or (task.desired_status == "STOPPED" and not task.is_stopped)
