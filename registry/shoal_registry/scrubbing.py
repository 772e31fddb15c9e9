"""Reading every content again, to find those whose bytes are no longer what was pushed, before somebody needs them.

A content that is found damaged, by a scrub or by a pull, is read once more, and set aside if it still is:

    damaged/<algorithm>-<hex>/content    what there was of it, for people; the registry never reads it again
                              finding    what was wrong, and what used it

Then the registry no longer says that it has it, so that clients push it again, which heals it: links and tags are still
there. A content that cannot be read at the moment (its disk or its master key is missing) is reported, and left.
"""

import asyncio
import hashlib
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from shoal_registry.errors import Refused
from shoal_registry.names import Digest, Repository, UploadId
from shoal_registry.ranges import Span
from shoal_registry.repositories import Repositories
from shoal_registry.storage import paths
from shoal_registry.storage.damage import Damaged
from shoal_registry.storage.encrypted_uploads import header_id
from shoal_registry.storage.listing import paths_in
from shoal_registry.storage.master_keys import MasterKeyUnknown
from shoal_registry.storage.store import Store

log = logging.getLogger(__name__)

# Nobody takes as long from writing a content's key to the content.
KEY_GRACE_SECONDS = 3600.0

# Often enough that a scrub that is due is not late by much of its interval.
LOOKS_PER_INTERVAL = 20


@dataclass(frozen=True, slots=True)
class Use:
    """A repository that has the content; `manifests` of it need it, or are it; `tags` mean those."""

    repository: str
    manifests: list[str]
    tags: list[str]


@dataclass(frozen=True, slots=True)
class Finding:
    """`found` is a time."""

    digest: str
    reason: str
    found: float
    uses: list[Use]


@dataclass(slots=True)
class Report:
    """Times are seconds since 1970, `size` is in bytes of plaintext; `plain` contents are not encrypted.

    `damaged` is what is set aside and was not pushed again. `spare_keys` are of no file; those that the scrub before
    had seen already are gone.
    """

    began: float
    ended: float = 0.0
    contents: int = 0
    size: int = 0
    plain: int = 0
    damaged: list[Finding] = field(default_factory=list)
    unreadable: list[Finding] = field(default_factory=list)
    spare_keys: list[str] = field(default_factory=list)

    def document(self) -> bytes:
        return json.dumps(asdict(self), indent=2).encode()


class Pace:
    """Lets no more than so many bytes pass in a second; None is no limit."""

    def __init__(self, bytes_per_second: float | None) -> None:
        self._rate = bytes_per_second
        self._free_at = time.monotonic()

    async def passed(self, size: int) -> None:
        if self._rate is not None:
            now = time.monotonic()
            self._free_at = max(self._free_at, now - 1) + size / self._rate
            await asyncio.sleep(max(0.0, self._free_at - now))


class Scrub:
    """`store` is what the registry uses, in which damage is noticed; `raw` what that keeps its files in."""

    def __init__(self, store: Store, raw: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._raw = raw
        self._repositories = Repositories(store)
        self._now = now

    async def run(self, pace: Pace, each: Callable[[Report], None] = lambda _: None) -> Report:
        """Of everything; one at a time on a store. The report is kept in it as well."""
        async with self._store.lock("scrub"):
            return await self._run(pace, each)

    async def run_if_due(self, pace: Pace, every_seconds: float) -> Report | None:
        """Unless the last one began less than that many seconds ago."""
        async with self._store.lock("scrub"):
            last = await self.last()
            if last is not None and last["began"] + every_seconds > self._now():
                return None
            return await self._run(pace, lambda _: None)

    async def last(self) -> dict[str, Any] | None:
        """The report of the last one; None if there was none."""
        written = await self._store.read(paths.SCRUB)
        return None if written is None else json.loads(written)

    async def suspect(self, digest: Digest) -> Finding | None:
        """Of which a reader said that it is damaged: set aside if it is."""
        return await self._set_aside(digest) if await self._examine(digest, Pace(None)) else None

    async def _run(self, pace: Pace, each: Callable[[Report], None]) -> Report:
        report = Report(self._now())
        async for digest in contents(self._store):
            await self._look_at(digest, pace, report)
            each(report)
        await self._list_what_is_set_aside(report)
        await self._remove_spare_keys(report)
        report.ended = self._now()
        await self._store.put(paths.SCRUB, report.document())
        return report

    async def encrypt(self, digest: Digest) -> bool:
        """One that lies there as it is, of a time before the store was encrypted; whether it is one. Raises Damaged."""
        path, data = paths.content(digest), paths.upload_data(UploadId(str(uuid.uuid4())))
        async with self._store.lock(f"content/{digest}"):
            size = await self._store.size(path)
            if size is None or await header_id(self._raw, path) is not None:
                return False
            try:
                offset = 0
                await self._store.append(data, 0, b"")
                async for piece in self._store.stream(path, Span(0, size)):
                    await self._store.append(data, offset, piece)
                    offset += len(piece)
                await self._store.flush(data)
                await self._store.adopt(data, path)
            finally:
                await self._store.remove(data.parent)
        return True

    async def _look_at(self, digest: Digest, pace: Pace, report: Report) -> None:
        report.contents += 1
        report.size += await self._store.size(paths.content(digest)) or 0
        report.plain += await header_id(self._raw, paths.content(digest)) is None
        try:
            if await self._examine(digest, pace):
                await self._set_aside(digest)
        except (OSError, MasterKeyUnknown) as error:
            report.unreadable.append(await self._finding(digest, str(error)))

    async def _examine(self, digest: Digest, pace: Pace) -> str | None:
        """What is wrong; None also if it is no longer there. Raises OSError, MasterKeyUnknown."""
        path, hashing = paths.content(digest), hashlib.new(digest.algorithm)
        size = await self._store.size(path)
        try:
            async for piece in self._store.stream(path, Span(0, size or 0)):
                await asyncio.to_thread(hashing.update, piece)
                await pace.passed(len(piece))
        except FileNotFoundError:
            return None
        except Damaged as damaged:
            return damaged.reason
        except EOFError as error:
            return str(error)
        return None if hashing.hexdigest() == digest.hex else f"its bytes have the digest {hashing.hexdigest()}"

    async def _set_aside(self, digest: Digest) -> Finding | None:
        """None if it is whole by now: nobody replaces it while it is read under its lock."""
        async with self._store.lock(f"content/{digest}"):
            reason = await self._examine(digest, Pace(None))
            if reason is None:
                return None
            finding, place = await self._finding(digest, reason), paths.damaged(digest)
            await self._store.put(place / "finding", json.dumps(asdict(finding), indent=2).encode())
            await self._store.adopt(paths.content(digest), place / "content")
        log.error("set a damaged content aside digest=%s reason=%s uses=%s", digest, reason, finding.uses)
        return finding

    async def _list_what_is_set_aside(self, report: Report) -> None:
        """But for what was pushed again, or is used by nobody any more: of that nothing is kept."""
        for name in await self._store.names(paths.DAMAGED):
            digest = paths.digest_named(name)
            async with self._store.lock(f"content/{digest}"):
                written = await self._store.read(paths.damaged(digest) / "finding")
                said: dict[str, Any] = (
                    json.loads(written) if written else {"reason": "its note is missing", "found": 0.0}
                )
                finding = replace(await self._finding(digest, said["reason"]), found=said["found"])
                if finding.uses and await self._store.size(paths.content(digest)) is None:
                    report.damaged.append(finding)
                else:
                    await self._store.remove(paths.damaged(digest))

    async def _finding(self, digest: Digest, reason: str) -> Finding:
        uses = [await self._use(each, digest) for each in await self._repositories.holders(digest)]
        return Finding(str(digest), reason, self._now(), uses)

    async def _use(self, repository: Repository, digest: Digest) -> Use:
        users = [paths.digest_named(name) for name in await self._store.names(paths.users(repository, digest))]
        manifests = [each for each in (digest, *users) if await self._is_manifest(repository, each)]
        tags = [await self._store.names(paths.tags_of(repository, each)) for each in manifests]
        return Use(repository.name, [str(each) for each in manifests], sorted({name for of in tags for name in of}))

    async def _is_manifest(self, repository: Repository, digest: Digest) -> bool:
        return await self._store.size(paths.manifest(repository, digest)) is not None

    async def _remove_spare_keys(self, report: Report) -> None:
        """A crash may leave some. One that a push has just written is spare until its content appears."""
        before = await self.last()
        is_due = before is not None and before["ended"] < self._now() - KEY_GRACE_SECONDS
        due = frozenset(before["spare_keys"]) if before and is_due else frozenset()
        async for key in paths_in(self._raw, paths.KEYS):
            content, file_id = paths.keyed(key)
            if await header_id(self._raw, content) == file_id or await self._is_set_aside(content):
                continue
            if key.name in due:
                await self._raw.delete(key)
            else:
                report.spare_keys.append(key.name)

    async def _is_set_aside(self, content: PurePosixPath) -> bool:
        return await self._raw.size(paths.damaged(paths.digest_of(content)) / "content") is not None


class Suspects:
    """Contents of which a reader said that they are damaged, until somebody has looked."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Digest] = asyncio.Queue()
        self._known: set[Digest] = set()

    def add(self, path: PurePosixPath) -> None:
        if paths.is_content(path) and (digest := paths.digest_of(path)) not in self._known:
            self._known.add(digest)
            self._waiting.put_nowait(digest)

    async def look_at(self, scrub: Scrub) -> None:
        """At each that comes; never ends."""
        while True:
            digest = await self._waiting.get()
            try:
                await scrub.suspect(digest)
            except Exception:
                log.exception("could not look at a content that may be damaged digest=%s", digest)
            self._known.discard(digest)


async def regularly(scrub: Scrub, every_seconds: float, pace: Pace) -> None:
    """Of several processes on a store, the one that is first; never ends."""
    while True:
        try:
            if report := await scrub.run_if_due(pace, every_seconds):
                log.info("scrubbed contents=%d damaged=%d", report.contents, len(report.damaged))
        except Exception:
            log.exception("scrubbing failed; it is tried again")
        await asyncio.sleep(every_seconds / LOOKS_PER_INTERVAL)


async def contents(store: Store) -> AsyncIterator[Digest]:
    async for path in paths_in(store, paths.CONTENTS):
        try:
            yield paths.digest_of(path)
        except Refused:
            log.warning("what is this file in the store? path=%s", path)
