"""What sessions are told and what events are kept."""

import asyncio

import pytest
from shoal_scheduler import dispatch, events
from shoal_scheduler.api.remembered import Remembered
from shoal_scheduler.dispatch import Dispatch
from shoal_scheduler.events import EventLog
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.task import Launch, Task, TaskKey
from shoal_scheduler.state import changes as c

LAUNCH = Launch(id="a" * 24, cluster="default", definition="web:1", created_at=1, count=3, group="family:web")


def assigned(index: int, version: int = 1) -> c.PutTask:
    return c.PutTask(Task(launch=LAUNCH, index=index, instance="i-1", version=version))


async def test_what_comes_meanwhile_is_told_together() -> None:
    connected = Dispatch()
    outbox = connected.attach("i-1")
    connected.on_commit([assigned(0), assigned(1), assigned(0, version=2)])
    outbox.answer(1, [])
    outbox.answer(2, ["gone"])
    news = await outbox.take()
    assert news is not None
    assert list(news.keys) == [TaskKey(LAUNCH.id, 0), TaskKey(LAUNCH.id, 1)]
    assert (news.acknowledged, news.unknown, news.everything) == (2, ["gone"], False)


async def test_news_is_told_once_and_a_closed_session_is_told_no_more() -> None:
    connected = Dispatch()
    outbox = connected.attach("i-1")
    outbox.put_everything()
    assert (await outbox.take()) is not None
    waiting = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    connected.on_commit([assigned(0), c.SetSession("i-1", 0)])
    assert await waiting is None


async def test_an_acknowledgement_waits_for_more_and_holds_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "ACKNOWLEDGE_SECONDS", 0.05)
    outbox = Dispatch().attach("i-1")
    outbox.answer(1, [])
    outbox.put(TaskKey(LAUNCH.id, 0))
    first = await outbox.take()
    assert first is not None and (len(first.keys), first.acknowledged) == (1, None)
    outbox.answer(2, [])
    second = await outbox.take()
    assert second is not None and (len(second.keys), second.acknowledged) == (0, 2)


async def test_reports_wait_while_too_many_are_not_acknowledged() -> None:
    outbox = Dispatch().attach("i-1")
    outbox.answer(1, [])
    waiting = asyncio.create_task(outbox.room(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.answer(2, ["gone"])
    await outbox.take()
    async with asyncio.timeout(10):
        await waiting
    await outbox.room(1)


def test_events_are_kept_by_commit_up_to_a_bound() -> None:
    log = EventLog()
    log.start_at(10)
    half = events.CHANGES_MAX // 2
    for revision in (11, 12, 13):
        log.on_commit([c.SetSession("i-1", 1)] * (half - 1) + [assigned(revision)], revision, revision * 100)
    assert [log.reaches_back_to(revision) for revision in (10, 11, 12)] == [False, True, True]
    assert [(event.revision, event.time, event.cluster) for event in log.after(11)] == [
        (12, 1200, "default"),
        (13, 1300, "default"),
    ]


def test_steps_that_change_nothing_leave_nothing() -> None:
    log = EventLog()
    for _ in range(3):
        log.on_commit([], 5, 1)
    assert len(log._commits) == 0
    assert log.revision == 5


def test_a_record_is_made_into_something_once() -> None:
    made = []

    def make(record: Instance) -> str:
        made.append(record.id)
        return f"of {record.id}"

    remembered = Remembered(make, most=2)
    first, changed = (
        Instance(id="i", cluster="default", registered_at=1),
        Instance(id="i", cluster="default", registered_at=2),
    )
    assert [remembered.of("i", each) for each in (first, first, changed, first)] == ["of i"] * 4
    assert len(made) == 3
    for name in ("j", "k", "i"):
        remembered.of(name, first)
    assert len(made) == 6
