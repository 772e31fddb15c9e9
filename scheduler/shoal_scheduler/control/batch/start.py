"""Which jobs start now: looked at in every step after one that changed something, in the order of queues and jobs.

Queues come by descending priority, then by name; the jobs of a queue in the order of their keys. A job that does not
fit lets later ones pass, but no more of their tasks than `overtaking_max` of its queue: beyond that nothing behind it
starts before it has, in its queue, in those of a lower priority that share a compute environment with it, and in those
of the same priority if it is younger. A job that could not start on any instance even if nothing ran holds up nobody.
One that lacks a consumable resource holds up those that take the same.

Jobs that ask for the same are tried once. What a step has no time for, the next goes on with.
"""

from collections.abc import Sequence
from itertools import islice

from shoal_scheduler.control.batch.holding_up import HoldsUp
from shoal_scheduler.control.batch.overtaking import Overtaking
from shoal_scheduler.control.batch.queue_look import QueueLook, Shared
from shoal_scheduler.control.batch.rooms import Rooms
from shoal_scheduler.control.context import Context
from shoal_scheduler.model.job_queue import JobQueue
from shoal_scheduler.state.batch_changes import SetLooked
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.waiting_jobs import Looked, Standing, WaitingJobs

# Jobs at the front of a queue of which it is known since when they stand at their place.
FRONT_MAX = 100


def start(view: Overlay, context: Context, keys_max: int) -> None:
    """Proposes what starts, until the step has touched `keys_max` keys; the next step goes on. Once a step."""
    queues = in_order(view.batch.queues())
    if all(view.batch.waiting(queue.name).is_settled for queue in queues):
        return
    rooms, gone = Rooms(view), set[str]()
    overtaking = {
        queue.name: Overtaking(view.batch.waiting(queue.name), queue.overtaking_max, HoldsUp(view, rooms, queue, gone))
        for queue in queues
    }
    shared = Shared(view, context, keys_max, rooms, overtaking, frozenset(view.unsettled), gone)
    is_unsure = False
    for queue in queues:
        jobs = view.batch.waiting(queue.name)
        if jobs.is_settled and not (jobs and jobs.looked.is_barred):
            continue
        if is_unsure:  # what is left may be for those before
            looked = jobs.looked._replace(is_partial=True, resume=None)
        else:
            look = QueueLook(queue, coming_before(queue, queues), shared)
            looked, is_unsure = look.run(), look.is_unsure
        view.propose([SetLooked(queue.name, looked._replace(front=_front(jobs, gone, context.now)))])


def in_order(queues: Sequence[JobQueue]) -> list[JobQueue]:
    return sorted(queues, key=lambda queue: (-queue.priority, queue.name))


def coming_before(queue: JobQueue, queues: Sequence[JobQueue]) -> list[JobQueue]:
    """Of others that share a compute environment: those served before it, or for older jobs."""
    shared = set(queue.environments)
    return [
        other
        for other in queues
        if other.name != queue.name and other.priority >= queue.priority and shared & set(other.environments)
    ]


def _front(jobs: WaitingJobs, gone: set[str], now: int) -> tuple[Standing, ...]:
    known: Sequence[Standing] = jobs.looked.front
    waiting = (key.job for key in jobs if key.job not in gone)
    found = []
    for place, job in enumerate(islice(waiting, FRONT_MAX)):
        is_there = place < len(known) and known[place].job == job
        found.append(known[place] if is_there else Standing(job, now))
    return tuple(found)


def settled(view: Overlay) -> list[SetLooked]:
    """As if all had been looked at: where a look fails, the next step must not come at once, and fail again."""
    waiting = ((queue.name, view.batch.waiting(queue.name)) for queue in view.batch.queues())
    return [SetLooked(name, Looked(jobs.stirs)) for name, jobs in waiting]
