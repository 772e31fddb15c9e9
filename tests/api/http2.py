"""HTTP/2 by hand, over mutual TLS: frames and headers that no library would send."""

import asyncio
import ssl
import struct

from tests.fakes.scheduler import Scheduler

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4

Header = tuple[bytes, bytes]


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(value: int, prefix_bits: int) -> bytes:
    """HPACK's integers (RFC 7541, 5.1), with the bits before the prefix at 0."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes([value])
    encoded, value = bytearray([limit]), value - limit
    while value >= 128:
        encoded.append(value % 128 + 128)
        value //= 128
    encoded.append(value)
    return bytes(encoded)


def literals(*headers: Header) -> bytes:
    """Headers as literals that are never indexed, without Huffman."""
    return b"".join(b"\x00" + integer(len(name), 7) + name + integer(len(value), 7) + value for name, value in headers)


def call_headers(*more: Header, path: bytes = b"/shoal.v1.Cluster/ListTasks") -> bytes:
    return literals(
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", path),
        (b":authority", b"scheduler.shoal"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *more,
    )


def message(payload: bytes, *, compressed: int = 0, length: int | None = None) -> bytes:
    """A gRPC message with its prefix, which may lie."""
    return struct.pack(">BI", compressed, len(payload) if length is None else length) + payload


class Connection:
    """`async with Connection(scheduler) as connection`: the preface and the settings have been sent."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    async def __aenter__(self) -> "Connection":
        certificates = self._scheduler.certificates
        mine = certificates.files("operator", "alice")
        context = ssl.create_default_context(cafile=str(certificates.authority))
        context.load_cert_chain(mine.certificate, mine.key)
        context.set_alpn_protocols(["h2"])
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1", self._scheduler.server.port, ssl=context, server_hostname="scheduler.shoal"
        )
        await self.send(PREFACE, frame(SETTINGS))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def send(self, *frames: bytes) -> None:
        """The server may close while we still speak."""
        try:
            for each in frames:
                self._writer.write(each)
                await self._writer.drain()
        except ConnectionError:
            return

    async def answered(self, timeout_seconds: float = 2.0) -> set[int]:
        """The kinds of frames that came, until the server closed or answered a ping of ours."""
        await self.send(frame(PING, b"are you?"))
        kinds: set[int] = set()
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    head = await self._reader.readexactly(9)
                    payload = await self._reader.readexactly(int.from_bytes(head[:3]))
                    kinds.add(head[3])
                    if head[3] == PING and payload == b"are you?":
                        return kinds
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, TimeoutError):
            return kinds
