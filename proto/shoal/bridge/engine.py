"""All that is said to a Docker Engine; the only module here that imports aiodocker."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiodocker
import aiohttp
from aiodocker.exceptions import DockerError

from shoal import errors
from shoal.bridge.archive import Damaged
from shoal.bridge.manifest import Platform

CONNECT_SECONDS = 5.0
LOOK_SECONDS = 30.0
# An engine of Docker 20.10 writes a whole image to its disk before the first byte comes; and takes a whole one in
# before it unpacks it.
SILENCE_SECONDS = 600.0
PIECE_BYTES = 1024 * 1024
LOOKS_AT_ONCE = 8
# aiodocker's number for "no connection"; the engine's own are HTTP's.
_NO_CONNECTION = 900


@dataclass(frozen=True, slots=True)
class LocalImage:
    """identity: `sha256:…`, of its config or, on engines that keep images as a registry does, of its manifest."""

    identity: str
    diff_ids: Sequence[str]
    size: int
    tags: Sequence[str]


class Engine:
    """`address` is unix:///path or tcp://host:port. For `async with`."""

    def __init__(self, address: str) -> None:
        self._address = address
        if not address.startswith(("unix:///", "tcp://", "http://")):
            raise errors.InvalidInput(f"{address!r} is no engine's address.", "DOCKER_HOST=unix:///var/run/docker.sock")

    async def __aenter__(self) -> Self:
        unix = self._address.startswith("unix://")
        connector: aiohttp.BaseConnector = (
            aiohttp.UnixConnector(self._address.removeprefix("unix://")) if unix else aiohttp.TCPConnector()
        )
        url = "unix://localhost" if unix else self._address.replace("tcp://", "http://", 1)
        self._docker = aiodocker.Docker(url=url, connector=connector, timeout=_patience(LOOK_SECONDS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._docker.close()
        await self._docker.connector.close()

    async def platform(self) -> Platform:
        """What it runs."""
        with self._explained("version"):
            answer = await self._docker.version()
        return Platform(str(answer.get("Os", "linux")), str(answer.get("Arch", "amd64")))

    async def inspect(self, name: str) -> LocalImage:
        """Raises NotFound."""
        with self._explained(name):
            found: dict[str, Any] = await self._docker.images.inspect(name)
        layers = (found.get("RootFS") or {}).get("Layers") or []
        return LocalImage(found["Id"], tuple(layers), int(found.get("Size") or 0), tuple(found.get("RepoTags") or ()))

    async def layers_below(self, diff_ids: Sequence[str]) -> int:
        """How many of an image's layers, from the lowest on, it has from other images and need not be given again.

        0 for engines with containerd's image store: these want all that a manifest names.
        """
        with self._explained("info"):
            status = (await self._docker.system.info()).get("DriverStatus") or ()
            if any("containerd" in str(value) for _, value in status):
                return 0
            listed = await self._docker.images.list()
        room = asyncio.Semaphore(LOOKS_AT_ONCE)

        async def common(identity: str) -> int:
            async with room:
                try:
                    there = (await self.inspect(identity)).diff_ids
                except errors.NotFound:  # removed meanwhile
                    return 0
            return next(
                (at for at, pair in enumerate(zip(there, diff_ids, strict=False)) if pair[0] != pair[1]),
                min(len(there), len(diff_ids)),
            )

        return max(await asyncio.gather(*(common(each["Id"]) for each in listed)), default=0)

    @contextlib.asynccontextmanager
    async def export(self, name: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The tar of `docker save`, as it comes."""
        with self._explained(name):
            async with self._docker.images.export_image(name, timeout=_long()) as content:
                yield content.iter_chunked(PIECE_BYTES)

    async def load(self, pieces: AsyncIterator[bytes]) -> None:
        """As `docker load`. If `pieces` raises, the engine takes nothing in, and that is raised."""
        taken = _Taken(pieces)
        try:
            with self._explained("the image"):
                async for _ in self._docker.images.import_image(taken.pieces(), stream=True, timeout=_long()):
                    pass
        except Exception as error:
            # The connection broke because of it.
            raise (taken.failure or error) from None

    async def known(self, *identities: str) -> str | None:
        """The first of them that it has an image of."""
        for each in identities:
            try:
                return (await self.inspect(each)).identity
            except errors.NotFound:
                continue
        return None

    async def tag(self, identity: str, local: str) -> None:
        """`local`: NAME:TAG."""
        name, _, tag = local.rpartition(":")
        with self._explained(identity):
            await self._docker.images.tag(identity, name, tag=tag)

    @contextlib.contextmanager
    def _explained(self, name: str) -> Any:
        """Every fault of the connection and every refusal leaves here as an error of ours."""
        try:
            yield
        except DockerError as error:
            if error.status == _NO_CONNECTION:
                raise self._absent(error.message) from None
            if error.status == 404:
                raise errors.NotFound(f"The engine has no image {name!r}.", "docker image ls") from None
            raise errors.ServerFault(f"The engine refuses: {error.message}") from None
        except TimeoutError:
            raise errors.TimedOut(f"The engine at {self._address} does not answer in time.") from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise self._absent(str(error)) from None

    def _absent(self, said: str) -> errors.Unreachable:
        return errors.Unreachable(
            f"No engine answers at {self._address}: {said}.", "docker version; or say where it is: --docker-host"
        )


class _Taken:
    """What is given to the engine, and why that ended early."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self.failure: BaseException | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._pieces:
                yield piece
        except (Damaged, errors.ShoalError, OSError) as error:
            self.failure = error
            raise


def _patience(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)


def _long() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
