"""One request to the registry and its answer: what is tried again, and every failure as an error of ours.

Who asks says the certificate of the connection: the registry takes it as it is, so that there are no tokens here.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from shoal import errors
from shoal.bridge.archive import DOCUMENT_BYTES_MAX, Damaged
from shoal.registry_unreachable import unreachable

CONNECT_SECONDS = 5.0
# Of nothing, in either direction. The last answer to an upload comes when it is on the registry's disk.
SILENCE_SECONDS = 120.0
TRIES = 6
PAUSE_SECONDS = 0.25
PAUSE_SECONDS_MAX = 4.0
# Of a server that is overloaded or on its way down or up. One that fails on a call, fails on it again: 500 is not here.
_PASSING = (429, 502, 503, 504)

_KINDS: Mapping[int, type[errors.ShoalError]] = {
    401: errors.Denied,
    403: errors.Denied,
    404: errors.NotFound,
    409: errors.Conflict,
    412: errors.Conflict,
    413: errors.LimitExceeded,
    507: errors.LimitExceeded,
}
_WITHOUT_WORDS = {
    401: "The registry knows nobody by this context's certificate.",
    403: "This context's certificate may not do that in this repository.",
}


class AgainError(Exception):
    """The same may go well a little later."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes = b""

    def demand(self, *statuses: int) -> None:
        """Raises what the registry said, as an error of ours, unless it has one of these statuses."""
        if self.status in statuses:
            return
        kind = _KINDS.get(self.status, errors.InvalidInput if self.status < 500 else errors.ServerFault)
        words, code = self._words()
        # It says whose certificate the registry was shown.
        raise kind(words, "shoal context show" if kind is errors.Denied else "", reason=code)

    def _words(self) -> tuple[str, str]:
        """What the registry says, and the specification's code for it."""
        try:
            found = json.loads(self.content)["errors"][0]
            return str(found.get("message") or self.reason), str(found["code"])
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            # To HEAD there are no words.
            return _WITHOUT_WORDS.get(self.status, f"The registry answers {self.status} {self.reason}."), ""


class Exchange:
    """`address` is host:port; `tls` verifies it and has the certificate that says who asks. For `async with`."""

    def __init__(self, address: str, tls: ssl.SSLContext) -> None:
        self.address = address
        self._url = URL(f"https://{address}")
        self._tls = tls

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        patience = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
        # Bytes as they are: a digest is of those.
        self._session = aiohttp.ClientSession(connector=connector, timeout=patience, auto_decompress=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(
        self,
        method: str,
        repository: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A small request and its whole answer, tried again until one comes. Raises Unreachable, Denied."""
        tries = 0
        while True:
            try:
                async with self.once(method, repository, path, body, headers or {}) as answer:
                    return await read(answer)
            except AgainError as again:
                tries += 1
                await self.pause(tries, again)

    @contextlib.asynccontextmanager
    async def once(
        self, method: str, repository: str, path: str, body: Any, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """`path`: below that of the repository, or whole. Raises AgainError for what may go well later."""
        url = self._below(repository, path)
        try:
            async with self._session.request(method, url, data=body, headers=headers, allow_redirects=False) as answer:
                if answer.status in _PASSING:
                    raise AgainError(f"it answers {answer.status} {answer.reason}")
                yield answer
        except aiohttp.ClientSSLError as error:
            raise unreachable(self.address, error) from None
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            raise AgainError(str(error) or type(error).__name__) from None

    def _below(self, repository: str, path: str) -> URL:
        """Raises Denied for what would lead to another machine."""
        whole = path if path.startswith(("/", "http:", "https:")) else f"/v2/{repository}/{path}"
        url = self._url.join(URL(whole, encoded=True))
        if url.origin() != self._url.origin():
            raise errors.Denied(f"The registry sends to {url.origin()}, which is another machine.")
        return url

    async def pause(self, tries: int, again: AgainError) -> None:
        """Raises Unreachable after too many in a row."""
        if tries >= TRIES:
            raise errors.Unreachable(f"The registry at {self.address} cannot be reached: {again}.", "shoal doctor")
        await asyncio.sleep(min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2 ** (tries - 1)))


async def read(answer: aiohttp.ClientResponse) -> Answer:
    """Of at most 4 MiB. Raises Damaged."""
    content = b""
    while piece := await answer.content.readany():
        content += piece
        if len(content) > DOCUMENT_BYTES_MAX:
            raise Damaged(f"The registry's answer has more than {DOCUMENT_BYTES_MAX} bytes.")
    return Answer(answer.status, answer.reason or "", answer.headers, content)
