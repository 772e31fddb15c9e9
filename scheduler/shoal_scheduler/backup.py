"""`python -m shoal_scheduler.backup`: takes a snapshot of the store, and writes one into an empty store.

    take FILE     a snapshot of the etcd at --etcd, whether a scheduler runs or not
    load FILE     its records into the etcd at --etcd, which has to be empty, while no scheduler runs

Prints one JSON object: the revision, how many records, and what is added to revisions from now on. Exit code 1 with a
sentence on stderr if it cannot be done; then an etcd that was to be loaded is not to be used.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
from shoal.rpc import Credentials

from shoal_scheduler.control import restored
from shoal_scheduler.state import etcd_load, keys, snapshot
from shoal_scheduler.state.etcd import open_etcd_channel, store_version

BATCH_RECORDS = 100
BATCH_BYTES = 512 * 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="shoal_scheduler.backup")
    parser.add_argument("do", choices=("take", "load"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--etcd", required=True, metavar="HOST:PORT[,...]")
    for name in ("authority", "certificate", "key"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    given = parser.parse_args()
    try:
        print(json.dumps(asyncio.run(_do(given))))
    except grpc.aio.AioRpcError as error:
        return _fail(f"etcd at {given.etcd} does not answer: {error.details()}")
    except (OSError, ValueError) as error:
        return _fail(str(error))
    return 0


def _fail(words: str) -> int:
    print(words, file=sys.stderr)
    return 1


async def _do(given: argparse.Namespace) -> dict[str, Any]:
    credentials = Credentials.load(given.authority, given.certificate, given.key)
    async with open_etcd_channel(given.etcd.split(","), credentials) as channel:
        return await (take if given.do == "take" else load)(channel, given.file)


async def take(channel: grpc.aio.Channel, path: Path) -> dict[str, Any]:
    size_bytes = await snapshot.take(channel, path)
    found = snapshot.read(path)
    return {
        "revision": found.revision,
        "records": len(found.stored),
        "sizeBytes": size_bytes,
        "storeVersion": await store_version(channel),
    }


async def load(channel: grpc.aio.Channel, path: Path) -> dict[str, Any]:
    found = snapshot.read(path)
    base = restored.new_base(found.revision, time.time_ns() // 1000)
    records = list(restored.records(found.stored, time.time_ns() // 1_000_000))
    await etcd_load.begin(channel, {keys.BASE: str(base).encode()})
    for batch in _batches(records):
        await etcd_load.put(channel, batch)
    written = await etcd_load.count(channel)
    if written != len(records):
        raise ValueError(f"{written} records were written instead of {len(records)}: somebody else writes to this etcd")
    return {"revision": found.revision, "records": written, "base": base}


def _batches(records: Iterable[tuple[bytes, bytes]]) -> Iterator[dict[bytes, bytes]]:
    batch: dict[bytes, bytes] = {}
    size_bytes = 0
    for key, value in records:
        if batch and (len(batch) == BATCH_RECORDS or size_bytes + len(value) > BATCH_BYTES):
            yield batch
            batch, size_bytes = {}, 0
        batch[key] = value
        size_bytes += len(value)
    if batch:
        yield batch


if __name__ == "__main__":
    sys.exit(main())
