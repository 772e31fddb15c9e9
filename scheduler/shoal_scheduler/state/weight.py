"""About how many bytes a step writes: etcd takes 1.5 MiB in a request.

What weighs are chunks of tasks: each is written whole, whichever of its tasks changed.
"""

from shoal_scheduler.model.service import ServiceEvents
from shoal_scheduler.model.task import Launch
from shoal_scheduler.state import keys

# Of a task that is over; and of one that was just placed.
BYTES_PER_TASK = 340
BYTES_PER_NEW_TASK = 100

# A step that may write so many keys may write as many times this: a megabyte with the 255 that it writes at most.
BYTES_PER_KEY = 4_000


# Of an event of a service, with a name or two of tasks.
BYTES_PER_EVENT = 200


def record_bytes(record: object) -> int:
    """Beyond what a key may weigh anyway."""
    return BYTES_PER_EVENT * len(record.events) if isinstance(record, ServiceEvents) else 0


def chunk_bytes(launch: Launch, index: int, *, is_new: bool = False) -> int:
    """The chunk that the task of this index is in."""
    first = index // keys.TASKS_PER_CHUNK * keys.TASKS_PER_CHUNK
    tasks = min(keys.TASKS_PER_CHUNK, launch.count - first)
    return tasks * (BYTES_PER_NEW_TASK if is_new else BYTES_PER_TASK)
