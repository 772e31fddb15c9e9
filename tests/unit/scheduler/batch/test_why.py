"""What is told of a job that waits, and of the front of a queue."""

from shoal_scheduler.control.batch.why import Reasons
from shoal_scheduler.model.job import Job
from shoal_scheduler.model.job_queue import ConsumableResource, JobQueue
from shoal_scheduler.state.batch_changes import PutComputeEnvironment

from tests.unit.scheduler.batch.yard import Yard, environment, queue, taking
from tests.unit.scheduler.plane import instance


def why(yard: Yard, job: Job, child: int | None = None) -> str:
    return Reasons(yard.tables).of(job.id, child)


async def test_a_job_that_waits_for_room_says_where_it_stands_and_what_is_lacking() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=4096), queues=[queue(overtaking_max=2)])
    first = await yard.submit("small")
    big = await yard.submit("big")
    later = [await yard.submit("small") for _ in range(3)]
    assert why(yard, first) == ""
    assert why(yard, big) == (
        "1. of 2 in queue q; ce: RESOURCE:CPU on 1 instance; the nearest, host-x, lacks 3072 cpu units;"
        " overtaken by 2 of at most 2 later starts"
    )
    assert why(yard, later[2]) == (
        f"2. of 2 in queue q; job {big.id} (big) is before it and was overtaken 2 times, as often as may be: it starts"
        " first; ce: it fits now and is placed in its turn"
    )


async def test_what_no_instance_will_ever_hold_is_told_so() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=2048))
    assert why(yard, await yard.submit("big")).endswith(
        "lacks 2048 cpu units; no instance has as much in all: it waits until a bigger one joins"
    )


async def test_dependencies_are_named() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=1024))
    array = await yard.submit("small", array=2)
    whole = await yard.submit("small", dependsOn=[{"jobId": array.id}])
    each = await yard.submit("small", array=2, dependsOn=[{"jobId": array.id, "type": "N_TO_N"}])
    chain = await yard.submit("small", array=2, dependsOn=[{"type": "SEQUENTIAL"}])
    assert why(yard, whole) == f"waits for job {array.id} (small)"
    assert why(yard, each, 1) == f"waits for job {array.id} (small), child 1"
    assert why(yard, chain, 1) == "waits for its own child 0"
    assert why(yard, array, 0) == ""
    assert why(yard, array, 1).startswith("1. of 2 in queue q; ce: RESOURCE:CPU")


async def test_bounds_are_named() -> None:
    yard = Yard()
    await yard.open(
        instance("x", cpu=16 * 1024),
        environments=[environment("ce", max_vcpus=4), environment("off", state="DISABLED")],
        consumables=[ConsumableResource(name="licence", created_at=0, total=1)],
        queues=[JobQueue(name="q", created_at=0, environments=("off", "ce")), queue("one", max_concurrent=1)],
    )
    narrow = await yard.submit("small", array=3, arrayProperties={"maxConcurrent": 1})
    assert why(yard, narrow) == "maxConcurrent: 1 of its children run, no more may"
    queued = await yard.submit("small", "one", array=2)
    assert why(yard, queued) == "1. of 1 in queue one; maxConcurrent: 1 tasks of the queue run, no more may"
    licensed = await yard.submit("small", **taking("licence", 2))
    assert why(yard, licensed).endswith("lacks consumable resource licence: 2 wanted, 1 available"), "not: it fits now"
    await yard.submit("big")
    held_up = await yard.submit("small")
    assert "off: DISABLED, it takes no new jobs; ce: 6 vCPUs are held, its bound is 4" in why(yard, held_up)


async def test_the_front_of_a_queue_is_told_with_since_when_each_stands_at_its_place() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=2048))
    jobs = [await yard.submit("small") for _ in range(5)]
    known = Reasons(yard.tables).snapshot("q", yard.now)
    assert [each.job.id for each in known.front] == [job.id for job in jobs[2:]]
    assert [each.since for each in known.front] == sorted(each.since for each in known.front)
    assert known.vcpus == 2
    moved_at = yard.now + 2  # the step after the one that made room
    await yard.end(*yard.live(jobs[0]))
    await yard.run([], [PutComputeEnvironment(environment("ce"))])
    await yard.settle()
    assert [(each.job.id, each.since) for each in Reasons(yard.tables).snapshot("q", yard.now).front] == [
        (job.id, moved_at) for job in jobs[3:]
    ]
