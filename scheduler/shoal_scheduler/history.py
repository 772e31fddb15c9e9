"""The history of events from before this scheduler knew of anything: read back from what the store still keeps."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator

import grpc

from shoal_scheduler.events import EventLog
from shoal_scheduler.state import changes as c
from shoal_scheduler.state import keys
from shoal_scheduler.state.store import PastPut, PastStep, Stored
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.writes import as_proposed, changes_of

log = logging.getLogger(__name__)

# Many more than anybody scrolls through, and read in seconds.
REVISIONS_MAX = 5_000
PATIENCE_SECONDS = 5.0
_KINDS = ("tasks", "instances", "alarms", "job-states", "service-events")


async def recall(steps: AsyncGenerator[PastStep], tables: Tables, events: EventLog) -> None:
    """Puts before `events` what the steps, which end where those begin, made true. Never fails: a history that cannot
    be read begins now. Tasks of a launch that is forgotten have none."""
    past = EventLog()
    try:
        while True:
            async with asyncio.timeout(PATIENCE_SECONDS):
                step = await anext(steps)
            past.on_commit(list(_made_true(step, tables)), step.revision, step.time)
            await asyncio.sleep(0)  # whoever leads has better to do
    except (StopAsyncIteration, TimeoutError):
        pass
    except grpc.aio.AioRpcError as error:
        log.warning("the history of events cannot be read back error=%s", error.details())
        return
    finally:
        await steps.aclose()
    events.recall(past)


def _made_true(step: PastStep, tables: Tables) -> Iterator[c.Change]:
    for put in step.puts:
        if keys.kind(put.record.key) in _KINDS and (put.is_new or put.before is not None):
            yield from _changed(put, tables, step.revision)


def _changed(put: PastPut, tables: Tables, revision: int) -> Iterator[c.Change]:
    """A chunk is stored whole, whichever of its tasks were changed."""
    before = list(_decoded(put.before, tables)) if put.before is not None else []
    return (as_proposed(change, revision) for change in _decoded(put.record, tables) if change not in before)


def _decoded(record: Stored, tables: Tables) -> Iterator[c.Change]:
    if keys.kind(record.key) == "tasks" and keys.parts(record.key)[0] not in tables.launches:
        return iter(())
    return (change for change, _ in changes_of([record], tables))
