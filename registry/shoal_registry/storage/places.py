"""Where a store is: in a folder, or in a bucket of an S3 store, named as in s3://bucket/prefix."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from shoal_registry.storage.bucket import Bucket
from shoal_registry.storage.folder import FolderStore
from shoal_registry.storage.store import Store

Place: TypeAlias = Path | Bucket


def parse(text: str, environment: Mapping[str, str]) -> Place:
    """By the variables that all programs of S3 know. Raises ValueError."""
    url = urlsplit(text)
    if not url.scheme:
        return Path(text)
    if url.scheme != "s3" or not url.netloc or url.query or url.fragment:
        raise ValueError(
            f"{text} is neither a folder nor a place in an S3 store: write s3://bucket/prefix, or a folder's whole path"
        )
    authority = environment.get("AWS_CA_BUNDLE")
    return Bucket(
        url.netloc,
        url.path.strip("/"),
        environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL", ""),
        environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION", ""),
        Path(authority) if authority else None,
    )


def is_within(path: Path, place: Place) -> bool:
    """Whether a copy of the store would hold that file, too."""
    return isinstance(place, Path) and path.resolve().is_relative_to(place.resolve())


def is_there(place: Place) -> bool:
    """False if it certainly is not. A bucket is asked when it is opened."""
    return not isinstance(place, Path) or place.is_dir()


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Store]:
    """Raises StoreUnavailableError, OSError."""
    if isinstance(place, Bucket):
        # Only who uses one loads what it takes.
        from shoal_registry.storage.s3 import S3Store

        bucket = S3Store(place)
        await bucket.prove()
        keeping = asyncio.create_task(bucket.keep_locks())
        try:
            yield bucket
        finally:
            keeping.cancel()
        return
    folder = FolderStore(place.absolute())
    try:
        yield folder
    finally:
        folder.close()
