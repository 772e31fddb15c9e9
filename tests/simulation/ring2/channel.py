"""A client's side of gRPC in memory: channels and calls, as far as the programs use them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Generator
from typing import Any

import grpc

from tests.simulation.ring2.loop import CURRENT
from tests.simulation.ring2.network import UNAVAILABLE, Certificate, Connection, Network, Rpc, Status

CONNECT_TIMEOUT_SECONDS = 5.0
RECONNECT_SECONDS = 0.1


class Channel:
    """Of a client: dials when it is first used, and again after a break. Tries its targets in turn."""

    def __init__(self, network: Network, target: str, credentials: Certificate) -> None:
        process = CURRENT.get()
        assert process is not None, "a program of the simulation opens channels"
        self.network = network
        self.process = process
        self.certificate = credentials.uri
        self._targets = target.removeprefix("ipv4:").split(",")
        self._at = 0
        self._connection: Connection | None = None
        self._dialling = asyncio.Lock()
        self._trying: asyncio.Task[None] | None = None

    async def connection(self) -> Connection:
        """Raises AioRpcError."""
        async with self._dialling:
            if self._connection is None or self._connection.broken:
                self._connection = await self._dial()
            return self._connection

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        states = grpc.ChannelConnectivity
        if self._connection is not None and not self._connection.broken:
            return states.READY
        if self._trying is not None and self._trying.done():
            return states.TRANSIENT_FAILURE
        if self._trying is None and try_to_connect:
            self._trying = asyncio.get_running_loop().create_task(self._try())
        return states.IDLE if self._trying is None else states.CONNECTING

    async def wait_for_state_change(self, _last: grpc.ChannelConnectivity) -> None:
        if self._trying is not None:
            await asyncio.shield(self._trying)

    async def _try(self) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError):
            await self.connection()
        self.network.loop.call_later(RECONNECT_SECONDS, self._forget_trying)

    def _forget_trying(self) -> None:
        self._trying = None

    async def _dial(self) -> Connection:
        for _ in self._targets:
            endpoint = self._targets[self._at % len(self._targets)]
            host = endpoint.partition(":")[0]
            here = self.process.host
            self.network.say(here, f"dials {endpoint}")
            self.network.on_dial(here)
            if {(here, host), (host, here)} & self.network.blocked:
                await asyncio.sleep(CONNECT_TIMEOUT_SECONDS)
            else:
                await asyncio.sleep(self.network.delay(here) + self.network.delay(host))
                server = self.network.listening.get(endpoint)
                if server is not None and not server.process.held and server.takes:
                    return Connection(self.network, self.process, server, self.certificate)
            self._at += 1
        raise error((UNAVAILABLE, "failed to connect to all addresses; last error: Connection refused", ()))

    def unary_unary(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, **_: Any
    ) -> Any:
        def call(request: Any, timeout: float | None = None, **_: Any) -> "UnaryCall":
            work = self._unary(method, _bytes(request_serializer, request), response_deserializer, timeout)
            return UnaryCall(work)

        return call

    async def _unary(self, method: str, request: bytes, parse: Any, timeout: float | None) -> Any:
        rpc: Rpc | None = None
        try:
            async with asyncio.timeout(timeout):
                rpc = Rpc(await self.connection(), method)
                rpc.send(request)
                rpc.half_close()
                answer = await rpc.down.take()
                status = await rpc.ended()
        except TimeoutError:
            raise error((grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", ())) from None
        finally:
            if rpc is not None:
                rpc.cancel()
        if status[0] is not grpc.StatusCode.OK or answer is None:
            raise error(status)
        return parse(answer) if parse else answer

    def stream_stream(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, **_: Any
    ) -> Any:
        def call(requests: Any = None, timeout: float | None = None, **_: Any) -> "StreamCall":
            return StreamCall(self, method, request_serializer, response_deserializer, requests)

        return call

    stream_unary = stream_stream

    def unary_stream(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, **_: Any
    ) -> Any:
        def call(request: Any, timeout: float | None = None, **_: Any) -> "StreamCall":
            return StreamCall(self, method, request_serializer, response_deserializer, iter([request]))

        return call

    async def __aenter__(self) -> "Channel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        if self._connection is not None:
            self._connection.close()


class UnaryCall:
    def __init__(self, work: Any) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, None, Any]:
        return self._work.__await__()  # type: ignore[no-any-return]


class StreamCall:
    """As grpc.aio's: read and write, or iterate; `cancel`, `code`, `details`."""

    def __init__(self, channel: Channel, method: str, serialize: Any, parse: Any, requests: Any) -> None:
        self._channel = channel
        self._method = method
        self._serialize = serialize
        self._parse = parse
        self._rpc: Rpc | None = None
        self._status: Status | None = None  # before there was a call
        self._opened = asyncio.get_running_loop().create_task(self._open(requests))

    async def _open(self, requests: Any) -> None:
        try:
            connection = await self._channel.connection()
        except grpc.aio.AioRpcError as failed:
            self._status = failed.code(), failed.details() or "", ()
            return
        self._rpc = Rpc(connection, self._method)
        if requests is not None:
            for request in requests:
                self._rpc.send(_bytes(self._serialize, request))
            self._rpc.half_close()

    async def _ready(self) -> Rpc:
        await asyncio.shield(self._opened)
        if self._rpc is None:
            raise error(self._status or (grpc.StatusCode.CANCELLED, "", ()))
        return self._rpc

    def cancel(self) -> bool:
        if self._rpc is not None:
            self._rpc.cancel()
        else:
            self._opened.cancel()
        return True

    def done(self) -> bool:
        return self._status is not None or (self._rpc is not None and self._rpc.status is not None)

    async def write(self, request: Any) -> None:
        if self.done():
            raise asyncio.InvalidStateError("RPC already finished.")
        rpc = await self._ready()
        await rpc.up.room()
        if rpc.status is not None:
            _raise_unless_ok(rpc)
        rpc.send(_bytes(self._serialize, request))

    async def done_writing(self) -> None:
        (await self._ready()).half_close()

    async def read(self) -> Any:
        rpc = await self._ready()
        try:
            message = await rpc.down.take()
        except asyncio.CancelledError:
            rpc.cancel()
            raise
        if message is None:
            await rpc.ended()
            _raise_unless_ok(rpc)
            return grpc.aio.EOF
        return self._parse(message) if self._parse else message

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (message := await self.read()) is not grpc.aio.EOF:
            yield message

    async def code(self) -> grpc.StatusCode:
        return (await (await self._ready()).ended())[0]

    async def details(self) -> str:
        return (await (await self._ready()).ended())[1]

    async def trailing_metadata(self) -> Any:
        return grpc.aio.Metadata(*(await (await self._ready()).ended())[2])

    def __await__(self) -> Generator[Any, None, Any]:
        return self.read().__await__()


def error(status: Status) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata(*status[2])
    return grpc.aio.AioRpcError(status[0], grpc.aio.Metadata(), metadata, status[1])


def _raise_unless_ok(rpc: Rpc) -> None:
    if rpc.cancelled_here:
        raise asyncio.CancelledError
    if rpc.status is not None and rpc.status[0] is not grpc.StatusCode.OK:
        raise error(rpc.status)


def _bytes(serialize: Any, message: Any) -> bytes:
    return serialize(message) if serialize else message  # type: ignore[no-any-return]
