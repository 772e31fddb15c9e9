"""Which repository has which content: the links, written so that no content goes while somebody makes one.

Two locks, always taken in this order (a lock of an upload comes before both):

    repository/<name>     what its manifests need does not change meanwhile
    content/<digest>      nobody makes a link to the content, or takes it away

Who makes a link to a blob holds the lock of its content, and makes sure within it that the content is there. Who takes
a link away holds both. Who takes a content away holds its lock, and has seen within it that nobody holds the content.
"""

import errno
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from shoal_registry import creation, grace
from shoal_registry.names import Digest, Repository
from shoal_registry.storage import paths
from shoal_registry.storage.store import Store

log = logging.getLogger(__name__)

GRACE_SECONDS = 24 * 3600.0
FULL = (errno.ENOSPC, errno.EDQUOT)


class Links:
    def __init__(
        self, store: Store, grace_seconds: float = GRACE_SECONDS, now: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._grace_seconds = grace_seconds
        self._now = now

    def repository_lock(self, repository: Repository) -> AbstractAsyncContextManager[None]:
        return self._store.lock(f"repository/{repository.name}")

    def content_lock(self, digest: Digest) -> AbstractAsyncContextManager[None]:
        return self._store.lock(f"content/{digest}")

    async def has_blob(self, repository: Repository, digest: Digest) -> bool:
        return await self._store.size(paths.blob(repository, digest)) is not None

    async def has_manifest(self, repository: Repository, digest: Digest) -> bool:
        return await self._store.size(paths.manifest(repository, digest)) is not None

    async def promise_blob(self, repository: Repository, digest: Digest) -> bool:
        """Whether the repository has that blob: then it has it for a good part of the grace to come."""
        link = paths.blob(repository, digest)
        said = await self._store.read(link)
        if said is None:
            return False
        if not grace.is_to_be_renewed(grace.parse_moment(said), self._now(), self._grace_seconds):
            return True
        async with self.content_lock(digest):
            if not await self.has_blob(repository, digest):
                return False
            await self._store.put(link, grace.moment(self._now()))
        return True

    async def add_blob(self, repository: Repository, digest: Digest, bring: Callable[[], Awaitable[bool]]) -> bool:
        """Whether `bring` could see to it that the content is there: then the repository has it."""
        async with self.content_lock(digest):
            if not await bring():
                return False
            await self._mark(repository)
            await self._store.put(paths.holder(digest, repository), b"")
            await self._store.put(paths.blob(repository, digest), grace.moment(self._now()))
            # The repository may have been deleted since, and what is in none is found by nobody.
            await self._mark(repository)
        return True

    async def hold_manifest(self, repository: Repository, digest: Digest, content: bytes) -> None:
        """Its content stays from now on; the link is made by who has the repository's lock."""
        async with self.content_lock(digest):
            await self._store.put(paths.content(digest), content)
            await self._mark(repository)
            await self._store.put(paths.holder(digest, repository), b"")

    async def remove_blob(
        self, repository: Repository, digest: Digest, goes: Callable[[bytes], bool] = lambda _: True
    ) -> bool:
        """Whether it was removed; `goes` is asked about the moment in the link. For who has the repository's lock."""
        async with self.content_lock(digest):
            said = await self._store.read(paths.blob(repository, digest))
            if said is None or not goes(said):
                return False
            await self._begin_grace(digest)
            await self._store.delete(paths.blob(repository, digest))
            if not await self.has_manifest(repository, digest):
                await self._store.delete(paths.holder(digest, repository))
        return True

    async def remove_manifest(self, repository: Repository, digest: Digest) -> None:
        """For who has the repository's lock."""
        async with self.content_lock(digest):
            await self._begin_grace(digest)
            await self._store.delete(paths.manifest(repository, digest))
            if not await self.has_blob(repository, digest):
                await self._store.delete(paths.holder(digest, repository))

    async def remove_false_holder(self, repository: Repository, digest: Digest) -> bool:
        """Whether the repository had neither link. For who has the repository's lock."""
        async with self.content_lock(digest):
            if await self.has_blob(repository, digest) or await self.has_manifest(repository, digest):
                return False
            await self._begin_grace(digest)
            return await self._store.delete(paths.holder(digest, repository))

    async def _begin_grace(self, digest: Digest) -> None:
        """Who reads the content at the moment can do so to the end, also if this was its last link."""
        await note_unheld(self._store, digest, self._now())

    async def _mark(self, repository: Repository) -> None:
        await creation.create_on_push(self._store, repository, self._now())


async def note_unheld(store: Store, digest: Digest, now: float) -> bool:
    """Whether there was room for it: deleting goes on without, because it is what makes room."""
    try:
        # A note that is lost makes the grace begin anew.
        await store.put(paths.unheld(digest), grace.moment(now), durable=False)
    except OSError as error:
        if error.errno not in FULL:
            raise
        log.warning("no room to note that nothing leads to a content digest=%s", digest)
        return False
    return True
