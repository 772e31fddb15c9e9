"""What happened to images, in the shape of ECR's events ("ECR Image Action"), kept for a week.

Each process collects events in memory and writes them by the batch: soon after a push or a deletion, later if there
were only pulls, and when it stops. kill -9 loses those of the last seconds; ECR's are "best effort", too. The names of
the batches are given under a lock, so that who has read up to one has missed none before it. Pulls of an image by the
same caller are one event with a `count`, as far as they come before it is written: a thousand hosts that pull at once
must not drive the pushes of a week out of what is kept.

    events/<milliseconds since 1970, 15 digits>-<number of events>-<8 hexadecimal digits>     an event per line, as JSON
"""

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from shoal.arn import OWNER, repository_arn

from shoal_registry.names import Digest, Repository
from shoal_registry.storage import paths
from shoal_registry.storage.store import Store

log = logging.getLogger(__name__)

ActionType = Literal["PUSH", "PULL", "DELETE", "ARCHIVE", "RESTORE"]
BATCH_MAX = 1000
# In memory, if they cannot be written.
WAITING_MAX = 20_000
WRITE_SECONDS = 1.0
# Batches of nothing but pulls are written after that many times as long.
PULLS_WAIT = 10
KEPT_SECONDS = 7 * 24 * 3600.0
KEPT_MAX = 100_000
PRUNE_SECONDS = 3600.0


class Events:
    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._waiting: list[dict[str, Any]] = []
        # Of those, the pulls: who pulls an image again before they are written is counted, not told again.
        self._pulls: dict[tuple[str, ...], dict[str, Any]] = {}
        self._lost = 0
        self._flushing = asyncio.Lock()

    def note(
        self,
        action: ActionType,
        repository: Repository,
        digest: Digest,
        caller: str,
        tag: str | None = None,
        media_type: str | None = None,
    ) -> None:
        """`caller`: who did it, for people."""
        pull = (repository.name, str(digest), caller, tag or "")
        if action == "PULL" and (known := self._pulls.get(pull)):
            known["detail"]["count"] += 1
            return
        if len(self._waiting) >= WAITING_MAX:
            self._lost += 1
            return
        detail = {
            "result": "SUCCESS",
            "repository-name": repository.name,
            "image-digest": str(digest),
            "action-type": action,
            "image-tag": tag,
            "manifest-media-type": media_type,
            "caller": caller,
        }
        at = datetime.fromtimestamp(self._now(), UTC)
        event: dict[str, Any] = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "ECR Image Action",
            "source": "shoal.ecr",
            "account": OWNER,
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "region": "local",
            "resources": [repository_arn(repository.name)],
            "detail": {name: value for name, value in detail.items() if value is not None},
        }
        self._waiting.append(event)
        if action == "PULL":
            event["detail"]["count"] = 1
            self._pulls[pull] = event

    async def run(self) -> None:
        """For as long as the process lives."""
        turn = 0
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            turn += 1
            try:
                if turn % PULLS_WAIT == 0 or len(self._waiting) > len(self._pulls):
                    await self.flush()
                if turn % int(PRUNE_SECONDS / WRITE_SECONDS) == 0:
                    await self.prune()
            except Exception:
                log.exception("writing events failed; it is tried again")

    async def flush(self) -> None:
        """Who is cancelled meanwhile leaves it to end by itself: no event is written twice."""
        await asyncio.shield(self._flush())

    async def _flush(self) -> None:
        async with self._flushing:
            self._pulls.clear()
            while batch := self._waiting[:BATCH_MAX]:
                await self._write(batch)
                del self._waiting[: len(batch)]
            if self._lost:
                log.error("events were lost, because they could not be written count=%d", self._lost)
                self._lost = 0

    async def prune(self) -> None:
        """Batches whose time is over, and the oldest while there are too many events."""
        names = await self._store.names(paths.EVENTS)
        count, oldest = sum(_count(name) for name in names), self._now() - KEPT_SECONDS
        for name in names:
            if count <= KEPT_MAX and _milliseconds(name) >= oldest * 1000:
                return
            await self._store.delete(paths.EVENTS / name)
            count -= _count(name)

    async def read(self, after: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Each with its position, the oldest first: those after that position, all after ``."""
        await self.flush()
        batch, _, number = after.partition("/")
        for name in await self._store.names(paths.EVENTS):
            if name < batch:
                continue
            content = await self._store.read(paths.EVENTS / name) or b""
            for at, line in enumerate(content.splitlines()):
                if name > batch or at > int(number or -1):
                    yield f"{name}/{at}", json.loads(line)

    async def _write(self, batch: Sequence[dict[str, Any]]) -> None:
        content = "".join(f"{json.dumps(each)}\n" for each in batch).encode()
        async with self._store.lock("events"):
            names = await self._store.names(paths.EVENTS)
            at = max(int(self._now() * 1000), _milliseconds(names[-1]) + 1 if names else 0)
            await self._store.put(paths.EVENTS / f"{at:015d}-{len(batch)}-{uuid.uuid4().hex[:8]}", content)


def _milliseconds(name: str) -> int:
    return int(name.partition("-")[0])


def _count(name: str) -> int:
    return int(name.split("-")[1])
