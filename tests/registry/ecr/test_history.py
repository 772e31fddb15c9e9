"""When images were pulled and what happened to them, as several processes on one store keep it."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pytest
from shoal_registry import events as happened
from shoal_registry import image
from shoal_registry.events import KEPT_SECONDS, Events
from shoal_registry.image import Image
from shoal_registry.names import Digest, Repository
from shoal_registry.pulls import PERIOD_SECONDS, Pulls, last_pull
from shoal_registry.storage import paths
from shoal_registry.storage.folder import FolderStore

WEB = Repository("web")
DIGEST = Digest.of(b"one")


class CountingStore(FolderStore):
    """Counts what is written."""

    puts = 0
    is_full = False

    async def put(self, path: PurePosixPath, content: bytes, durable: bool = True) -> None:
        self.puts += 1
        if self.is_full:
            raise OSError(28, "no space left on device")
        await super().put(path, content, durable)


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(tmp_path / "store")


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def add(store: CountingStore, digest: Digest) -> None:
    await store.put(paths.manifest(WEB, digest), image.encode(Image("x/y", 0.0, 1)))


async def test_an_image_is_written_once_an_hour(store: CountingStore, clock: Clock) -> None:
    """However often it is pulled, in whichever process; and the last pull is not forgotten."""
    await add(store, DIGEST)
    processes = [Pulls(store, clock) for _ in range(3)]
    began = clock.now
    store.puts = 0
    while clock.now < began + PERIOD_SECONDS - 10:
        for process in processes:
            process.note(WEB, DIGEST)
            await process.flush()
        clock.now += 300
    assert store.puts == 1
    assert await last_pull(store, WEB, DIGEST) == began
    last = clock.now - 300
    clock.now = began + PERIOD_SECONDS + 1
    for process in processes:
        await process.flush()
    assert store.puts == 2
    assert await last_pull(store, WEB, DIGEST) == last


async def test_what_waits_is_written_at_the_end(store: CountingStore, clock: Clock) -> None:
    """But never back in time."""
    await add(store, DIGEST)
    one, other = Pulls(store, clock), Pulls(store, clock)
    one.note(WEB, DIGEST)
    await one.flush()
    for process in (one, other):
        clock.now += 10
        process.note(WEB, DIGEST)
    await other.flush(is_last=True)
    assert await last_pull(store, WEB, DIGEST) == clock.now
    await one.flush(is_last=True)
    assert await last_pull(store, WEB, DIGEST) == clock.now


async def test_of_an_image_that_is_gone_nothing_is_written(store: CountingStore, clock: Clock) -> None:
    pulls = Pulls(store, clock)
    pulls.note(WEB, DIGEST)
    await pulls.flush(is_last=True)
    assert store.puts == 0


async def test_a_full_disk_forgets_no_pull(store: CountingStore, clock: Clock) -> None:
    await add(store, DIGEST)
    pulls = Pulls(store, clock)
    pulls.note(WEB, DIGEST)
    store.is_full = True
    with pytest.raises(OSError, match="no space"):
        await pulls.flush()
    store.is_full = False
    await pulls.flush()
    assert await last_pull(store, WEB, DIGEST) == clock.now


async def tell(events: Events, after: str = "") -> tuple[list[str], str]:
    """The tags, and the last position."""
    found = [(at, event["detail"]["image-tag"]) async for at, event in events.read(after)]
    return [tag for _, tag in found], found[-1][0] if found else after


def note(events: Events, tags: Sequence[str]) -> None:
    for tag in tags:
        events.note("PUSH", WEB, DIGEST, "ann", tag)


async def test_who_follows_misses_nothing_and_sees_nothing_twice(store: CountingStore, clock: Clock) -> None:
    """Also if the clocks of the processes differ."""
    slow = Clock()
    slow.now -= 100
    here, there = Events(store, clock), Events(store, slow)
    seen: list[str] = []
    position = ""
    for turn in range(5):
        note(here, [f"here-{turn}"])
        note(there, [f"there-{turn}-{number}" for number in range(2)])
        for writes in (here, there) if turn % 2 else (there, here):
            await writes.flush()
            tags, position = await tell(here, position)
            seen += tags
    assert len(seen) == len(set(seen)) == 15
    assert (await tell(there))[0] == seen


async def test_there_is_an_end_to_what_is_kept(
    store: CountingStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By age, and by number."""
    events = Events(store, clock)
    note(events, ["old"])
    await events.flush()
    clock.now += KEPT_SECONDS
    note(events, ["a", "b"])
    await events.flush()
    await events.prune()
    assert (await tell(events))[0] == ["old", "a", "b"]
    clock.now += 1
    await events.prune()
    assert (await tell(events))[0] == ["a", "b"]
    note(events, ["c"])
    await events.flush()
    monkeypatch.setattr(happened, "KEPT_MAX", 2)
    await events.prune()
    assert (await tell(events))[0] == ["c"]


async def test_events_that_cannot_be_written_wait(
    store: CountingStore, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """So many that memory has an end, too; how many were lost is said."""
    monkeypatch.setattr(happened, "WAITING_MAX", 2)
    events = Events(store, clock)
    store.is_full = True
    note(events, ["a", "b", "c"])
    with pytest.raises(OSError, match="no space"):
        await events.flush()
    store.is_full = False
    assert (await tell(events))[0] == ["a", "b"]
    assert "count=1" in caplog.text


async def test_pulls_of_one_image_are_counted(store: CountingStore, clock: Clock) -> None:
    """Of each caller, and until they are written."""
    events = Events(store, clock)
    for caller in ("i-1", "i-1", "i-2"):
        events.note("PULL", WEB, DIGEST, caller, "v1")
    await events.flush()
    events.note("PULL", WEB, DIGEST, "i-1", "v1")
    details = [event["detail"] async for _, event in events.read("")]
    assert [(each["caller"], each["count"]) for each in details] == [("i-1", 2), ("i-2", 1), ("i-1", 1)]
