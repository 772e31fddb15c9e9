"""Locks in an S3 store: an object that only one can create, and that its holder writes again and again.

Who waits takes over an object that it saw unchanged for `lease_seconds` of its own clock: no two clocks have to agree.
The holder stops well before, at a fraction of that time after it last began a write that succeeded, so that what it
sent is done by then. All writes are conditional: of two that would take over one does, and who lost it finds out.

What killed holders left `end_abandoned` ends, also if nobody wants it any more. It looks at all of it at once, so that
who starts after a kill does not wait for one lock after the other.
"""

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from weakref import WeakValueDictionary

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from shoal_registry.storage import objects
from shoal_registry.storage.objects import reported
from shoal_registry.storage.store import StoreUnavailableError

log = logging.getLogger(__name__)

LEASE_SECONDS = 20.0
# Of a lease: how long a holder goes on after its last write, how often it writes, and how long ending it may take.
HELD = 0.6
RENEWED = 0.2
ENDED = 0.3
PAUSE_SECONDS_MIN = 0.02
PAUSE_SECONDS_MAX = 0.5
SEEN_MAX = 10_000


@dataclass(slots=True)
class Held:
    """`since`: of the loop's clock, when the last write that succeeded began."""

    key: str
    owner: str
    e_tag: str = ""
    since: float = 0.0
    writes: int = 0
    is_lost: bool = False


class Leases:
    """`folder` is the prefix of their objects' keys. `once` is the same store, but sends no request a second time."""

    def __init__(self, store: S3Store, once: S3Store, folder: str, lease_seconds: float = LEASE_SECONDS) -> None:
        self._store = store
        self._once = once
        self._folder = folder
        self._lease_seconds = lease_seconds
        self._lines: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # By key: the entity tag of another holder's object, and since when it is known.
        self._seen: dict[str, tuple[str, float]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._held: dict[str, Held] = {}

    @contextlib.asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        line = self._lines.setdefault(name, asyncio.Lock())
        # Tasks of this process wait in line, so that one of them at a time asks the store.
        async with line:
            # Where a key is a folder as well as an object, stores differ: `repository/a` and `repository/a/b`.
            held = await self._taken(f"{self._folder}/{name.replace('/', ':')}")
            limit = asyncio.timeout_at(self._end(held))
            try:
                async with limit:
                    renewing = asyncio.create_task(self._renew(held, limit))
                    self._held[name] = held
                    try:
                        yield
                    finally:
                        del self._held[name]
                        renewing.cancel()
                        await asyncio.wait([renewing])
                        await asyncio.shield(self._in_background(self._release(held)))
            except TimeoutError:
                if limit.expired():
                    raise StoreUnavailableError(f"the lock {name} was lost: it was not renewed in time") from None
                raise

    def is_lost(self, name: str) -> bool:
        """For its holder on the way out: whether another may have it by now."""
        held = self._held.get(name)
        return held is not None and not self._is_certain(held)

    async def end_abandoned(self) -> int:
        """Notes those that others hold, and ends those that are as they were a lease ago; how many."""
        found = {each["path"]: each["e_tag"] or "" for each in await objects.under(self._store, self._folder)}
        mine = {held.key for held in self._held.values()}
        now, ended = asyncio.get_running_loop().time(), 0
        for key in [key for key in self._seen if key not in found]:
            del self._seen[key]
        for key, e_tag in found.items():
            if key in mine:
                continue
            seen, since = self._seen.get(key, ("", now))
            if seen != e_tag and len(self._seen) < SEEN_MAX:
                self._seen[key] = (e_tag, now)
            elif seen == e_tag and now - since >= self._lease_seconds:
                ended += await self._end_of_another(key, e_tag)
        return ended

    async def _end_of_another(self, key: str, e_tag: str) -> bool:
        taken = Held(key, secrets.token_hex(16))
        with reported():
            if not await self._write(taken, e_tag):
                return False
        await self._release(taken)
        return True

    def _is_certain(self, held: Held) -> bool:
        return not held.is_lost and asyncio.get_running_loop().time() < self._end(held)

    def _end(self, held: Held) -> float:
        return held.since + HELD * self._lease_seconds

    async def _taken(self, key: str) -> Held:
        pause = PAUSE_SECONDS_MIN
        while True:
            trying = asyncio.ensure_future(self._try(key))
            try:
                held = await asyncio.shield(trying)
            except asyncio.CancelledError:
                # It may take what nobody waits for any more.
                self._in_background(self._give_back(trying))
                raise
            if held is not None:
                return held
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(pause * 1.5, PAUSE_SECONDS_MAX)

    async def _try(self, key: str) -> Held | None:
        mine = Held(key, secrets.token_hex(16))
        with reported():
            if key not in self._seen and await self._write(mine, "create"):
                return mine
            e_tag = await self._abandoned(key)
            return mine if e_tag and await self._write(mine, e_tag) else None

    async def _abandoned(self, key: str) -> str | None:
        """The entity tag of what its holder has not written for a lease."""
        now = asyncio.get_running_loop().time()
        found = await self._look(key)
        e_tag, since = self._seen.pop(key, ("", now))
        if found is None:
            return None
        if found[1] != e_tag:
            e_tag, since = found[1], now
        self._seen[key] = (e_tag, since)
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        return e_tag if now - since >= self._lease_seconds else None

    async def _write(self, held: Held, before: str) -> bool:
        """Whether it is held then. `before`: the entity tag of what is there, or "create"."""
        # No two contents are the same, so that each has an entity tag of its own.
        content, since = f"{held.owner} {held.writes}".encode(), asyncio.get_running_loop().time()
        try:
            mode = obstore.put_async(
                self._store, held.key, content, mode="create" if before == "create" else {"e_tag": before}
            )
            e_tag = (await mode)["e_tag"]
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            # An answer may have been lost, and its request been sent again.
            found = await self._look(held.key)
            if found is None or found[0] != content:
                return False
            e_tag = found[1]
        assert e_tag, "an S3 store names what it stores"
        self._seen.pop(held.key, None)
        held.e_tag, held.since, held.writes = e_tag, since, held.writes + 1
        return True

    async def _look(self, key: str) -> tuple[bytes, str] | None:
        """Content and entity tag."""
        try:
            found = await obstore.get_async(self._store, key)
            return bytes(await found.bytes_async()), found.meta["e_tag"] or ""
        except FileNotFoundError:
            return None

    async def _renew(self, held: Held, limit: asyncio.Timeout) -> None:
        while True:
            await asyncio.sleep(RENEWED * self._lease_seconds)
            try:
                held.is_lost = not await self._write(held, held.e_tag)
            except BaseError as error:
                log.warning("a lock is not renewed; it is tried again key=%s error=%s", held.key, error)
                continue
            if limit.expired():
                return
            limit.reschedule(0 if held.is_lost else self._end(held))

    async def _release(self, held: Held) -> None:
        """Only while it is certain that no other has it: a deletion has no condition.

        Nor is it sent again unasked. If its answer was all that was lost, another may have the lock by then.
        """
        while self._is_certain(held):
            try:
                async with asyncio.timeout(ENDED * self._lease_seconds):
                    await obstore.delete_async(self._once, held.key)
                return
            except TimeoutError:
                log.warning("a lock is not given back; others wait for its end key=%s", held.key)
                return
            except BaseError as error:
                log.warning("a lock may not be given back; it is looked at key=%s error=%s", held.key, error)
            with contextlib.suppress(BaseError):
                found = await self._look(held.key)
                if found is None or found[1] != held.e_tag:
                    return
            await asyncio.sleep(PAUSE_SECONDS_MAX)

    async def _give_back(self, trying: "asyncio.Future[Held | None]") -> None:
        try:
            held = await trying
        except StoreUnavailableError:
            return
        if held is not None:
            await self._release(held)

    def _in_background(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task
