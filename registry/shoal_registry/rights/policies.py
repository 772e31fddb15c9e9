"""The policies of repositories, one file each in the store: their text, as it was given."""

from shoal_registry.names import Repository
from shoal_registry.rights import policy
from shoal_registry.rights.policy import Policy
from shoal_registry.storage import paths
from shoal_registry.storage.store import Store


class Policies:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def text(self, repository: Repository) -> str | None:
        content = await self._store.read(paths.policy(repository))
        return None if content is None else content.decode()

    async def find(self, repository: Repository) -> Policy | None:
        text = await self.text(repository)
        return None if text is None else policy.parse(text)

    async def put(self, repository: Repository, text: str) -> None:
        """Raises InvalidPolicyError."""
        policy.parse(text)
        await self._store.put(paths.policy(repository), text.encode())

    async def delete(self, repository: Repository) -> None:
        await self._store.delete(paths.policy(repository))
