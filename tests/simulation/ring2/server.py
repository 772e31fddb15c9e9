"""A server's side of gRPC in memory: it runs the handlers of the real services."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NoReturn

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from tests.simulation.ring2.loop import CURRENT
from tests.simulation.ring2.network import OK, UNAVAILABLE, Network, Rpc


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
        uri = self._rpc.connection.certificate
        return {"x509_subject_alternative_name": [uri], "x509_pem_cert": [_long_lived()]}

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


def _same(message: Any) -> Any:
    return message


@cache
def _long_lived() -> bytes:
    """A certificate that is good for all of the simulation; who has it, the connection says."""
    key, name = Ed25519PrivateKey.generate(), x509.Name([])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, datetime(2000, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001
    return made.sign(key, None).public_bytes(Encoding.PEM)
