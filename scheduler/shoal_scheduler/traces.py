"""Where the time of a task's start went, for the newest tasks only. In memory: a trace is not worth a write."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from shoal_scheduler.model.task import TaskKey

TASKS_MAX = 5_000
SPANS_PER_TASK_MAX = 100


class Span(NamedTuple):
    name: str
    start_micros: int
    duration_micros: int


class Traces:
    def __init__(self) -> None:
        self._spans: OrderedDict[TaskKey, dict[str, Span]] = OrderedDict()

    def add(self, key: TaskKey, spans: Sequence[Span]) -> None:
        """A span of a name that is there replaces it: reports repeat what was said before."""
        if not spans:
            return
        known = self._spans.setdefault(key, {})
        for span in spans:
            if span.name in known or len(known) < SPANS_PER_TASK_MAX:
                known[span.name] = span
        while len(self._spans) > TASKS_MAX:
            self._spans.popitem(last=False)

    def of(self, key: TaskKey) -> list[Span]:
        return sorted(self._spans.get(key, {}).values(), key=lambda span: span.start_micros)
