"""Clients that ask a web server all the time, and remember each request: when, how long it took, who answered, and of
those that failed the cause.

async with Visitors("127.0.0.1", 80, rate=200.0) as visitors:
    …                                            # rolling deployments, faults
assert visitors.failed == []

Half of the requests have connections of their own, the other half share connections that are kept alive. Nothing is
asked twice: a library's client would ask again on its own when a connection that was kept alive breaks, and hide what
is looked for here. The rate does not slacken when answers do.
"""

import asyncio
import itertools
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

TIMEOUT_SECONDS = 10.0
# Who answers says so in this header.
SERVER_HEADER = "x-server"


class Visit(NamedTuple):
    """at: seconds of time.monotonic() when it was asked. cause: empty if it was answered well. server, said: of the
    answer, its header X-Server and its first line."""

    at: float
    seconds: float
    keeps: bool
    cause: str
    server: str = ""
    said: str = ""

    def __str__(self) -> str:
        kind = "kept alive" if self.keeps else "new connection"
        return f"{self.at:.3f} after {self.seconds * 1000:.0f} ms ({kind}): {self.cause}"


class _BadAnswerError(Exception):
    """The text is the cause."""


class _Answer(NamedTuple):
    server: str
    said: str
    keeps: bool


@dataclass(frozen=True, slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def is_usable(self) -> bool:
        """Whoever closes a connection that nobody uses does no harm: clients see it and open another one."""
        return not self.reader.at_eof() and not self.writer.is_closing()


class Visitors:
    """rate: requests per second. host_header: as which site the server is asked."""

    def __init__(
        self,
        host: str,
        port: int,
        rate: float,
        path: str = "/",
        host_header: str = "web.test",
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._address = (host, port)
        self._period = 1.0 / rate
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host_header}\r\n"
        self._timeout = timeout_seconds
        self._kept: list[_Connection] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._began = 0.0
        self.visits: list[Visit] = []

    async def __aenter__(self) -> Self:
        self._began = time.monotonic()
        self._asking = asyncio.create_task(self._ask_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What is under way is waited for: it counts."""
        self._asking.cancel()
        await asyncio.gather(self._asking, return_exceptions=True)
        await asyncio.gather(*self._under_way)
        for connection in self._kept:
            connection.writer.close()

    @property
    def failed(self) -> list[Visit]:
        return self.failed_since(self._began)

    @property
    def last_answered_at(self) -> float:
        """When the youngest request was asked that was answered well."""
        return max((visit.at for visit in self.visits if not visit.cause), default=0.0)

    def since(self, at: float) -> list[Visit]:
        """Those that ended later than `at`, in the order of their ends: also what was under way then."""
        return [visit for visit in self.visits if visit.at + visit.seconds >= at]

    def under_way_within(self, first: float, last: float) -> int:
        """How many were asked and not over at some time between the two."""
        return sum(visit.at <= last and visit.at + visit.seconds >= first for visit in self.visits)

    def failed_since(self, at: float) -> list[Visit]:
        return [visit for visit in self.since(at) if visit.cause]

    async def _ask_on(self) -> None:
        for number in itertools.count():
            # By the clock, so that it catches up with what a busy loop let pass.
            await asyncio.sleep(self._began + number * self._period - time.monotonic())
            visit = asyncio.create_task(self._visit(keeps=number % 2 == 0))
            self._under_way.add(visit)
            visit.add_done_callback(self._under_way.discard)

    async def _visit(self, keeps: bool) -> None:
        at, cause, answer = time.monotonic(), "", _Answer("", "", keeps)
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._ask(keeps)
        except TimeoutError:
            cause = f"no answer for {self._timeout:g} s"
        except (OSError, EOFError, _BadAnswerError, ValueError) as error:
            cause = _words(error)
        self.visits.append(Visit(at, time.monotonic() - at, keeps, cause, answer.server, answer.said))

    async def _ask(self, keeps: bool) -> _Answer:
        connection = self._take() if keeps else None
        if connection is None:
            connection = _Connection(*await asyncio.open_connection(*self._address))
        is_kept = False
        try:
            connection.writer.write((self._request + ("\r\n" if keeps else "Connection: close\r\n\r\n")).encode())
            answer = await _read(connection.reader)
            is_kept = keeps and answer.keeps
        finally:
            if is_kept:
                self._kept.append(connection)
            else:
                connection.writer.close()
        return answer

    def _take(self) -> _Connection | None:
        while self._kept:
            connection = self._kept.pop()
            if connection.is_usable:
                return connection
            connection.writer.close()
        return None


async def _read(reader: asyncio.StreamReader) -> _Answer:
    """Of a whole answer, which must be 200, and all of its lines must be the same."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = headers.get("content-length")
    if length is None:
        raise _BadAnswerError(f"{status} without Content-Length")
    body = (await reader.readexactly(int(length))).decode()
    if not re.fullmatch(r"HTTP/1\.1 200 .*", status):
        raise _BadAnswerError(f"{status}: {body[:60].strip()}")
    said = set(body.splitlines())
    if len(said) != 1:
        raise _BadAnswerError(f"a body of {len(said)} different lines: {body[:60]!r}")
    return _Answer(headers.get(SERVER_HEADER, ""), said.pop(), headers.get("connection") != "close")


def _words(error: Exception) -> str:
    match error:
        case asyncio.IncompleteReadError():
            return f"hung up after {len(error.partial)} bytes"
        case ConnectionRefusedError():
            return "connection refused"
        case ConnectionResetError():
            return "connection reset"
        case _BadAnswerError():
            return str(error)
        case _:
            return f"{type(error).__name__}: {error}"


def causes(visits: Sequence[Visit]) -> dict[str, int]:
    """How many of them failed of what."""
    return dict(Counter(visit.cause for visit in visits if visit.cause))


def shares(visits: Sequence[Visit]) -> dict[str, int]:
    """How many of them were answered with what."""
    return dict(Counter(visit.said for visit in visits if not visit.cause))
