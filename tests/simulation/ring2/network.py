"""What lies between hosts: connections that are late, cut, reset or half open, and the calls of gRPC over them.

A connection carries frames in order, each way for itself. What is under way when it breaks is lost, and neither side
knows what of it arrived. While a path is blocked nothing arrives; if it stays so, each side gives the connection up
when its pings are not answered, as gRPC does.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import grpc

from tests.simulation.ring2.loop import Process, VirtualLoop

if TYPE_CHECKING:
    from tests.simulation.ring2.server import Server

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
    on_dial: Callable[[str], None] = lambda _host: None
    on_answer: Callable[[str, str], None] = lambda _host, _method: None
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
        self.connection.network.on_answer(self.connection.client.host, self.method)
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
