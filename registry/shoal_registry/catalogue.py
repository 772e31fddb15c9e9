"""Which repositories there are, found in the store's folders; no list of them is kept that could be wrong."""

from collections.abc import AsyncIterator

from shoal_registry.names import Repository
from shoal_registry.storage import paths
from shoal_registry.storage.store import Store


async def repositories(store: Store, after: str = "") -> AsyncIterator[Repository]:
    """Those after that one, in the order of their names' components."""
    async for each in _within(store, (), tuple(after.split("/")) if after else ()):
        yield each


async def _within(store: Store, folder: tuple[str, ...], after: tuple[str, ...]) -> AsyncIterator[Repository]:
    names = await store.names(paths.repositories(folder))
    here = folder > after
    if folder and here and paths.MARK in names:
        yield Repository("/".join(folder))
    for name in names:
        inner = (*folder, name)
        # What lies wholly before the one after which is asked for is not looked into.
        if not name.startswith("_") and inner >= after[: len(inner)]:
            async for each in _within(store, inner, after):
                yield each
