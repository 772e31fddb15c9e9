"""Whether a service keeps its percents at every instant, by the events that anybody can watch.

After each transaction, which is a revision of the stream:

  - tasks that are to run, PROVISIONING and PENDING ones included, are at most floor(desired * maximumPercent);
  - the healthy ones are at least ceil(desired * minimumHealthyPercent) after any that takes a healthy task out: what
    dies by itself or with its host is not the scheduler's doing, what it stops is.

Healthy is what events can tell: RUNNING, and HEALTHY if the definition has a health check. A load balancer's checks are
in no event; a definition with a health check of its own is the stricter judge.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby

from shoal import interruption
from shoal.client import Client
from shoal.v1.event_pb2 import Event
from shoal.v1.task_pb2 import Task

from tests.ground.waiting import wait_until

# The event tells of what had happened to it already, or of what a user asked for.
_ALREADY_OVER = ("EssentialContainerExited", "HostLost", "TaskFailedToStart")
NOT_BY_THE_SERVICE = frozenset({*_ALREADY_OVER, "UserInitiated", *interruption.STOP_CODES.values()})


@dataclass(slots=True)
class Percents:
    """desired: all counts that are wanted now: two of them from when another one is asked for until it is reached.

    broken: a sentence for each instant at which it did not hold. revisions: how many instants were looked at. highest:
    of the totals. heard_until: the revision up to which everything was heard.
    """

    service: str
    desired: set[int]
    minimum: int = 100
    maximum: int = 200
    has_check: bool = True
    broken: list[str] = field(default_factory=list)
    revisions: int = 0
    heard_until: int = 0
    highest: int = 0
    _tasks: dict[str, Task] = field(default_factory=dict)

    @property
    def total_max(self) -> int:
        return max(self.desired) * self.maximum // 100

    @property
    def healthy_min(self) -> int:
        return math.ceil(min(self.desired) * self.minimum / 100)

    @property
    def tasks(self) -> list[Task]:
        """All that are to run."""
        return [task for task in self._tasks.values() if _is_wanted(task)]

    @property
    def healthy(self) -> int:
        return sum(self._is_healthy(task) for task in self._tasks.values())

    def hear(self, events: Iterable[Event]) -> None:
        """In the order of the stream; all events of a revision come together."""
        for revision, together in groupby(events, key=lambda event: event.revision):
            ours = [each.task for each in together if each.HasField("task") and self._is_ours(each.task)]
            if ours:
                self._became(revision, ours)

    def _is_ours(self, task: Task) -> bool:
        return task.group == f"service:{self.service}"

    def _became(self, revision: int, changed: list[Task]) -> None:
        taken_out = 0
        total_before = len(self.tasks)
        for task in changed:
            before = self._tasks.get(task.task_arn)
            if before is not None and before.version > task.version:
                continue
            was_healthy = before is not None and self._is_healthy(before)
            taken_out += was_healthy and _is_stopped_by_the_service(task)
            self._tasks[task.task_arn] = task
        self.revisions += 1
        total = len(self.tasks)
        self.highest = max(self.highest, total)
        if total > max(self.total_max, total_before):
            self.broken.append(f"revision {revision}: {total} tasks are more than {self.total_max}")
        if taken_out and self.healthy < self.healthy_min:
            self.broken.append(
                f"revision {revision}: {taken_out} taken out, {self.healthy} healthy are fewer than {self.healthy_min}"
            )

    def _is_healthy(self, task: Task) -> bool:
        is_up = _is_wanted(task) and task.last_status == "RUNNING"
        return is_up and (not self.has_check or task.health_status == "HEALTHY")


def _is_wanted(task: Task) -> bool:
    return task.desired_status == "RUNNING" and task.last_status != "STOPPED"


def _is_stopped_by_the_service(task: Task) -> bool:
    return task.desired_status == "STOPPED" and task.stop_code not in NOT_BY_THE_SERVICE


@asynccontextmanager
async def judged(client: Client, percents: Percents, cluster: str) -> AsyncIterator[Percents]:
    """Hears all that happens while the block lasts. Begin before the service is made."""
    watching = asyncio.create_task(_watch(client, percents, cluster))
    try:
        await wait_until(lambda: percents.heard_until, why="the stream of events begins")
        yield percents
        now = await _revision(client, cluster)
        await wait_until(lambda: percents.heard_until >= now, why="all events are heard")
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    # Its failure is ours.
    if not watching.cancelled():
        watching.result()


async def _watch(client: Client, percents: Percents, cluster: str) -> None:
    gathered: list[Event] = []
    async for answer in client.watch(cluster):
        gathered += answer.events
        if answer.HasField("revision"):
            percents.hear(gathered)
            percents.heard_until = answer.revision
            gathered.clear()


async def _revision(client: Client, cluster: str) -> int:
    """At which a stream that begins now would begin."""
    async with aclosing(client.watch(cluster)) as answers:
        async for answer in answers:
            return answer.revision
    raise AssertionError("a stream says where it begins")
