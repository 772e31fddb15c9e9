"""Which jobs start: in order, past those that do not fit, but not past them for ever."""

from shoal_scheduler.model.job_queue import JobQueue

from tests.unit.scheduler.batch.yard import Yard
from tests.unit.scheduler.plane import instance


def queue(name: str = "q", **more: object) -> JobQueue:
    return JobQueue(name=name, created_at=0, environments=("ce",), **more)  # type: ignore[arg-type]


async def test_jobs_start_in_order_and_a_task_that_ends_makes_room_for_the_next() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=2048))
    jobs = [await yard.submit("small") for _ in range(4)]
    assert yard.runs(*jobs) == [1, 1, 0, 0]
    (task,) = yard.live(jobs[0])
    assert (task.instance, task.launch.definition, task.launch.group) == ("x", "batch:small:1", "job-queue:q")
    assert task.launch.job is not None
    assert (task.launch.job.job, task.launch.job.environment, task.launch.job.attempt) == (jobs[0].id, "ce", 1)
    await yard.end(task)
    assert yard.runs(*jobs) == [0, 1, 1, 0]


async def test_a_big_job_is_overtaken_as_often_as_its_queue_says_and_not_once_more() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=4096), queues=[queue(overtaking_max=3)])
    first = [await yard.submit("small") for _ in range(2)]
    big = await yard.submit("big")
    later = [await yard.submit("small") for _ in range(6)]
    assert yard.runs(*first, big, *later) == [1, 1, 0, 1, 1, 0, 0, 0, 0]
    assert yard.overtaken(big) == 2
    await yard.end(*yard.live(first[0]))
    assert yard.runs(*later) == [1, 1, 1, 0, 0, 0]
    await yard.end(*yard.live(first[1]), *yard.live(later[0]))
    assert yard.runs(big, *later) == [0, 0, 1, 1, 0, 0, 0]
    await yard.end(*yard.live(later[1]), *yard.live(later[2]))
    assert yard.runs(big, *later) == [1, 0, 0, 0, 0, 0, 0]
    await yard.end(*yard.live(big))
    assert yard.runs(big, *later) == [0, 0, 0, 0, 1, 1, 1]
