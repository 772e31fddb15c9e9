"""What the end of a service's task means for its deployment, in the same step: what the circuit breaker and the
throttle count must not be forgotten, whoever leads."""

from collections.abc import Sequence
from typing import NamedTuple

from shoal_scheduler.control.context import Context
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.changes import Change, PutTask
from shoal_scheduler.state.overlay import Overlay

# What one ended task of a service touches: its deployment.
KEYS_PER_END = 1


class End(NamedTuple):
    """A task of a service before and after it ended."""

    before: Task
    task: Task


def ending_now(view: Overlay, changes: Sequence[Change]) -> list[End]:
    """Tasks of services that end by these changes. `view` does not know the changes yet."""
    found = []
    for change in changes:
        if isinstance(change, PutTask) and change.task.launch.service is not None and change.task.is_stopped:
            before = view.task(change.task.key)
            if before is not None and not before.is_stopped:
                found.append(End(before, change.task))
    return found


def ended(view: Overlay, ends: Sequence[End], context: Context) -> None:
    """Proposes what it means that these tasks are over, which `view` knows now."""
