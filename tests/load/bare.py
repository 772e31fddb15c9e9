"""The scheduler's own step on tables in memory, with nothing stored and time as the caller says."""

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.context import Context, Limits
from shoal_scheduler.control.step import step
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.job_definition import JobDefinition
from shoal_scheduler.model.task import ContainerState, Task
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.changes import Change, PutDefinition, PutTask
from shoal_scheduler.state.tables import Tables

from tests.unit.scheduler.plane import CountedIds


class Bare:
    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """`clock`: what steps are measured by, in seconds. That of the processor may itself take a millisecond."""
        self.tables, self.ids = Tables(), CountedIds()
        self._clock, self._rng, self._revision = clock, Random(1), 0

        # In milliseconds.
        self.now = 1

        # Tasks that were started since somebody cleared this.
        self.started: list[Task] = []

        # How long each step took, and to make it true, in seconds.
        self.seconds: list[float] = []
        self.apply_seconds: list[float] = []

    def one_step(self, inputs: Sequence[i.Input] = (), due: Sequence[Change] = ()) -> list[Any]:
        """The replies to the first of the inputs."""
        began = self._clock()
        result = step(self.tables, inputs, Context(self.now, self.ids, self._rng, Limits()), due)
        decided = self._clock()
        for fault in result.faults:
            raise fault.error
        self._revision += 1
        self.tables.apply(result.changes, self._revision)
        self.apply_seconds.append(self._clock() - decided)
        self.seconds.append(decided - began)
        for change in result.changes:
            if isinstance(change, PutTask) and change.task.version == 1:
                self.started.append(change.task)
        return list(result.replies)

    def take(self, inputs: Sequence[i.Input], due: Sequence[Change] = ()) -> list[Any]:
        """All of them and all that follows, at once in virtual time. Their replies."""
        left, replies = list(inputs), list[Any]()
        while left or due or self.tables.is_unsettled:
            replies += self.one_step(left, due)
            left, due = list(inputs[len(replies) :]), ()
        return replies


def job_definition(name: str, cpu: int, memory_mib: int = 0) -> list[Change]:
    """`name:1`; `cpu` in units."""
    container = {"name": "default", "image": "job", "cpu": cpu, "memory": memory_mib}
    document = {"family": f"batch:{name}", "containerDefinitions": [container]}
    return [
        b.PutJobDefinition(JobDefinition(name=name, revision=1, registered_at=0)),
        PutDefinition(Definition(family=f"batch:{name}", revision=1, registered_at=0, document=document)),
    ]


def ended(task: Task) -> i.TaskReport:
    """Its agent says that it is over, and has succeeded."""
    return i.TaskReport(
        instance=task.instance,
        incarnation=1,
        task=task.id,
        last_status="STOPPED",
        containers=(ContainerState("default", "STOPPED", exit_code=0),),
        stop_code="EssentialContainerExited",
    )
