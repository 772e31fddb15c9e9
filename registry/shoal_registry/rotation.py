"""Another master key for a store: the contents' keys are wrapped again, the contents stay as they are.

Registries that run read the key file again whenever it changed, so that they open what either key wraps, and wrap with
the current one. Every key is replaced at once and as a whole: a rotation that was cut off is taken up by the next.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import PurePosixPath

from shoal_registry.names import UploadId
from shoal_registry.storage import cipher, paths
from shoal_registry.storage.damage import Damaged
from shoal_registry.storage.listing import paths_in
from shoal_registry.storage.master_keys import MasterKeys, MasterKeyUnknown
from shoal_registry.storage.store import Store

AT_ONCE = 16


async def rewrap(store: Store, keys: MasterKeys, each: Callable[[int], None] = lambda _: None) -> list[str]:
    """With the current master key, all of the contents' keys that another one wraps; what could not be, and why.

    `each` is told how many are done. Passes over them until none is left: pushes go on meanwhile.
    """
    current, done = await asyncio.to_thread(keys.current), 0
    while True:
        failed: list[str] = []
        changed = 0
        async for batch in _batches(paths_in(store, paths.KEYS)):
            for outcome in await asyncio.gather(*(_rewrap(store, keys, current, path) for path in batch)):
                changed += outcome is True
                failed += [outcome] if isinstance(outcome, str) else []
            each(done + changed)
        done += changed
        if not changed:
            return failed


async def used(store: Store) -> Counter[str]:
    """How many keys each master key wraps, by its id; those of uploads as well, which end with their grace."""
    counted: Counter[str] = Counter()
    async for batch in _batches(_all_keys(store)):
        for wrapped in await asyncio.gather(*(store.read(path) for path in batch)):
            counted.update([] if wrapped is None else [cipher.wrapped_by(wrapped).hex()])
    return counted


async def _all_keys(store: Store) -> AsyncIterator[PurePosixPath]:
    async for path in paths_in(store, paths.KEYS):
        yield path
    for name in await store.names(paths.UPLOADS):
        yield paths.upload_key(paths.upload_data(UploadId.parse(name)))


async def _rewrap(store: Store, keys: MasterKeys, current: cipher.MasterKey, path: PurePosixPath) -> bool | str:
    """Whether it had to be; what was wrong, as text."""
    wrapped = await store.read(path)
    if wrapped is None or cipher.wrapped_by(wrapped) == current.id:
        return False
    try:
        content, file_id = paths.keyed(path)
        master = await asyncio.to_thread(keys.find, cipher.wrapped_by(wrapped))
        key, size = master.unwrap(wrapped, file_id, content)
    except (Damaged, MasterKeyUnknown, ValueError) as error:
        return f"{path}: {error}"
    await store.put(path, current.wrap(key, content, size))
    return True


async def _batches(found: AsyncIterator[PurePosixPath]) -> AsyncIterator[list[PurePosixPath]]:
    batch: list[PurePosixPath] = []
    async for path in found:
        batch.append(path)
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    yield batch
