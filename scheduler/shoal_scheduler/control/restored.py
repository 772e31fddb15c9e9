"""What a restored store is to hold: the records of a snapshot, so changed that nothing runs or counts twice. Pure.

A restore takes the cluster back to an earlier moment, but hosts went on meanwhile. So:
- a task that an agent may have started since counts as started: an agent that knows nothing of it reports it lost,
  and never starts it;
- a task that waited for room may have been placed since, on any host, and may be over: it is STOPPED;
- revisions, epochs and fences go on above everything that may have been handed out, by `base`.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from shoal.lifecycle import has_started

from shoal_scheduler.control.tasks import over
from shoal_scheduler.model.task import Launch, Task
from shoal_scheduler.state import codec, keys
from shoal_scheduler.state.store import Stored

# Far more than are stored between a backup and its restore; and an epoch that counts microseconds lies above all
# that a store could count to which was itself restored before.
REVISIONS_BETWEEN = 10**9
REASON = "The cluster was restored from a backup taken before this task was placed; whether it has run since is unknown"
STOP_CODE = "TaskFailedToStart"


def new_base(revision: int, now_micros: int) -> int:
    """Above every revision that the store of this snapshot, or an earlier restore of it, has ever come to."""
    return max(revision + REVISIONS_BETWEEN, now_micros)


def records(stored: Mapping[bytes, Stored], now: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values to be written. `now` in milliseconds since the epoch."""
    launches = {
        record.key.decode().split("/")[5]: codec.decode(Launch, record.value)
        for record in stored.values()
        if keys.kind(record.key) == "launches"
    }
    for record in stored.values():
        if keys.kind(record.key) == "tasks":
            launch = launches[record.key.decode().split("/")[5]]
            tasks = codec.decode_chunk(launch, record.value, record.mod_revision)
            yield record.key, codec.encode_chunk(_restored(tasks, now))
        else:
            yield record.key, record.value


def _restored(tasks: Iterable[Task], now: int) -> Iterator[Task]:
    for task in tasks:
        if task.is_stopped:
            yield task
        elif not task.instance:
            yield over(task, STOP_CODE, REASON, now)
        elif not has_started(task.last_status):
            yield msgspec.structs.replace(task, last_status="ACTIVATING", version=task.version + 1)
        else:
            yield task
