"""Walks over what a store holds."""

from collections.abc import AsyncIterator
from pathlib import PurePosixPath

from shoal_registry.storage.store import Store


async def paths_in(store: Store, folder: PurePosixPath) -> AsyncIterator[PurePosixPath]:
    """Of contents, or of their keys: two folders deep."""
    for algorithm in await store.names(folder):
        for beginning in await store.names(folder / algorithm):
            for name in await store.names(folder / algorithm / beginning):
                yield folder / algorithm / beginning / name
