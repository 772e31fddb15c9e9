"""Hosts that go at a known time, as spot hosts do: their tasks end before, and go on elsewhere. Pure.

The instance is DRAINING and keeps the record of its interruption: what is to follow from it is found there, by whoever
leads. Its tasks are to stop at once; their agent sees to it that they are over by the deadline. Those that say what
becomes of them when their host is lost (`onDisconnect`) are replaced when they have ended, in the same transaction.

What runs for a service leaves its instance as it leaves one that is drained: others take its place first, within the
service's percents (control.services.rolling). It is to stop when no more time is left than it takes to stop.
"""

from math import inf

import msgspec
from shoal.interruption import NOTICE
from shoal.stopping import stop_seconds

from shoal_scheduler.control import definitions, host_loss, tasks
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.host_loss import Look
from shoal_scheduler.control.services import drain
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.interruption import Interruption, Noticed
from shoal_scheduler.model.task import Task
from shoal_scheduler.state import changes as c
from shoal_scheduler.state import keys
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.tables import Tables

# What an agent repeats when it comes back is as late as its message: not each of them is a deadline of its own.
SHORTENED_MILLIS_MIN = 1000

# For a task that is replaced first: to hear that it is to stop, and to tell that it has, while its host is there.
MARGIN_SECONDS = 5.0

# What one step may write for them, so that it fits a transaction of any etcd: chunks, and tasks in these, for a chunk
# is written whole and each of its tasks may have a long reason.
CHUNKS_PER_STEP = 80
TASKS_PER_STEP = 2_000


def interrupted(instance: Instance, new: Interruption) -> Instance:
    """The instance with it; the same object if that says nothing new. The first stands, but for a deadline that is
    earlier."""
    known = instance.interruption
    if known is None:
        return msgspec.structs.replace(instance, status="DRAINING", interruption=new, version=instance.version + 1)
    if instance.status == "DRAINING" and new.deadline > known.deadline - SHORTENED_MILLIS_MIN:
        return instance
    earlier = msgspec.structs.replace(known, deadline=min(known.deadline, new.deadline))
    return msgspec.structs.replace(instance, status="DRAINING", interruption=earlier, version=instance.version + 1)


def noticed(instance: Instance, said: Noticed, now: int) -> Instance:
    """The instance whose agent tells of a notice, as `interrupted`."""
    deadline = now + max(0, said.remaining_millis)
    return interrupted(instance, Interruption(source=NOTICE, noticed_at=now, deadline=deadline, reason=said.reason))


def notice(view: Overlay, request: i.InterruptionNoticed, context: Context) -> Outcome:
    """Of the session that is open: a later one begins with what was not acknowledged."""
    instance = view.instance(request.instance)
    if instance is None or view.session(request.instance) != request.incarnation:
        return Outcome(None)
    seen = noticed(instance, request.said, context.now)
    return Outcome(seen, [c.PutInstance(seen)] if seen is not instance else [])


def look(tables: Tables, now: float, context: Context) -> Look:
    """The wish to stop for tasks of interrupted instances that nobody has asked to stop yet: as many as one step may
    touch, and the rest in the next. `now`: seconds of a clock that never goes back."""
    found: list[c.Change] = []
    due_at = inf
    chunks: dict[tuple[str, int], int] = {}
    for instance in tables.instances.values():
        why = instance.interruption
        if why is None:
            continue
        words = why.words(host_loss.name_of(instance))
        for task in tables.tasks_on(instance.id):
            stopping = tasks.stopping(task, why.stop_code, words, context.now)
            if stopping is task:
                continue
            left = _stops_at(tables, task, why) - context.now
            if left > 0:
                due_at = min(due_at, now + left / 1000)
                continue
            number = task.index // keys.TASKS_PER_CHUNK
            there = task.launch.count - number * keys.TASKS_PER_CHUNK
            chunks[task.launch.id, number] = min(there, keys.TASKS_PER_CHUNK)
            if len(chunks) > 1 and (len(chunks) > CHUNKS_PER_STEP or sum(chunks.values()) > TASKS_PER_STEP):
                return Look(found, -inf)
            found.append(c.PutTask(stopping))
    return Look(found, due_at)


def _stops_at(tables: Tables, task: Task, why: Interruption) -> float:
    """The moment at which it is to stop, in milliseconds."""
    if task.launch.service is None or task.last_status != "RUNNING":
        return -inf
    stop = stop_seconds(definitions.find(tables, task.launch.definition).containers)
    return why.deadline - (drain.delay(tables.records, task) + stop + MARGIN_SECONDS) * 1000
