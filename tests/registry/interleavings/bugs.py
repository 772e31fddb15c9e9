"""Bugs planted on purpose: interleavings that do not show them are worth nothing."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import PurePosixPath
from typing import Any
from unittest import mock

from shoal_registry import garbage, grace, links
from shoal_registry.grace import Fate
from shoal_registry.links import Links
from shoal_registry.names import Digest, Repository
from shoal_registry.repositories import Repositories
from shoal_registry.storage import paths
from shoal_registry.storage.store import Store

Bug = Callable[[], AbstractContextManager[None]]


@asynccontextmanager
async def _no_lock(*_: object) -> AsyncIterator[None]:
    yield


@contextmanager
def contents_not_locked() -> Iterator[None]:
    with mock.patch.object(Links, "content_lock", _no_lock):
        yield


@contextmanager
def repositories_not_locked() -> Iterator[None]:
    with mock.patch.object(Links, "repository_lock", _no_lock):
        yield


@contextmanager
def no_grace() -> Iterator[None]:
    def fate(is_needed: bool, *_: object) -> Fate:
        return Fate.STAYS if is_needed else Fate.GOES

    with mock.patch.object(grace, "fate", fate):
        yield


@contextmanager
def asking_renews_nothing() -> Iterator[None]:
    async def promise(self: Links, repository: Repository, digest: Digest) -> bool:
        return await self.has_blob(repository, digest)

    with mock.patch.object(Links, "promise_blob", promise):
        yield


@contextmanager
def renewed_too_late() -> Iterator[None]:
    """Only when nearly all of the grace is over."""
    with mock.patch.object(grace, "RENEWED_AFTER", 1.2):
        yield


@contextmanager
def renewed_without_a_second_look() -> Iterator[None]:
    """The link is written again, whatever happened since it was read."""

    async def promise(self: Links, repository: Repository, digest: Digest) -> bool:
        link = paths.blob(repository, digest)
        said = await self._store.read(link)
        if said is None:
            return False
        if grace.is_to_be_renewed(grace.parse_moment(said), self._now(), self._grace_seconds):
            await self._store.put(link, grace.moment(self._now()))
        return True

    with mock.patch.object(Links, "promise_blob", promise):
        yield


@contextmanager
def clocks_trusted() -> Iterator[None]:
    """Exactly the grace is waited for, and renewals come late: as if all clocks were one."""
    with mock.patch.object(grace, "MARGIN", 0.0), mock.patch.object(grace, "RENEWED_AFTER", 0.9):
        yield


@contextmanager
def holders_removed_first() -> Iterator[None]:
    async def remove(self: Links, repository: Repository, digest: Digest, goes: Any = lambda _: True) -> bool:
        async with self.content_lock(digest):
            said = await self._store.read(paths.blob(repository, digest))
            if said is None or not goes(said):
                return False
            if not await self.has_manifest(repository, digest):
                await self._store.delete(paths.holder(digest, repository))
            await self._store.delete(paths.blob(repository, digest))
        return True

    with mock.patch.object(Links, "remove_blob", remove):
        yield


@contextmanager
def removed_without_a_second_look() -> Iterator[None]:
    """A link that nobody needed a moment ago goes, although somebody may have renewed it."""
    remove = Links.remove_blob

    async def remove_anyway(self: Links, repository: Repository, digest: Digest, _: Any = None) -> bool:
        return await remove(self, repository, digest)

    with mock.patch.object(Links, "remove_blob", remove_anyway):
        yield


@contextmanager
def users_not_looked_at_again() -> Iterator[None]:
    """A manifest that came since the walk is not seen."""

    async def remove(self: Any, repository: Repository, digest: Digest) -> None:
        said = await self.store.read(paths.blob(repository, digest))
        if said is not None and self._fate(said) is Fate.GOES:
            self.report.links += 1
            if self.report.is_dry:
                return
            await self.links.remove_blob(repository, digest, lambda now: self._fate(now) is Fate.GOES)

    with mock.patch.object(garbage._Collection, "_unneeded_blob", remove):
        yield


@contextmanager
def manifests_not_held() -> Iterator[None]:
    """Their contents are stored without the lock, and without a holder."""

    async def hold(self: Links, repository: Repository, digest: Digest, content: bytes) -> None:
        await self._store.put(paths.content(digest), content)
        await self._mark(repository)

    with mock.patch.object(Links, "hold_manifest", hold):
        yield


@contextmanager
def holders_alone_trusted() -> Iterator[None]:
    """In a store from before, manifests have none."""
    repository = garbage._Collection._repository

    async def forget(self: Any, of: Repository) -> None:
        await repository(self, of)
        self.linked.clear()

    with mock.patch.object(garbage._Collection, "_repository", forget):
        yield


@contextmanager
def contents_without_grace() -> Iterator[None]:
    """Whoever reads one when its last link goes has read half of it."""

    async def note(store: Store, digest: Digest, _: float) -> bool:
        await store.put(paths.unheld(digest), grace.moment(0.0))
        return True

    with mock.patch.object(links, "note_unheld", note), mock.patch.object(garbage, "note_unheld", note):
        yield


@contextmanager
def deleting_releases_at_once() -> Iterator[None]:
    """A manifest's deletion begins no grace of the blobs that it needed."""
    delete = Repositories.delete_manifest

    async def delete_manifest(self: Repositories, repository: Repository, digest: Digest) -> None:
        with mock.patch.object(self._links, "promise_blob", lambda *_: _no_promise()):
            await delete(self, repository, digest)

    with mock.patch.object(Repositories, "delete_manifest", delete_manifest):
        yield


async def _no_promise() -> bool:
    return True


@contextmanager
def entries_not_looked_at_again() -> Iterator[None]:
    """Entries of an index that were false a moment ago go, although what they tell of may have come."""

    async def audit(self: Any, repository: Repository, index: PurePosixPath, is_so: Any) -> set[Digest]:
        confirmed = set()
        for digest in await self._digests(index):
            folder = index / digest.algorithm / digest.hex
            entries = await self.store.names(folder)
            wrong = [entry for entry in entries if not await is_so(digest, entry)]
            if len(wrong) < len(entries):
                confirmed.add(digest)
            await self._remove_entries(folder, wrong)
        return confirmed

    with mock.patch.object(garbage._Collection, "_audit", audit):
        yield


BUGS: dict[str, Bug] = {
    bug.__name__.replace("_", " "): bug
    for bug in (
        contents_not_locked,
        repositories_not_locked,
        no_grace,
        asking_renews_nothing,
        renewed_too_late,
        renewed_without_a_second_look,
        clocks_trusted,
        holders_removed_first,
        removed_without_a_second_look,
        users_not_looked_at_again,
        manifests_not_held,
        holders_alone_trusted,
        contents_without_grace,
        deleting_releases_at_once,
        entries_not_looked_at_again,
    )
}
