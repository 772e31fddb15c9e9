"""Every kind of store that the registry can be started on, for the tests of what all of them promise.

As a program, one that holds a lock: `python -m tests.registry.stores PLACE ENDPOINT NAME`, until it is ended.
"""

import asyncio
import sys
from pathlib import Path

import obstore
import pytest
from shoal_registry.storage.bucket import Bucket
from shoal_registry.storage.folder import FolderStore
from shoal_registry.storage.places import parse
from shoal_registry.storage.s3 import S3Store, client_of
from shoal_registry.storage.store import StoreUnavailableError

from tests.ground.s3 import BUCKET, S3Server

KINDS = ("folder", "s3")
# So that nobody waits long for what a holder left that is no more.
LEASE_SECONDS = 3.0


def place_of(kind: str, root: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A place of its own in a store of that kind, and where its server is; this process may use it then."""
    if kind == "folder":
        return str(root / "store"), ""
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    prefix = f"{root.parent.name}/{root.name}".replace("[", "-").replace("]", "")
    return f"s3://{BUCKET}/{prefix}", server.endpoint


def open_store_at(place: str, endpoint: str) -> FolderStore | S3Store:
    """As another process would."""
    where = parse(place, {"AWS_ENDPOINT_URL": endpoint})
    return S3Store(where, LEASE_SECONDS) if isinstance(where, Bucket) else FolderStore(where)


def files_at(place: str, endpoint: str) -> set[str]:
    """The paths of all that lies there."""
    where = parse(place, {"AWS_ENDPOINT_URL": endpoint})
    if isinstance(where, Path):
        return {str(path.relative_to(where)) for path in where.rglob("*") if path.is_file()}
    found = obstore.list(client_of(where)).collect()
    return {each["path"] for each in found}


async def hold(place: str, endpoint: str, name: str) -> None:
    """Says when it has the lock, and when it lost it."""
    try:
        async with open_store_at(place, endpoint).lock(name):
            print("held", flush=True)
            await asyncio.Event().wait()
    except StoreUnavailableError as error:
        print(error, flush=True)


if __name__ == "__main__":
    asyncio.run(hold(*sys.argv[1:]))
