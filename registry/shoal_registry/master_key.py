"""`python -m shoal_registry.master_key`: another master key for a store, beside the registries that run on it."""

import argparse
import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from shoal_registry import configuration, leave, rotation
from shoal_registry.storage import master_keys, protection
from shoal_registry.storage.master_keys import KeyFileUnusable, KeyRing, MasterKeys
from shoal_registry.storage.places import is_there, opened
from shoal_registry.storage.protection import StartRefused
from shoal_registry.storage.store import Store, StoreUnavailableError


def main() -> None:
    parser = argparse.ArgumentParser(prog="shoal_registry.master_key", description=__doc__)
    configuration.add_store(parser)
    parser.add_argument("--master-key", required=True, type=Path, metavar="FILE", help="the registry's")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("show", help="which keys there are, and how many contents each of them opens")
    rotate = actions.add_parser("rotate", help="makes another key, and wraps with it what the former ones wrap")
    rotate.add_argument(
        "--prepare",
        action="store_true",
        help="only makes it: copy the file to every host with a registry, then rotate, then copy it again",
    )
    actions.add_parser("rewrap", help="goes on with a rotation that was cut off")
    actions.add_parser("forget", help="drops former keys, once they open nothing; older backups need them")
    given = parser.parse_args()
    if not is_there(given.store):
        sys.exit(f"There is no store {given.store}.")
    try:
        asyncio.run(_act_at(given, MasterKeys(given.master_key.absolute())))
    except (StartRefused, KeyFileUnusable, StoreUnavailableError) as refused:
        sys.exit(str(refused))


async def _act_at(given: argparse.Namespace, keys: MasterKeys) -> None:
    async with opened(given.store) as store:
        await _act(given, store, keys)


async def _act(given: argparse.Namespace, store: Store, keys: MasterKeys) -> None:
    await _refuse_unless_of_this_store(store, keys)
    async with store.lock("master-key"):
        if given.action == "show":
            await _show(store, keys)
        elif given.action == "forget":
            await _forget(store, keys)
        else:
            if given.action == "rotate":
                _rotate(keys, given.prepare)
            if not getattr(given, "prepare", False):
                await _rewrap(store, keys)


async def _refuse_unless_of_this_store(store: Store, keys: MasterKeys) -> None:
    found = await protection.read(store)
    if found is None or found.master_key is None:
        raise StartRefused("The contents of this store are not encrypted: it has no master key.")
    if keys.ring().find(bytes.fromhex(found.master_key)) is None:
        raise StartRefused(protection.lost(found, f"{keys.path} does not hold that key"))


def _rotate(keys: MasterKeys, prepare: bool) -> None:
    ring = keys.ring()
    newest = ring.entries[-1].key.id
    if newest == ring.current:
        ring = ring.with_new(os.urandom(master_keys.SECRET_BYTES), datetime.now(UTC), current=not prepare)
    elif not prepare:
        ring = KeyRing(ring.entries, newest)
    master_keys.replace(keys.path, ring)
    what = "is prepared: copy the file to every host with a registry, then rotate" if prepare else "is the master key"
    print(f"{ring.entries[-1].key.id.hex()} {what}. Keep a copy of {keys.path}.")


async def _rewrap(store: Store, keys: MasterKeys) -> None:
    current = keys.current()
    await protection.note_master_key(store, current.id)
    failed = await rotation.rewrap(store, keys, _progress)
    print(f"Everything that can be opened is wrapped by {current.id.hex()}. The former keys open older backups.")
    if failed:
        sys.exit("\n".join(["These could not be wrapped again, and stay as they are:", *failed]))


def _progress(done: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} wrapped again", end="", file=sys.stderr)


async def _show(store: Store, keys: MasterKeys) -> None:
    ring, counted = keys.ring(), await rotation.used(store)
    for entry in ring.entries:
        key_id = entry.key.id.hex()
        mark = "current" if entry.key.id == ring.current else ""
        print(f"{key_id}  made {entry.made}  opens {counted.pop(key_id, 0)}  {mark}".rstrip())
    for key_id, number in counted.items():
        print(f"{key_id}  not in {keys.path}, needed by {number}")


async def _forget(store: Store, keys: MasterKeys) -> None:
    ring, counted = keys.ring(), await rotation.used(store)
    former = {entry.key.id.hex() for entry in ring.entries} - {ring.current.hex()}
    if needed := {key_id: counted[key_id] for key_id in former if counted[key_id]}:
        said = ", ".join(f"{key_id} opens {number}" for key_id, number in sorted(needed.items()))
        sys.exit(
            f"Former keys are still needed: {said}. Run `rewrap` first; what uploads need of them ends with those, "
            "after their grace."
        )
    master_keys.replace(keys.path, ring.only(frozenset([ring.current])))
    print(
        f"Forgotten: {', '.join(sorted(former)) or 'nothing'}. Backups from before need a copy of the file from before."
    )


if __name__ == "__main__":
    leave.run(main)
