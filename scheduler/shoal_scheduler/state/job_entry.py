"""What the tables hold of one job: its records, and what is derived from them and from its tasks."""

from dataclasses import dataclass, field

from shoal_scheduler.model.ask import Ask
from shoal_scheduler.model.job import TERMINATE, Job, JobChunk, JobState
from shoal_scheduler.model.task import TaskKey
from shoal_scheduler.state.startable import runnable_at


@dataclass(slots=True)
class JobEntry:
    job: Job
    ask: Ask

    # As long as there is nothing to say of the job as a whole, none is stored.
    state: JobState
    state_is_stored: bool = False
    chunks: dict[int, JobChunk] = field(default_factory=dict)

    # Derived: children whose bits say so; and all chunks before this one are over.
    succeeded: int = 0
    failed: int = 0
    first_open: int = 0

    # Derived: the task of each child that has one which is not STOPPED; the same as bits by chunk; those that run, and
    # those that are to stop. Launches that are kept, in their order.
    live: dict[int, TaskKey] = field(default_factory=dict)
    live_bits: dict[int, int] = field(default_factory=dict)
    started: dict[int, None] = field(default_factory=dict)
    stopping: dict[int, None] = field(default_factory=dict)
    launches: dict[str, None] = field(default_factory=dict)

    # When a task of it started last, as far as its launches are kept.
    newest_start: int = 0

    # Derived: jobs that are to succeed as a whole before it starts and are not over; whether one of them failed.
    waits_for: dict[str, None] = field(default_factory=dict)
    is_doomed: bool = False

    # Derived, with N_TO_N: chunks with a child that may start, and with one that never will.
    ready: dict[int, None] = field(default_factory=dict)
    failing: dict[int, None] = field(default_factory=dict)

    @property
    def is_unsettled(self) -> bool:
        """Something is to be written of it that follows from other jobs, or tasks of it are still to be stopped."""
        if self.state.outcome:
            return False
        is_due = not self.waits_for and not runnable_at(self.job, self.state)
        is_to_stop = self.state.wish == TERMINATE and len(self.stopping) < len(self.live)
        return self.is_doomed or is_due or is_to_stop or bool(self.failing)
