"""Below gRPC: frames that are wrong, too many or never end. Whoever sends them may be cut off; nobody else."""

import asyncio
import os
import time

import pytest
from shoal.v1 import cluster_pb2

from tests.api import http2
from tests.api.http2 import Connection, call_headers, frame, literals, message
from tests.fakes.scheduler import Scheduler

END = http2.END_HEADERS | http2.END_STREAM
EMPTY = frame(http2.DATA, message(b""), flags=http2.END_STREAM, stream=1)


def opening(block: bytes, *, flags: int = http2.END_HEADERS, stream: int = 1) -> bytes:
    return frame(http2.HEADERS, block, flags=flags, stream=stream)


def with_header(name: bytes, value: bytes) -> list[bytes]:
    return [opening(call_headers((name, value))), EMPTY]


def body(data: bytes) -> list[bytes]:
    return [opening(call_headers()), frame(http2.DATA, data, flags=http2.END_STREAM, stream=1)]


def resets(count: int) -> list[bytes]:
    """Streams opened and given up at once."""
    frames = []
    for number in range(count):
        stream = 2 * number + 1
        frames += [opening(call_headers(), stream=stream), frame(http2.RST_STREAM, b"\0\0\0\x08", stream=stream)]
    return [b"".join(frames)]


CASES: dict[str, list[bytes]] = {
    "no base64 in a binary header": with_header(b"x-any-bin", b"!!!"),
    "base64 cut off": with_header(b"x-any-bin", b"YQ"),
    "base64 of nothing": with_header(b"x-any-bin", b"===="),
    "base64 in the wrong place": with_header(b"grpc-trace-bin", b"%%%%"),
    "commas in base64": with_header(b"x-any-bin", b"," * 4000),
    "bytes that are no text": with_header(b"x-any", b"\xff\xfe\x00"),
    "a newline in a header": with_header(b"x-any", b"a\r\nx-other: b"),
    "a capital in a header": with_header(b"X-Any", b"a"),
    "a deadline that is none": with_header(b"grpc-timeout", b"soon"),
    "a deadline of many digits": with_header(b"grpc-timeout", b"9" * 100 + b"H"),
    "an encoding nobody knows": with_header(b"grpc-encoding", b"zip-bomb"),
    "a content type of another kind": [opening(literals((b":method", b"POST"), (b":path", b"/"))), EMPTY],
    "no path": [opening(literals((b":method", b"POST"), (b":scheme", b"https"))), EMPTY],
    "an index nobody has": [opening(b"\xff\xff\xff\xff\x0f")],
    "a table of 2^31": [opening(b"\x3f\xe1\xff\xff\xff\x07" + call_headers()), EMPTY],
    "a name longer than its frame": [opening(b"\x00\x7f\xff\xff\x7f")],
    "Huffman that is none": [opening(b"\x00\x85\xff\xff\xff\xff\xff\x01a")],
    "padding longer than its frame": [frame(http2.HEADERS, b"\xff" + call_headers(), flags=END | 8, stream=1)],
    "an even stream": [opening(call_headers(), stream=2)],
    "stream 0": [opening(call_headers(), stream=0)],
    "data without a stream": [frame(http2.DATA, b"x" * 100, stream=7)],
    "a message longer than it says": body(message(b"x" * 100, length=1)),
    "a message of 4 GiB, it says": body(message(b"x", length=2**32 - 1)),
    "compressed with nothing": body(message(b"x", compressed=1)),
    "a flag nobody knows": body(message(b"", compressed=2)),
    "two messages where one is due": body(message(b"") * 2),
    "no message": [opening(call_headers(), flags=END)],
    "a window of 0": [frame(http2.WINDOW_UPDATE, b"\0\0\0\0")],
    "a window beyond all": [frame(http2.WINDOW_UPDATE, b"\x7f\xff\xff\xff") * 3],
    "settings that are cut": [frame(http2.SETTINGS, b"\0\x04\0\0")],
    "a frame of 16 MiB, it says": [b"\xff\xff\xff" + b"\0\0\0\0\0\x01"],
    "a kind nobody knows": [frame(200, os.urandom(100)) * 100],
    "headers that never end": [opening(call_headers(), flags=0)]
    + [frame(http2.CONTINUATION, literals((b"x", b"y" * 1000)), stream=1)] * 2000,
    "continuations of nothing": [opening(call_headers(), flags=0)]
    + [frame(http2.CONTINUATION, b"", stream=1)] * 20_000,
    "2,000 streams reset at once": resets(2000),
    "100,000 pings": [frame(http2.PING, b"12345678") * 100_000],
    "20,000 settings": [frame(http2.SETTINGS, b"\0\x03\0\0\0\x01") * 20_000],
    "noise": [os.urandom(10_000)],
}


@pytest.mark.parametrize("case", CASES)
async def test_one_connection_harms_no_other(scheduler: Scheduler, case: str, caplog: pytest.LogCaptureFixture) -> None:
    before = scheduler.stored()
    started = time.process_time()
    async with Connection(scheduler) as connection:
        await connection.send(*CASES[case])
        await connection.answered()
        async with asyncio.timeout(5):
            await scheduler.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
    assert time.process_time() - started < 1.5
    assert scheduler.stored() == before
    assert not scheduler.running.done()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("shoal")] == []


async def test_a_connection_that_says_nothing_more(scheduler: Scheduler) -> None:
    """One byte of a message, and then no more: it waits alone."""
    async with Connection(scheduler) as connection:
        await connection.send(opening(call_headers()), frame(http2.DATA, b"\0", stream=1))
        assert http2.PING in await connection.answered()
        async with asyncio.timeout(5):
            await scheduler.cluster.DescribeControlPlane(cluster_pb2.DescribeControlPlaneRequest())
