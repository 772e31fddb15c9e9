"""The newest status of each task, on its way to the scheduler. No backlog: a newer report replaces an older one.

A report is kept until an acknowledgement covers the very report that is newest; whatever was under way when a
session broke is sent again in the next.
"""

import asyncio
from dataclasses import dataclass

from shoal_agent.task import Report

REPORTS_PER_MESSAGE_MAX = 1000


@dataclass(frozen=True, slots=True)
class Batch:
    sequence: int
    reports: tuple[Report, ...]


class Reporter:
    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._newest: dict[str, Report] = {}
        self._waiting: dict[str, None] = {}  # in the order in which they became known
        self._under_way: dict[int, Batch] = {}
        self._sequence = 0

    def offer(self, report: Report) -> None:
        self._newest[report.task_id] = report
        self._waiting[report.task_id] = None
        self.changed.set()

    def take(self) -> Batch | None:
        """The next reports to send; None if nothing waits."""
        if not self._waiting:
            self.changed.clear()
            return None
        chosen = list(self._waiting)[:REPORTS_PER_MESSAGE_MAX]
        for task_id in chosen:
            del self._waiting[task_id]
        self._sequence += 1
        batch = Batch(self._sequence, tuple(self._newest[task_id] for task_id in chosen))
        self._under_way[batch.sequence] = batch
        return batch

    def acknowledge(self, sequence: int) -> list[str]:
        """All batches up to `sequence` are stored. The tasks of which that was the last word."""
        ended = []
        for number in [number for number in self._under_way if number <= sequence]:
            for report in self._under_way.pop(number).reports:
                if self._newest.get(report.task_id) is not report:
                    continue
                self.drop(report.task_id)  # also if it waits to be sent once more
                if report.last_status == "STOPPED":
                    ended.append(report.task_id)
        return ended

    @property
    def unacknowledged(self) -> bool:
        return bool(self._under_way)

    def rewind(self) -> None:
        """The session broke: everything without an acknowledgement waits again."""
        self._under_way.clear()
        self._waiting = dict.fromkeys(self._newest)
        if self._waiting:
            self.changed.set()

    def drop(self, task_id: str) -> None:
        """The scheduler does not want to hear of it."""
        self._newest.pop(task_id, None)
        self._waiting.pop(task_id, None)
