"""How many tasks of a job may start, whatever room there is: what users and operators have set an upper bound to."""

from shoal_scheduler.model.job import Job
from shoal_scheduler.model.job_queue import NON_REPLENISHABLE, ComputeEnvironment, ConsumableResource, JobQueue
from shoal_scheduler.state.batch_overlay import BatchOverlay

CPU_UNITS_PER_VCPU = 1024
UNBOUNDED = 2**31


def of_job(batch: BatchOverlay, job: Job) -> int:
    return job.max_concurrent - batch.live_count(job.id) if job.max_concurrent else UNBOUNDED


def of_queue(batch: BatchOverlay, queue: JobQueue) -> int:
    return queue.max_concurrent - batch.running(queue.name) if queue.max_concurrent else UNBOUNDED


def of_environment(batch: BatchOverlay, environment: ComputeEnvironment, cpu: int) -> int:
    """As long as fewer vCPUs are held than the bound says: so the last one may go beyond it, as in Batch."""
    left = environment.max_vcpus * CPU_UNITS_PER_VCPU - batch.held_vcpus(environment.name)
    if not environment.max_vcpus or (left > 0 and not cpu):
        return UNBOUNDED
    return -(-left // cpu) if left > 0 else 0


def of_consumables(batch: BatchOverlay, wanted: tuple[tuple[str, int], ...]) -> int:
    return min([available(batch, name) // amount for name, amount in wanted if amount], default=UNBOUNDED)


def lacking(batch: BatchOverlay, wanted: tuple[tuple[str, int], ...]) -> frozenset[str]:
    """Consumable resources of which not enough is there for one task."""
    return frozenset(name for name, amount in wanted if available(batch, name) < amount)


def available(batch: BatchOverlay, name: str) -> int:
    """0 of one that is not there (any more)."""
    resource = batch.consumable(name)
    return 0 if resource is None else max(0, resource.total - taken(batch, resource))


def will_ever_do(batch: BatchOverlay, wanted: tuple[tuple[str, int], ...]) -> bool:
    """Whether there is enough for one task as soon as what is held comes back."""
    for name, amount in wanted:
        resource = batch.consumable(name)
        if resource is None or resource.total - resource.used < amount:
            return False
    return True


def taken(batch: BatchOverlay, resource: ConsumableResource) -> int:
    """By tasks that are not STOPPED; or for good."""
    return resource.used if resource.type == NON_REPLENISHABLE else batch.consumed(resource.name)
