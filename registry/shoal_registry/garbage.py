"""Collecting garbage online: beside pushes, pulls, mounts and deletes by this and other processes on the store.

What stays, whatever else is so: tags; manifests, tagged or not (a lifecycle policy removes those, as in ECR); the links
of blobs that a manifest of their repository needs; links that somebody counted on within the grace; contents that any
link leads to, or that a caller protects.

What goes:
- A blob's link that no manifest of its repository needs, once its grace is over. Its moment is in the link: when the
  blob was pushed, mounted, or last asked for (`promise_blob`), or when the last manifest that needed it was deleted. So
  whoever was told that a blob exists has at least a quarter of the grace to push its manifest, whatever clocks say.
- A content that no link leads to, once its grace is over. Its moment is in a note (`unheld/`), written before the last
  link is removed, or by the first collection that finds the content without one. The grace is for who reads it then.
- Entries of the backward indexes (holders, users, tagged, referrers, pulled) that tell of what is not there. They need
  no grace: who writes one holds the lock until what it tells of is there. One without is of a process that died.
- Uploads: `Uploads.clean`. Locks end with their holders: `Store.lock`.

Who holds a content? `holders/` has an entry for each repository that has it, as a blob or a manifest. It is what is
looked at under the content's lock, as nothing else is so quick; but a store from before has none for manifests, and
one that was copied while it was written to may lack some. So each collection first walks over all links there are, and
what it met there stays, whatever the holders say. A link that was made after that walk was made under the content's
lock with its holder. Eight bytes of each digest are kept of the walk; should two ever be the same, garbage stays.

Why no prefix of what it writes loses anything: a link goes before its holder, so that holders never miss a link; a
content goes only when it has no holder, under the lock without which no link to it is made; its note goes last, so
that what is left of it is found again. kill -9 at any point leaves what the next collection finds, nothing more.

Exclusion: a lock for each step, of one repository or one content or both; the store as a whole is never locked. What
was seen without a lock is a hint, and looked at again under it. One collection at a time runs on a store (a lock of
its own), because two would do the same work twice; nothing breaks if there are two.

Clocks: all moments are by the clocks of the registry's processes, and may differ by a quarter of the grace
(`grace.MARGIN`, by which everything stays longer). A moment in the future only keeps something for longer.

A full disk stops no collection: where there is no room for a note, the content goes without.

Later: images in use will be a further set of roots. Collecting never removes a manifest, so they matter to lifecycle
policies; `protected` keeps contents whatever else is so.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath

from shoal_registry import grace
from shoal_registry.errors import Refused
from shoal_registry.grace import Fate
from shoal_registry.links import GRACE_SECONDS, Links, note_unheld
from shoal_registry.names import Digest, Repository, Tag
from shoal_registry.repositories import Repositories
from shoal_registry.storage import paths
from shoal_registry.storage.store import Store

log = logging.getLogger(__name__)

# It works for a moment and rests for three, so that who pushes and pulls has most of the disk.
WORK_SECONDS = 0.05
REST = 3.0
# A registry that has just started has other things to do.
START_SECONDS = 60.0
# Of steps that fail, after which something is wrong with the store as a whole.
FAILED_MAX = 100


@dataclass(slots=True)
class Report:
    """What went, or would go now; `waiting_…`: contents that no link leads to, whose grace is not over.

    `entries` are of backward indexes; `strange` is what is no name of the registry's, and stays; `failed` is what is
    tried again the next time.
    """

    at: float
    is_dry: bool = False
    repositories: int = 0
    links: int = 0
    entries: int = 0
    contents: int = 0
    bytes: int = 0
    waiting_contents: int = 0
    waiting_bytes: int = 0
    strange: int = 0
    failed: int = 0
    seconds: float = 0.0

    @property
    def says_something(self) -> bool:
        return bool(self.links or self.entries or self.contents or self.strange or self.failed)

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in asdict(self).items() if name != "at")


class Collector:
    """`protected`: contents that stay in any case."""

    def __init__(
        self,
        store: Store,
        repositories: Repositories,
        grace_seconds: float = GRACE_SECONDS,
        now: Callable[[], float] = time.time,
        protected: Callable[[Digest], bool] = lambda _: False,
    ) -> None:
        self._store = store
        self._repositories = repositories
        self._links = Links(store, grace_seconds, now)
        self._grace_seconds = grace_seconds
        self._now = now
        self._protected = protected

    async def run(self, every_seconds: float) -> None:
        """For as long as the process lives."""
        await asyncio.sleep(min(every_seconds, START_SECONDS))
        while True:
            try:
                report = await self.take_turn(every_seconds)
                if report and report.says_something:
                    log.info("collected garbage %s", report)
            except Exception:
                log.exception("collecting garbage failed; it is tried again")
            await asyncio.sleep(every_seconds)

    async def take_turn(self, every_seconds: float) -> Report | None:
        """None if another process collected within that time."""
        async with self._store.lock("garbage"):
            last = await self._store.read(paths.COLLECTED)
            if last is not None and 0 <= self._now() - _collected_at(last) < every_seconds / 2:
                return None
            report = await self.collect()
            try:
                await self._store.put(paths.COLLECTED, json.dumps(asdict(report)).encode())
            except OSError as error:
                log.warning("cannot note what was collected error=%s", error)
        return report

    async def collect(self, is_dry: bool = False) -> Report:
        """`is_dry`: nothing is written."""
        began = time.monotonic()
        collection = _Collection(
            self._store,
            self._repositories,
            self._links,
            self._grace_seconds,
            self._now,
            self._protected,
            Report(self._now(), is_dry),
        )
        await collection.run()
        collection.report.seconds = round(time.monotonic() - began, 3)
        return collection.report


def _collected_at(report: bytes) -> float:
    try:
        return float(json.loads(report)["at"])
    except (ValueError, KeyError, TypeError):
        return 0.0


@dataclass(slots=True)
class _Collection:
    """One of them. It decides by the moment at which it began: what is younger stays.

    A walk that fails ends it, because what it did not meet would seem to be linked nowhere. A step that fails does not.
    """

    store: Store
    repositories: Repositories
    links: Links
    grace_seconds: float
    now: Callable[[], float]
    protected: Callable[[Digest], bool]
    report: Report
    linked: set[bytes] = field(default_factory=set)
    rested_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    async def run(self) -> None:
        # Before the links, so that a note of one that goes meanwhile is not taken for an old one.
        notes = set(await self._digests(paths.UNHELD))
        async for repository in self.repositories.every():
            self.report.repositories += 1
            await self._repository(repository)
        async for digest in self._contents():
            await self._content(digest, digest in notes)
        for digest in sorted(notes):
            if await self.store.size(paths.content(digest)) is None:
                async with self._step(digest):
                    await self._remove_note(digest)

    # Repositories: the links of blobs, and what answers backwards

    async def _repository(self, repository: Repository) -> None:
        blobs = await self._digests(paths.blobs(repository))
        manifests = set(await self._digests(paths.manifests(repository)))
        self.linked.update(_short(digest) for digest in (*blobs, *manifests))

        async def is_of_manifest(_: Digest, entry: str) -> bool:
            manifest = paths.digest_named(entry)
            return manifest in manifests or await self.links.has_manifest(repository, manifest)

        async def is_of_tag(digest: Digest, entry: str) -> bool:
            return await self.store.read(paths.tag(repository, Tag.parse(entry))) == str(digest).encode()

        needed = await self._audit(repository, paths.all_used(repository), is_of_manifest)
        await self._audit(repository, paths.all_subjects(repository), is_of_manifest)
        await self._audit(repository, paths.all_tagged(repository), is_of_tag)
        for digest in await self._digests(paths.all_pulled(repository)):
            if digest not in manifests:
                async with self._step(digest), self.links.repository_lock(repository):
                    await self._remove_pulled(repository, digest)
        for digest in blobs:
            if digest not in needed and not self.protected(digest):
                async with self._step(digest):
                    await self._unneeded_blob(repository, digest)

    async def _audit(
        self, repository: Repository, index: PurePosixPath, is_so: Callable[[Digest, str], Awaitable[bool]]
    ) -> set[Digest]:
        """Digests with an entry that tells what is so; the other entries go."""
        confirmed = set()
        for digest in await self._digests(index):
            await self._rest()
            folder = index / digest.algorithm / digest.hex
            entries = await self.store.names(folder)
            wrong = [entry for entry in entries if not await self._is_so(is_so, digest, entry)]
            if len(wrong) < len(entries):
                confirmed.add(digest)
            if wrong or not entries:
                async with self._step(digest), self.links.repository_lock(repository):
                    await self._remove_entries(folder, [each for each in wrong if not await is_so(digest, each)])
        return confirmed

    async def _is_so(self, is_so: Callable[[Digest, str], Awaitable[bool]], digest: Digest, entry: str) -> bool:
        try:
            return await is_so(digest, entry)
        except Refused:
            self.report.strange += 1
            return True

    async def _remove_entries(self, folder: PurePosixPath, entries: Sequence[str]) -> None:
        """And the folder, if it is empty then; for who has the repository's lock."""
        self.report.entries += len(entries)
        if self.report.is_dry:
            return
        for entry in entries:
            await self.store.delete(folder / entry)
        if not await self.store.names(folder):
            await self.store.remove(folder)

    async def _remove_pulled(self, repository: Repository, digest: Digest) -> None:
        """When an image was pulled that is there no more; for who has the repository's lock."""
        if not await self.links.has_manifest(repository, digest):
            self.report.entries += 1
            if not self.report.is_dry:
                await self.store.delete(paths.pulled(repository, digest))

    async def _unneeded_blob(self, repository: Repository, digest: Digest) -> None:
        said = await self.store.read(paths.blob(repository, digest))
        fate = Fate.STAYS if said is None else self._fate(said)
        if fate is Fate.GOES and self.report.is_dry:
            self.report.links += 1
        if fate is Fate.STAYS or self.report.is_dry:
            return
        if fate is Fate.GRACE_BEGINS:
            await self.links.promise_blob(repository, digest)
            return
        async with self.links.repository_lock(repository):
            if await self.repositories.user(repository, digest) is None:
                goes = await self.links.remove_blob(repository, digest, lambda now: self._fate(now) is Fate.GOES)
                self.report.links += goes

    # Contents

    async def _contents(self) -> AsyncIterator[Digest]:
        for algorithm in await self.store.names(paths.CONTENTS):
            for part in await self.store.names(paths.CONTENTS / algorithm):
                for name in await self.store.names(paths.CONTENTS / algorithm / part):
                    if digest := self._digest(algorithm, name):
                        yield digest

    async def _content(self, digest: Digest, is_noted: bool) -> None:
        await self._rest()
        is_held = False
        for holder in await self.store.names(paths.holders(digest)):
            is_held |= await self._is_holder(digest, holder)
        is_linked = _short(digest) in self.linked
        if (is_held or is_linked) and is_noted and not self.report.is_dry:
            async with self._step(digest), self.links.content_lock(digest):
                if is_linked or await self.store.names(paths.holders(digest)):
                    await self.store.delete(paths.unheld(digest))
        if not (is_held or is_linked or self.protected(digest)):
            async with self._step(digest), self.links.content_lock(digest):
                await self._unheld_content(digest)

    async def _is_holder(self, digest: Digest, name: str) -> bool:
        try:
            repository = paths.repository_named(name)
        except Refused:
            self.report.strange += 1
            return True
        if await self.links.has_blob(repository, digest) or await self.links.has_manifest(repository, digest):
            return True
        if self.report.is_dry:
            self.report.entries += 1
            return False
        async with self._step(digest), self.links.repository_lock(repository):
            self.report.entries += await self.links.remove_false_holder(repository, digest)
        return False

    async def _unheld_content(self, digest: Digest) -> None:
        """For who has the content's lock."""
        if await self.store.names(paths.holders(digest)):
            return
        fate = self._fate(await self.store.read(paths.unheld(digest)))
        size = await self.store.size(paths.content(digest)) or 0
        if fate is Fate.GRACE_BEGINS and not self.report.is_dry:
            has_room = await note_unheld(self.store, digest, self.now())
            fate = Fate.STAYS if has_room else Fate.GOES
        if fate is not Fate.GOES:
            self.report.waiting_contents += 1
            self.report.waiting_bytes += size
            return
        self.report.contents += 1
        self.report.bytes += size
        if not self.report.is_dry:
            await self.store.delete(paths.content(digest))
            await self.store.remove(paths.holders(digest))
            await self.store.delete(paths.unheld(digest))

    async def _remove_note(self, digest: Digest) -> None:
        """Of a content that went, by a process that died before it had removed the note as well."""
        if self.report.is_dry:
            return
        async with self.links.content_lock(digest):
            if await self.store.size(paths.content(digest)) is None:
                if not await self.store.names(paths.holders(digest)):
                    await self.store.remove(paths.holders(digest))
                await self.store.delete(paths.unheld(digest))

    # The way through it

    def _fate(self, since: bytes | None) -> Fate:
        """Of what nothing leads to; by the moment that is written in a link or a note."""
        return grace.fate(False, grace.parse_moment(since), self.report.at, self.grace_seconds)

    async def _digests(self, folder: PurePosixPath) -> list[Digest]:
        return [
            digest
            for algorithm in await self.store.names(folder)
            for name in await self.store.names(folder / algorithm)
            if (digest := self._digest(algorithm, name))
        ]

    def _digest(self, algorithm: str, name: str) -> Digest | None:
        try:
            return Digest.parse(f"{algorithm}:{name}")
        except Refused:
            self.report.strange += 1
            return None

    @asynccontextmanager
    async def _step(self, about: Digest) -> AsyncIterator[None]:
        """One that fails is tried again by the next collection. Raises what failed after too many of them."""
        await self._rest()
        try:
            yield
        except Exception:
            self.report.failed += 1
            if self.report.failed > FAILED_MAX:
                raise
            log.warning("a step of collecting garbage failed digest=%s", about, exc_info=self.report.failed == 1)

    async def _rest(self) -> None:
        clock = asyncio.get_running_loop().time
        worked = clock() - self.rested_at
        if worked > WORK_SECONDS:
            await asyncio.sleep(worked * REST)
            self.rested_at = clock()


def _short(digest: Digest) -> bytes:
    return bytes.fromhex(digest.hex[:16])
