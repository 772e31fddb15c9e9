"""gRPC in memory: channels, streams and servers of asyncio, over connections that are late, cut, reset or half open.

A connection carries frames in order, each way for itself. What is under way when it breaks is lost, and neither side
knows what of it arrived. While a path is blocked nothing arrives; if it stays so, each side gives the connection up
when its pings are not answered, as gRPC does.
"""

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass, field
from random import Random
from typing import Any, NoReturn

import grpc

from tests.simulation.ring2.loop import CURRENT, Process, VirtualLoop

CONNECT_TIMEOUT_SECONDS = 5.0
KEEPALIVE_SECONDS = 15.0
WINDOW_MESSAGES = 8
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE

Status = tuple[grpc.StatusCode, str, tuple[tuple[str, Any], ...]]
OK: Status = (grpc.StatusCode.OK, "", ())


@dataclass(frozen=True, slots=True)
class Certificate:
    """In place of a PEM file: the URI that it would carry."""

    uri: bytes


@dataclass
class Network:
    """`latency_seconds`: least and most, of a frame. `reset_chance`: that a frame ends its connection instead of, or
    right after, arriving."""

    loop: VirtualLoop
    chance: Random
    say: Callable[[str, str], None] = lambda _who, _what: None
    latency_seconds: tuple[float, float] = (0.0003, 0.002)
    reset_chance: float = 0.0
    listening: dict[str, "Server"] = field(default_factory=dict)
    blocked: set[tuple[str, str]] = field(default_factory=set)  # from one host to another
    slow: dict[str, tuple[float, float]] = field(default_factory=dict)  # of all frames from a host
    connections: dict["Connection", None] = field(default_factory=dict)

    def delay(self, sender: str) -> float:
        return self.chance.uniform(*self.slow.get(sender, self.latency_seconds))

    def block(self, sender: str, receiver: str) -> None:
        self.blocked.add((sender, receiver))
        self.loop.call_later(KEEPALIVE_SECONDS, self._give_up, sender, receiver)

    def _give_up(self, sender: str, receiver: str) -> None:
        if (sender, receiver) in self.blocked:
            self._break_between({sender, receiver}, "keepalive watchdog timeout")

    def unblock(self, sender: str, receiver: str) -> None:
        self.blocked.discard((sender, receiver))
        for connection in list(self.connections):
            connection.flush()

    def reset(self, one: str, other: str) -> None:
        self._break_between({one, other}, "recvmsg:Connection reset by peer")

    def _break_between(self, hosts: set[str], why: str) -> None:
        for connection in list(self.connections):
            if {connection.client.host, connection.server.process.host} == hosts:
                connection.breaks(why)

    def died(self, process: Process, silently: bool) -> None:
        """Its sockets are closed; silently, if its whole host went: then the others find out by themselves."""
        for endpoint in [name for name, server in self.listening.items() if server.process is process]:
            del self.listening[endpoint]
        for connection in list(self.connections):
            if process in (connection.client, connection.server.process):
                wait = KEEPALIVE_SECONDS if silently else self.delay(process.host)
                self.loop.call_later(wait, connection.breaks, "Socket closed")

    def frozen(self, process: Process) -> None:
        """Whoever is held for long does not answer pings either."""
        self.loop.call_later(KEEPALIVE_SECONDS, self._thaw_or_break, process)

    def _thaw_or_break(self, process: Process) -> None:
        if process.held and not process.killed:
            for connection in list(self.connections):
                if process in (connection.client, connection.server.process):
                    connection.breaks("keepalive watchdog timeout")


class Connection:
    def __init__(self, network: Network, client: Process, server: "Server", certificate: bytes) -> None:
        self.network = network
        self.client = client
        self.certificate = certificate
        self.server = server
        self.broken = ""
        self.calls: dict[Rpc, None] = {}
        self._arrives_at = [0.0, 0.0]
        self._held: list[list[tuple[Callable[..., None], tuple[Any, ...]]]] = [[], []]
        network.connections[self] = None

    def post(self, to_server: bool, arrive: Callable[..., None], *args: Any) -> None:
        """Calls it in the receiver's process, later; or never."""
        if self.broken:
            return
        sender, receiver = self._ends(to_server)
        if (sender.host, receiver.host) in self.network.blocked or self._held[to_server]:
            self._held[to_server].append((arrive, args))
            return
        network = self.network
        if network.reset_chance and network.chance.random() < network.reset_chance:
            if network.chance.random() < 0.5:
                self._schedule(to_server, arrive, args)
            network.say("network", f"reset {sender.host}-{receiver.host}")
            at = max(self._arrives_at[to_server], network.loop.now) + 1e-5
            network.loop.call_at(at, self.breaks, "recvmsg:Connection reset by peer")
            return
        self._schedule(to_server, arrive, args)

    def _schedule(self, to_server: bool, arrive: Callable[..., None], args: tuple[Any, ...]) -> None:
        sender, receiver = self._ends(to_server)
        loop = self.network.loop
        at = max(self._arrives_at[to_server] + 1e-6, loop.now + self.network.delay(sender.host))
        self._arrives_at[to_server] = at
        loop.call_at(at, self._arrive, arrive, args, context=receiver.context)

    def _arrive(self, arrive: Callable[..., None], args: tuple[Any, ...]) -> None:
        if not self.broken:
            arrive(*args)

    def _ends(self, to_server: bool) -> tuple[Process, Process]:
        return (self.client, self.server.process) if to_server else (self.server.process, self.client)

    def flush(self) -> None:
        for to_server in (False, True):
            sender, receiver = self._ends(to_server)
            if (sender.host, receiver.host) not in self.network.blocked:
                held, self._held[to_server] = self._held[to_server], []
                for arrive, args in held:
                    self._schedule(to_server, arrive, args)

    def breaks(self, why: str) -> None:
        if self.broken:
            return
        self.broken = why
        self.network.connections.pop(self, None)
        loop = self.network.loop
        for call in list(self.calls):
            loop.call_soon(call.finish, (UNAVAILABLE, why, ()), context=self.client.context)
            loop.call_soon(call.abandon, context=self.server.process.context)

    def close(self) -> None:
        """By the client, properly."""
        for call in list(self.calls):
            call.cancel()
        self.network.connections.pop(self, None)


class _Pipe:
    """One way of a stream: at most so many messages are under way or unread."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._messages: deque[bytes] = deque()
        self._unread = 0
        self._wake: list[asyncio.Future[None]] = []
        self.ended = False

    async def room(self) -> None:
        while self._unread >= WINDOW_MESSAGES and not self.ended:
            await self._wait()
        self._unread += 1

    def arrive(self, message: bytes) -> None:
        if not self.ended:
            self._messages.append(message)
            self._stir()

    def end(self) -> None:
        self.ended = True
        self._stir()

    async def take(self) -> bytes | None:
        """None at the end."""
        while not self._messages:
            if self.ended:
                return None
            await self._wait()
        self._unread -= 1
        self._stir()
        return self._messages.popleft()

    async def _wait(self) -> None:
        future = self._loop.create_future()
        self._wake.append(future)
        await future

    def _stir(self) -> None:
        for future in self._wake:
            if not future.done():
                future.set_result(None)
        self._wake.clear()


class Rpc:
    """One call, as both sides know it."""

    def __init__(self, connection: Connection, method: str) -> None:
        self.connection = connection
        self.method = method
        self.loop = connection.network.loop
        self.up, self.down = _Pipe(self.loop), _Pipe(self.loop)
        self.status: Status | None = None  # what the client knows
        self.cancelled_here = False
        self.handling: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        connection.calls[self] = None
        if connection.broken:
            self.loop.call_soon(self.finish, (UNAVAILABLE, connection.broken, ()))
        connection.post(True, self._open)

    # The server's side.

    def _open(self) -> None:
        self.handling = self.loop.create_task(self.connection.server.handle(self), name=f"serves {self.method}")

    def abandon(self) -> None:
        """The client has gone."""
        self.up.end()
        self.down.end()
        if self.handling is not None and not self.handling.done():
            self.handling.cancel()

    def answer(self, message: bytes) -> None:
        self._say("<-", len(message))
        self.connection.post(False, self.down.arrive, message)

    def conclude(self, status: Status) -> None:
        self.connection.post(False, self.finish, status)

    # The client's side.

    def send(self, message: bytes) -> None:
        self._say("->", len(message))
        self.connection.post(True, self.up.arrive, message)

    def half_close(self) -> None:
        self.connection.post(True, self.up.end)

    def finish(self, status: Status) -> None:
        if self.status is None:
            self.status = status
            self.connection.calls.pop(self, None)
            if status[0] is not grpc.StatusCode.OK:
                self.connection.network.say(
                    self.connection.client.host, f"!  {self.method} {status[0].name} {status[1]}"
                )
            self.down.end()
            self.up.end()
            self._ending.set()

    def cancel(self) -> None:
        if self.status is None:
            self.cancelled_here = True
            self.connection.post(True, self.abandon)
            self.finish((grpc.StatusCode.CANCELLED, "Locally cancelled by application!", ()))

    async def ended(self) -> Status:
        await self._ending.wait()
        assert self.status is not None
        return self.status

    def _say(self, way: str, size_bytes: int) -> None:
        connection = self.connection
        connection.network.say(connection.client.host, f"{way} {self.method.rpartition('/')[2]} {size_bytes}")


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

    async def connection(self) -> Connection:
        """Raises AioRpcError."""
        async with self._dialling:
            if self._connection is None or self._connection.broken:
                self._connection = await self._dial()
            return self._connection

    async def _dial(self) -> Connection:
        for _ in self._targets:
            endpoint = self._targets[self._at % len(self._targets)]
            host = endpoint.partition(":")[0]
            here = self.process.host
            self.network.say(here, f"dials {endpoint}")
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


class Server:
    """As grpc.aio's, with the handlers of the real services."""

    def __init__(self, network: Network) -> None:
        process = CURRENT.get()
        assert process is not None, "a program of the simulation opens servers"
        self.network = network
        self.process = process
        self.takes = False
        self._handlers: list[Any] = []
        self._endpoints: list[str] = []
        self._at_work: dict[Rpc, None] = {}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self._handlers.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """The same ones, once more."""

    def add_secure_port(self, address: str, _credentials: Any) -> int:
        self._endpoints.append(address)
        return int(address.rpartition(":")[2])

    async def start(self) -> None:
        self.takes = True
        for endpoint in self._endpoints:
            self.network.listening[endpoint] = self

    async def stop(self, grace: float | None) -> None:
        self.takes = False
        await asyncio.sleep(grace or 0.0)
        for endpoint in self._endpoints:
            if self.network.listening.get(endpoint) is self:
                del self.network.listening[endpoint]
        for rpc in list(self._at_work):
            if rpc.handling is not None:
                rpc.handling.cancel()

    async def handle(self, rpc: Rpc) -> None:
        context = Context(rpc)
        self._at_work[rpc] = None
        try:
            await self._serve(rpc, context)
        except (_Aborted, _Gone):
            pass
        except asyncio.CancelledError:
            context.status = UNAVAILABLE, "CANCELLED", ()
        except Exception as failed:
            self.network.loop.faults.append(f"{rpc.method} failed: {failed!r}")
            context.status = grpc.StatusCode.UNKNOWN, repr(failed), ()
        finally:
            self._at_work.pop(rpc, None)
            rpc.conclude(context.status)

    async def _serve(self, rpc: Rpc, context: "Context") -> None:
        handler = next((h for each in self._handlers if (h := each.service(_Details(rpc.method))) is not None), None)
        if handler is None:
            context.status = grpc.StatusCode.UNIMPLEMENTED, rpc.method, ()
            return
        parse, serialize = handler.request_deserializer or _same, handler.response_serializer or _same

        async def requests() -> AsyncIterator[Any]:
            while (message := await rpc.up.take()) is not None:
                yield parse(message)

        given = requests() if handler.request_streaming else parse(await _one(rpc))
        kind = f"{_WAYS[handler.request_streaming]}_{_WAYS[handler.response_streaming]}"
        result = getattr(handler, kind)(given, context)
        if inspect.isasyncgen(result):
            async for answer in result:
                await context.write(serialize(answer))
        elif (answer := await result) is not None:
            rpc.answer(serialize(answer))


_WAYS = {False: "unary", True: "stream"}


async def _one(rpc: Rpc) -> bytes:
    message = await rpc.up.take()
    if message is None:
        raise asyncio.CancelledError
    return message


@dataclass(frozen=True, slots=True)
class _Details:
    method: str
    invocation_metadata: tuple[()] = ()


class _Aborted(Exception):  # noqa: N818
    pass


class _Gone(Exception):  # noqa: N818
    """The call has ended: nobody reads what is written."""


class Context:
    """What a handler may ask of its call, and do to it."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._metadata: tuple[tuple[str, Any], ...] = ()
        self.status = OK

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"x509_subject_alternative_name": [self._rpc.connection.certificate]}

    @property
    def client(self) -> str:
        return self._rpc.connection.client.host

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def peer(self) -> str:
        return f"ipv4:{self._rpc.connection.client.host}"

    def set_trailing_metadata(self, metadata: Any) -> None:
        self._metadata = tuple(metadata)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        self.status = code, details, (*self._metadata, *trailing_metadata)
        raise _Aborted

    async def write(self, message: bytes) -> None:
        rpc = self._rpc
        await rpc.down.room()
        if rpc.down.ended:
            raise _Gone
        rpc.answer(message)


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


def _same(message: Any) -> Any:
    return message
