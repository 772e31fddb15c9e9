"""What a look at a service decides to do with its tasks."""

from dataclasses import dataclass

from shoal_scheduler.model.task import Task


@dataclass(frozen=True, slots=True)
class Stop:
    task: Task
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`start`: so many tasks of the revision that is wanted, anywhere; `start_on`: one on each of these instances.
    `due_at`: when to look again even if nothing changes, in milliseconds."""

    start: int = 0
    start_on: tuple[str, ...] = ()
    stop: tuple[Stop, ...] = ()
    due_at: int | None = None

    # Something is to be replaced, and the percents let neither start nor stop anything.
    is_stuck: bool = False
