"""The accounts, one file each in the store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from shoal_registry.errors import Refused
from shoal_registry.rights.accounts import SALT_BYTES, Account, Hash
from shoal_registry.storage import paths
from shoal_registry.storage.store import Store

SECRET_BYTES = 32


class Directory:
    """`random_bytes` gives as many as it is asked for."""

    def __init__(self, store: Store, random_bytes: Callable[[int], bytes]) -> None:
        self._store = store
        self._random_bytes = random_bytes

    async def find(self, name: str) -> Account | None:
        content = await self._store.read(paths.account(name))
        return None if content is None else Account.load(content)

    async def listed(self) -> Sequence[Account]:
        """By their names."""
        found = [await self.find(name) for name in await self._store.names(paths.ACCOUNTS)]
        return [account for account in found if account is not None]

    async def create(self, account: Account) -> str:
        """Its secret, which nobody sees again. Raises Refused if there is one of that name."""
        secret, hashed = await self._new_secret()
        async with self._store.lock(f"account/{account.name}"):
            if await self.find(account.name) is not None:
                raise Refused("ACCOUNT_EXISTS", f"There is an account {account.name} already.")
            await self._store.put(paths.account(account.name), replace(account, secret=hashed).stored())
        return secret

    async def rotate(self, name: str) -> str:
        """Its new secret; the old one is good for nothing from now on. Raises Refused."""
        secret, hashed = await self._new_secret()
        async with self.changing(name) as account:
            await self._store.put(paths.account(name), replace(account, secret=hashed).stored())
        return secret

    async def update(self, name: str, change: Callable[[Account], Account]) -> Account:
        """Raises Refused, and what `change` raises."""
        async with self.changing(name) as account:
            changed = change(account)
            await self._store.put(paths.account(name), changed.stored())
        return changed

    async def delete(self, name: str) -> None:
        """Raises Refused."""
        async with self.changing(name):
            await self._store.delete(paths.account(name))

    @asynccontextmanager
    async def changing(self, name: str) -> AsyncIterator[Account]:
        """It changes for nobody else meanwhile. Raises Refused."""
        async with self._store.lock(f"account/{name}"):
            account = await self.find(name)
            if account is None:
                raise Refused("ACCOUNT_UNKNOWN", f"There is no account {name}.")
            yield account

    async def _new_secret(self) -> tuple[str, Hash]:
        secret = self._random_bytes(SECRET_BYTES).hex()
        return secret, await asyncio.to_thread(Hash.of, secret, self._random_bytes(SALT_BYTES))
