"""A task's life as it happens: what is known now, then every change, over changes of leader."""

import contextlib
from collections.abc import AsyncIterator, Sequence

from shoal import arn, errors
from shoal.cli.find import describe_tasks
from shoal.cli.session import Session
from shoal.lifecycle import RANK
from shoal.v1 import task_pb2

# Naming more tasks than this in a watch costs more than hearing of all of them.
NAMED_MAX = 100


async def changes(session: Session, task_ids: Sequence[str]) -> AsyncIterator[task_pb2.Task]:
    """Each task as it is, then each again whenever it changed; never a step back. Ends when all are STOPPED.

    Raises NotFound for a task that does not exist.
    """
    seen: dict[str, task_pb2.Task] = {}
    wanted, living = set(task_ids), set(task_ids)
    while living:
        try:
            async for task in _watched(session, task_ids):
                name = arn.short(task.task_arn)
                if name in wanted and _is_newer(seen.get(name), task):
                    seen[name] = task
                    yield task
                if task.last_status == "STOPPED":
                    living.discard(name)
                if not living:
                    return
        except errors.HistoryLost:
            continue  # fell behind what is kept: look at all of them again


async def _watched(session: Session, task_ids: Sequence[str]) -> AsyncIterator[task_pb2.Task]:
    """The watch begins before the first look, so that nothing falls between them."""
    names = task_ids if len(task_ids) <= NAMED_MAX else ()
    async with contextlib.aclosing(session.client.watch(session.cluster, names)) as watch:
        looked = False
        async for answer in watch:
            if not looked:
                for task in await _look(session, task_ids):
                    yield task
                looked = True
            for event in answer.events:
                if event.WhichOneof("detail") == "task":
                    yield event.task


async def _look(session: Session, task_ids: Sequence[str]) -> Sequence[task_pb2.Task]:
    answer = await describe_tasks(session, task_ids)
    if answer.failures:
        missing = ", ".join(arn.short(failure.arn) for failure in answer.failures[:5])
        raise errors.NotFound(f"There is no task {missing}.", "shoal ps -a; tasks that stopped long ago are forgotten")
    return answer.tasks


def _is_newer(before: task_pb2.Task | None, after: task_pb2.Task) -> bool:
    if before is None:
        return True
    if after.version != before.version:
        return after.version > before.version
    return RANK.get(after.last_status, 0) > RANK.get(before.last_status, 0)
