"""Blobs and manifests to and from the registry, by the OCI distribution specification.

A transfer that is cut goes on where it was: what breaks a connection is tried again as long as bytes come through.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from shoal import errors
from shoal.bridge import manifest
from shoal.bridge.archive import Damaged
from shoal.bridge.exchange import SILENCE_SECONDS, AgainError, Answer, Exchange, read

PIECE_BYTES = 1024 * 1024
_ACCEPTED = {"Accept": ", ".join((*manifest.IMAGES, *manifest.INDEXES))}
_BYTES = {"Content-Type": "application/octet-stream"}

# Told how many bytes of it are there by now.
Moved = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest as the registry has it."""

    content: bytes
    media_type: str
    digest: str


@dataclass(frozen=True, slots=True)
class Repository:
    exchange: Exchange
    name: str

    async def blob_size(self, digest: str) -> int | None:
        """None if the repository has it not."""
        answer = await self.exchange.ask("HEAD", self.name, f"blobs/{digest}")
        if answer.status == 404:
            return None
        answer.demand(200)
        return int(answer.headers.get("Content-Length", -1))

    async def has(self, digest: str, size: int) -> bool:
        """Whether it has that blob now: from before, or from another repository, without a byte sent."""
        if await self.blob_size(digest) == size:
            return True
        location = await self._begin(digest)
        if location:
            await self.exchange.ask("DELETE", self.name, location)
        return location is None

    async def push_file(self, digest: str, path: Path, size: int, moved: Moved) -> bool:
        """False if it had not to be sent: the repository had it, or another one has."""
        if await self.blob_size(digest) == size:
            return False
        location = await self._begin(digest)
        if location is None:
            return False
        await self._send(digest, location, path, size, moved)
        return True

    async def push_bytes(self, digest: str, content: bytes) -> None:
        """In one request."""
        if await self.blob_size(digest) != len(content):
            answer = await self.exchange.ask("POST", self.name, f"blobs/uploads/?digest={digest}", content, _BYTES)
            answer.demand(201)

    async def manifest(self, reference: str) -> Found:
        """By tag or digest; its digest is verified. Raises NotFound with the registry's words, Damaged."""
        answer = await self.exchange.ask("GET", self.name, f"manifests/{reference}", headers=_ACCEPTED)
        answer.demand(200)
        wanted = reference if ":" in reference else answer.headers.get("Docker-Content-Digest", "")
        algorithm = wanted.partition(":")[0] or "sha256"
        if algorithm not in ("sha256", "sha512"):
            raise Damaged(f"The registry says a digest that cannot be checked: {wanted[:200]!r}.")
        digest = f"{algorithm}:{hashlib.new(algorithm, answer.content).hexdigest()}"
        if wanted and digest != wanted:
            raise Damaged(f"The registry sent another manifest than {wanted}: its digest is {digest}.")
        said = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        return Found(answer.content, manifest.media_type_of(answer.content, said), digest)

    async def put_manifest(self, reference: str, content: bytes, media_type: str) -> None:
        headers = {"Content-Type": media_type}
        (await self.exchange.ask("PUT", self.name, f"manifests/{reference}", content, headers)).demand(201)

    async def blob(self, digest: str, size: int) -> AsyncIterator[bytes]:
        """Raises Damaged if it was not that blob: then nothing may be made of what came before."""
        hashing = hashlib.new(digest.partition(":")[0])
        came, tries = 0, 0
        while came < size:
            try:
                async for piece in self._part(digest, came, size):
                    came, tries = came + len(piece), 0
                    if came > size:
                        raise Damaged(f"The registry sent more than the {size} bytes of {digest}.")
                    await asyncio.to_thread(hashing.update, piece)
                    yield piece
                if came < size:
                    raise AgainError("it sent less than it said")
            except AgainError as again:
                tries += 1
                await self.exchange.pause(tries, again)
        if hashing.hexdigest() != digest.partition(":")[2]:
            raise Damaged(f"The registry sent something else than {digest}; what came is not used.")

    async def _part(self, digest: str, start: int, size: int) -> AsyncIterator[bytes]:
        headers = {"Range": f"bytes={start}-{size - 1}"} if start else {}
        async with self.exchange.once("GET", self.name, f"blobs/{digest}", None, headers) as answer:
            if answer.status != (206 if start else 200):
                (await read(answer)).demand(206 if start else 200)
            async for piece in answer.content.iter_chunked(PIECE_BYTES):
                yield piece

    async def _begin(self, digest: str) -> str | None:
        """Where to send it; None if it was mounted from another repository."""
        answer = await self.exchange.ask("POST", self.name, f"blobs/uploads/?mount={digest}", b"")
        answer.demand(201, 202)
        if answer.status == 201:
            return None
        if "Location" not in answer.headers:
            raise errors.ServerFault("The registry says not where to send a layer.")
        return answer.headers["Location"]

    async def _send(self, digest: str, location: str, path: Path, size: int, moved: Moved) -> None:
        sent, tries = 0, 0
        while True:
            try:
                if sent < size:
                    location = await self._append(location, path, sent, size, moved)
                await self._finish(location, digest)
                return
            except AgainError as again:
                tries += 1
                await self.exchange.pause(tries, again)
            # The last answer may be what was lost.
            if await self.blob_size(digest) == size:
                return
            there = await self._sent(location)
            if there is None:
                begun = await self._begin(digest)
                if begun is None:
                    return
                location, there = begun, 0
            sent, tries = there, 0 if there > sent else tries
            moved(sent)

    async def _append(self, location: str, path: Path, start: int, size: int, moved: Moved) -> str:
        """Sends all from there on; where the next request goes."""
        headers = {**_BYTES, "Content-Length": str(size - start), "Content-Range": f"{start}-{size - 1}"}
        try:
            async with asyncio.timeout(SILENCE_SECONDS) as patience:
                body = _file(path, start, moved, patience)
                async with self.exchange.once("PATCH", self.name, location, body, headers) as answer:
                    return _next(await read(answer), 202, location)
        except TimeoutError:
            raise AgainError("nothing more was taken") from None

    async def _finish(self, location: str, digest: str) -> None:
        query = "&" if "?" in location else "?"
        async with self.exchange.once("PUT", self.name, f"{location}{query}digest={digest}", b"", _BYTES) as answer:
            _next(await read(answer), 201, location)

    async def _sent(self, location: str) -> int | None:
        """How much of an upload is there; None if it has to begin anew."""
        answer = await self.exchange.ask("GET", self.name, location)
        if answer.status == 404:
            return None
        answer.demand(204)
        last = answer.headers.get("Range", "0-0").rpartition("-")[2]
        # 0-0 is said of nothing as well as of one byte.
        return int(last) + 1 if last.isdigit() and last != "0" else None


def _next(answer: Answer, status: int, location: str) -> str:
    """Where the next request of an upload goes. Raises AgainError if the upload is not there, or not so far."""
    if answer.status in (404, 416):
        raise AgainError("the upload is not where it was")
    answer.demand(status)
    return answer.headers.get("Location", location)


async def _file(path: Path, start: int, moved: Moved, patience: asyncio.Timeout) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece
            start += len(piece)
            moved(start)
            patience.reschedule(asyncio.get_running_loop().time() + SILENCE_SECONDS)
