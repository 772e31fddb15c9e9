"""What a service says of itself: in ECS's words, and not again and again."""

from shoal_scheduler.control.services import events
from shoal_scheduler.model.service import EVENTS_MAX, ServiceEvents

from tests.unit.scheduler.plane import Plane, instance
from tests.unit.scheduler.services.stage import CHECKED, Stage, percents

NONE = ServiceEvents(cluster="default", service="web")


async def test_what_it_starts_and_stops() -> None:
    stage = Stage()
    await stage.open(instance("a"))
    await stage.create(2)
    one, two = stage.tasks
    assert stage.events == [f"(service web) has started 2 tasks: (task {one.id}) (task {two.id})."]
    await stage.start()
    await stage.wait(40)
    assert stage.events[-1] == "(service web) has reached a steady state."
    await stage.change(desired_count=1)
    assert stage.events[-1] == f"(service web) has stopped 1 running tasks: (task {two.id})."


async def test_why_a_task_finds_no_room_once_for_the_same_causes() -> None:
    stage = Stage()
    await stage.open(instance("a", cpu=512))
    await stage.create(4)
    (told,) = (event for event in stage.events if events.UNPLACED in event)
    assert "lacks 256 CPU units" in told or "RESOURCE:CPU on 1 instance" in told
    for desired in (5, 6):
        await stage.change(desired_count=desired)
    await stage.start()
    await stage.wait(300)
    assert sum(events.UNPLACED in event for event in stage.events) == 1


async def test_that_there_is_no_instance_at_all() -> None:
    stage = Stage()
    await stage.open()
    await stage.create(1)
    assert "the cluster has no container instances" in stage.events[-1]


async def test_that_a_task_is_unhealthy_and_why() -> None:
    stage = Stage()
    await stage.open(instance("a"), document=CHECKED)
    await stage.create(1, configuration=percents(0, 100))
    await stage.start()
    (task,) = stage.tasks
    await stage.tell_health(task, "UNHEALTHY")
    assert f"(service web) (task {task.id}) is unhealthy: Task failed container health checks." in stage.events


async def test_a_steady_state_is_said_again_after_a_change() -> None:
    stage = Stage()
    await stage.open(instance("a"))
    await stage.create(1)
    await stage.start()
    await stage.wait(40)
    await stage.end(stage.tasks[0])
    await stage.start()
    await stage.wait(40)
    assert sum(event.endswith(events.STEADY) for event in stage.events) == 2


def test_only_the_last_ones_are_kept() -> None:
    context = Plane().context
    known = NONE
    for number in range(EVENTS_MAX + 5):
        known = events.added(known, [f"event {number}"], context)
    assert [known.events[0].message, known.events[-1].message] == ["event 5", f"event {EVENTS_MAX + 4}"]
    assert len({event.id for event in known.events}) == EVENTS_MAX
