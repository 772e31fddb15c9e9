"""Which jobs start: in order, past those that do not fit, but not past them for ever."""

from typing import Any

import pytest
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.batch import bounds
from shoal_scheduler.control.batch.job_inputs import CancelJob, SubmitJob
from shoal_scheduler.control.batch.why import Reasons
from shoal_scheduler.control.step import step
from shoal_scheduler.model.job import Job
from shoal_scheduler.model.job_queue import NON_REPLENISHABLE, ConsumableResource, JobQueue
from shoal_scheduler.state.batch_changes import PutComputeEnvironment, PutJobQueue
from shoal_scheduler.state.batch_overlay import BatchOverlay
from shoal_scheduler.state.store import Stored, Transaction
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.writes import changes_in

from tests.unit.scheduler.batch.yard import Yard, document, environment, queue, taking
from tests.unit.scheduler.plane import instance, report

WHOLE: dict[str, Any] = {"name": "app", "image": "busybox", "cpu": 4096, "memory": 10}


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


async def test_with_a_bound_of_none_jobs_start_strictly_in_order() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=4096), queues=[queue(overtaking_max=0)])
    jobs = [await yard.submit(size) for size in ("small", "big", "small")]
    assert yard.runs(*jobs) == [1, 0, 0]
    await yard.end(*yard.live(jobs[0]))
    assert yard.runs(*jobs) == [0, 1, 0]


async def test_what_could_never_start_holds_up_nobody() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=4096), queues=[queue(overtaking_max=0)], sizes={"small": 1024, "huge": 8192})
    huge, *jobs = [await yard.submit(size) for size in ("huge", "small", "small")]
    assert yard.runs(huge, *jobs) == [0, 1, 1]
    await yard.one(instance("y", cpu=8192))
    await yard.settle()
    assert yard.runs(huge) == [1]


async def test_higher_priorities_start_first() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=1024))
    first = await yard.submit("small")
    low = await yard.submit("small")
    high = await yard.submit("small", schedulingPriorityOverride=5)
    await yard.end(*yard.live(first))
    assert yard.runs(low, high) == [0, 1]


async def test_queues_come_by_priority_and_hold_up_those_below_that_share_their_environment() -> None:
    yard = Yard()
    await yard.open(
        instance("x", cpu=4096),
        queues=[queue("low", priority=1), queue("high", priority=2, overtaking_max=2)],
    )
    first = await yard.submit("small", "low")
    big = await yard.submit("big", "high")
    later = [await yard.submit("small", "low") for _ in range(4)]
    assert yard.runs(first, big, *later) == [1, 0, 1, 1, 0, 0]
    assert yard.overtaken(big) == 2
    await yard.end(*yard.live(first), *yard.live(later[0]), *yard.live(later[1]))
    assert yard.runs(big, *later) == [1, 0, 0, 0, 0]
    await yard.end(*yard.live(big))
    assert yard.runs(*later) == [0, 0, 1, 1]


async def test_a_job_that_held_up_others_and_is_cancelled_lets_them_go() -> None:
    yard = Yard()
    await yard.open(
        instance("x", cpu=4096), queues=[queue("low", priority=1), queue("high", priority=2, overtaking_max=0)]
    )
    first = await yard.submit("small", "low")
    big = await yard.submit("big", "high")
    later = await yard.submit("small", "low")
    assert yard.runs(first, big, later) == [1, 0, 0]
    await yard.one(CancelJob(big.id, "changed my mind"))
    await yard.settle()
    assert yard.runs(later) == [1]


async def test_an_array_starts_as_many_children_as_there_is_room_for_in_one_launch() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=3072), instance("y", cpu=2048))
    array = await yard.submit("small", array=8)
    after = await yard.submit("small")
    assert yard.runs(array, after) == [5, 0]
    (launch,) = {task.launch.id: task.launch for task in yard.live(array)}.values()
    assert launch.job is not None
    assert launch.job.children == ((0, 4),)
    await yard.end(*yard.live(array))
    assert yard.runs(array, after) == [3, 1]
    assert sorted(yard.tables.batch.jobs[array.id].live) == [5, 6, 7]


async def test_each_task_of_an_array_overtakes() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=4096), queues=[queue(overtaking_max=2)])
    first = await yard.submit("small")
    big = await yard.submit("big")
    array = await yard.submit("small", array=3)
    assert yard.runs(first, big, array) == [1, 0, 2]
    await yard.end(*yard.live(first), *yard.live(array))
    assert yard.runs(big, array) == [1, 0]


async def test_no_more_children_of_a_job_run_than_it_says() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=8192), queues=[queue(overtaking_max=0)])
    array = await yard.submit("small", array=5, arrayProperties={"maxConcurrent": 2})
    after = await yard.submit("small")
    assert yard.runs(array, after) == [2, 1]
    await yard.end(yard.live(array)[0])
    assert yard.runs(array) == [2]


async def test_no_more_tasks_of_a_queue_run_than_it_says() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=8192), queues=[queue(max_concurrent=3), queue("other", overtaking_max=0)])
    array = await yard.submit("small", array=5)
    job = await yard.submit("small")
    other = await yard.submit("small", "other")
    assert yard.runs(array, job, other) == [3, 0, 1]
    await yard.end(*yard.live(array)[:1])
    assert yard.runs(array, job) == [3, 0]
    await yard.run([], [PutJobQueue(queue(max_concurrent=0))])
    await yard.settle()
    assert yard.runs(array, job) == [4, 1]


async def test_an_environment_takes_jobs_until_it_holds_as_many_vcpus_as_it_may() -> None:
    yard = Yard()
    await yard.open(
        instance("x", cpu=16 * 1024),
        environments=[environment("ce", max_vcpus=6), environment("more", max_vcpus=1)],
        queues=[JobQueue(name="q", created_at=0, environments=("ce", "more"))],
    )
    jobs = [await yard.submit("big") for _ in range(4)]
    assert yard.runs(*jobs) == [1, 1, 1, 0]
    assert [yard.live(job)[0].launch.job.environment for job in jobs[:3]] == ["ce", "ce", "more"]  # type: ignore[union-attr]
    await yard.end(*yard.live(jobs[0]))
    assert yard.runs(*jobs) == [0, 1, 1, 1]


async def test_environments_are_tried_in_their_order_and_choose_instances_by_their_expression() -> None:
    yard = Yard()
    await yard.open(
        instance("x", cpu=1024, attributes={"rack": "a"}),
        instance("y", cpu=4096, attributes={"rack": "b"}),
        environments=[environment("a", expression="attribute:rack == a"), environment("b", state="DISABLED")],
        queues=[JobQueue(name="q", created_at=0, environments=("b", "a"))],
    )
    jobs = [await yard.submit("small") for _ in range(2)]
    assert [[task.instance for task in yard.live(job)] for job in jobs] == [["x"], []]
    await yard.run([], [PutComputeEnvironment(environment("b"))])
    await yard.settle()
    assert [task.instance for task in yard.live(jobs[1])] == ["y"]


async def test_what_jobs_hold_of_a_resource_comes_back_and_what_they_use_up_does_not() -> None:
    yard = Yard()
    await yard.open(
        instance("x", cpu=16 * 1024),
        consumables=[
            ConsumableResource(name="licence", created_at=0, total=3),
            ConsumableResource(name="ticket", created_at=0, type=NON_REPLENISHABLE, total=3),
        ],
    )
    array = await yard.submit("small", array=4, **taking("licence", 2))
    assert yard.runs(array) == [1]
    await yard.end(*yard.live(array))
    assert yard.runs(array) == [1]
    paying = await yard.submit("small", array=4, **taking("ticket", 1))
    assert yard.runs(paying) == [3]
    await yard.end(*yard.live(paying))
    assert yard.runs(paying) == [0]
    assert (await yard.reloaded()).batch.consumables["ticket"].used == 3


async def test_who_waits_for_a_resource_holds_up_those_that_take_it_and_no_others() -> None:
    yard = Yard()
    await yard.open(
        instance("x", cpu=16 * 1024),
        consumables=[ConsumableResource(name="licence", created_at=0, total=3)],
        queues=[queue(overtaking_max=0)],
    )
    first = await yard.submit("small", **taking("licence", 2))
    greedy = await yard.submit("small", **taking("licence", 3))
    modest = await yard.submit("small", **taking("licence", 1))
    other = await yard.submit("small")
    assert yard.runs(first, greedy, modest, other) == [1, 0, 0, 1]
    await yard.end(*yard.live(first))
    assert yard.runs(greedy, modest) == [1, 0]


async def test_ordinary_tasks_that_wait_come_first_and_what_is_held_for_them_is_left_alone() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=4096))
    job = await yard.submit("small", array=3)
    await yard.one(i.RegisterTaskDefinition({"family": "web", "containerDefinitions": [WHOLE]}, {}, "test"))
    launched = await yard.one(i.RunTask("default", "web", 1, queue=True))
    later = await yard.submit("small")
    assert yard.runs(job, later) == [3, 0]
    await yard.end(*yard.live(job))
    task = yard.tables.task(launched.tasks[0].key)
    assert task is not None
    assert task.instance == "x"
    assert yard.runs(later) == [0]


async def test_a_queue_that_takes_no_new_jobs_still_starts_what_it_has() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=1024))
    jobs = [await yard.submit("small") for _ in range(2)]
    await yard.run([], [PutJobQueue(queue(state="DISABLED"))])
    await yard.end(*yard.live(jobs[0]))
    assert yard.runs(jobs[1]) == [1]


async def test_a_step_starts_what_its_transaction_has_room_for_and_the_next_goes_on() -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=1024 * 1024), sizes={"small": 1024, "whole": 1024 * 1024})
    blocker = await yard.submit("whole")
    jobs = [job for _ in range(3) for job in await yard.run([SubmitJob(document("small"))] * 60)]
    await yard.settle()
    assert sum(yard.runs(*jobs)) == 0
    await yard.run([report(yard.live(blocker)[0], "STOPPED")])
    await yard.run([])
    assert 0 < sum(yard.runs(*jobs)) < len(jobs)
    assert yard.tables.is_unsettled
    assert await yard.settle() < 6
    assert sum(yard.runs(*jobs)) == len(jobs)


async def test_a_job_that_a_rule_fails_with_is_told_and_set_aside_and_keeps_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=4096))
    known = bounds.of_job

    def fail(batch: BatchOverlay, job: Job) -> int:
        return 1 // 0 if job.name == "poisonous" else known(batch, job)

    monkeypatch.setattr(bounds, "of_job", fail)
    poisonous, job = await yard.run([SubmitJob(document("small", jobName="poisonous")), SubmitJob(document("small"))])
    result = step(yard.tables, [], yard.context)
    assert [type(fault.error.__cause__) for fault in result.faults] == [ZeroDivisionError]
    await yard.settle()
    assert yard.runs(poisonous, job) == [0, 1]
    assert Reasons(yard.tables).of(poisonous.id).startswith("it could not be looked at")


async def test_a_look_that_fails_is_told_and_not_tried_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Yard()
    await yard.open(instance("x", cpu=4096))

    def fail(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(bounds, "of_queue", fail)
    await yard.one(SubmitJob(document("small")))
    result = step(yard.tables, [], yard.context)
    assert [type(fault.error) for fault in result.faults] == [ZeroDivisionError]
    yard.tables.apply(result.changes, yard.tables.revision)
    assert not yard.tables.is_unsettled
    monkeypatch.undo()
    job = await yard.submit("small")
    assert yard.runs(job) == [1]


async def test_who_follows_knows_how_often_a_job_was_overtaken_and_who_loads_counts_anew() -> None:
    yard, followed, known = Yard(), Tables(), dict[bytes, Stored]()

    def follow() -> None:
        """What was stored since the last call, as one transaction."""
        stored = dict(yard.cluster.records)
        puts = [record for key, record in stored.items() if known.get(key) != record]
        gone = [key for key in known if key not in stored]
        followed.apply(changes_in(followed, Transaction(yard.store.revision, puts, gone, None)), yard.store.revision)
        known.clear()
        known.update(stored)

    await yard.open(instance("x", cpu=4096), queues=[queue(overtaking_max=3)])
    first = await yard.submit("small")
    big = await yard.submit("big")
    follow()
    for _ in range(2):
        await yard.submit("small")
        follow()
    assert yard.runs(first, big) == [1, 0]
    assert followed.batch.waiting["q"].overtaken(big.id) == yard.overtaken(big) == 2
    assert (await yard.reloaded()).batch.waiting["q"].overtaken(big.id) == 0
