"""Whether a store's contents are encrypted: decided at its first start, written into it, and held to ever after.

The file `encryption` in the store: {"contents": "encrypted" | "mixed" | "plain", "masterKey": "<id>" or null}. In a
mixed store are contents of a time before it was encrypted. A store without that file, but with contents, is plain.
"""

import asyncio
import json
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from shoal_registry.storage import master_keys, paths
from shoal_registry.storage.checked import CheckedStore
from shoal_registry.storage.encrypted import EncryptedStore
from shoal_registry.storage.master_keys import MasterKeys
from shoal_registry.storage.store import Store


class StartRefused(Exception):  # noqa: N818  said to whoever starts the program
    """The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Protection:
    """`master_key` is the id of a key that wraps the contents' keys; None in a plain store."""

    contents: Literal["encrypted", "mixed", "plain"]
    master_key: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says. `master_key` is None for --no-encryption."""

    master_key: Path | None
    from_now_on: bool = False


async def protected(store: Store, wanted: Wanted) -> Store:
    """The store as the registry is to use it. Makes the key file for a store that is new.

    Raises StartRefused, and KeyFileUnusable.
    """
    async with store.lock("encryption"):
        found = await read(store)
        if refusal := _refusal(found, wanted):
            raise StartRefused(refusal)
        if wanted.master_key is None:
            if found is None:
                await write(store, Protection("plain"))
            return CheckedStore(store)
        if found is None or found.master_key is None:
            await asyncio.to_thread(master_keys.make, wanted.master_key, os.urandom(32), datetime.now(UTC))
        keys = MasterKeys(wanted.master_key)
        current = (await asyncio.to_thread(keys.current)).id.hex()
        if found is None:
            found = Protection("encrypted", current)
            await write(store, found)
        elif found.contents == "plain":
            found = Protection("mixed", current)
            await write(store, found)
        elif keys.ring().find(bytes.fromhex(found.master_key or "")) is None:
            raise StartRefused(lost(found, f"{wanted.master_key} does not hold that key, but {current}"))
        return EncryptedStore(store, keys, mixed=found.contents == "mixed")


async def read(store: Store) -> Protection | None:
    """None if the store is new. Raises StartRefused if what is written cannot be read."""
    written = await store.read(paths.ENCRYPTION)
    if written is None:
        return Protection("plain") if await store.names(paths.CONTENTS) else None
    try:
        document = json.loads(written)
        contents, master_key = document["contents"], document["masterKey"]
        if contents not in ("encrypted", "mixed", "plain") or (contents == "plain") != (master_key is None):
            raise ValueError(f"{contents!r} with {master_key!r}")
        return Protection(contents, master_key)
    except (ValueError, KeyError, TypeError) as error:
        raise StartRefused(
            f"The store's file `{paths.ENCRYPTION}` cannot be read ({error}): restore it from a copy of the store."
        ) from None


async def write(store: Store, protection: Protection) -> None:
    document = {"contents": protection.contents, "masterKey": protection.master_key}
    await store.put(paths.ENCRYPTION, json.dumps(document).encode())


async def note_all_encrypted(store: Store) -> None:
    """Nothing is left of the time before."""
    async with store.lock("encryption"):
        found = await read(store)
        if found is not None and found.contents == "mixed":
            await write(store, replace(found, contents="encrypted"))


async def note_master_key(store: Store, key_id: bytes) -> None:
    """The store's contents are wrapped by that key from now on."""
    async with store.lock("encryption"):
        found = await read(store)
        if found is not None and found.master_key is not None:
            await write(store, replace(found, master_key=key_id.hex()))


def _refusal(found: Protection | None, wanted: Wanted) -> str | None:
    if found is None:
        return None
    if found.contents == "plain":
        if wanted.master_key is None or wanted.from_now_on:
            return None
        return (
            "The contents of this store are not encrypted. Start the registry with --no-encryption to leave it so; or "
            "once with --encrypt-from-now-on: what is pushed from then on is encrypted, what is there stays plain and "
            "can be pulled until `python -m shoal_registry.scrub --encrypt` has encrypted it as well."
        )
    if wanted.master_key is None:
        return (
            f"The contents of this store are encrypted, by the master key {found.master_key}: start the registry "
            "without --no-encryption, and with --master-key FILE as before."
        )
    if not wanted.master_key.exists():
        return lost(found, f"{wanted.master_key} is not there")
    return None


def lost(found: Protection, what: str) -> str:
    return (
        f"The contents of this store are encrypted by the master key {found.master_key}, and {what}. Give the file "
        "that it was started with before, or restore that from your copy. Nobody can read the store without it; a new "
        "key would not help: if every copy is lost, begin with an empty store and push the images again."
    )
