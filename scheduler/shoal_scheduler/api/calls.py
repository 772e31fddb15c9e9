"""How a call becomes an answer, for every method alike: who calls, do we lead, is it well formed, then the handler.

Messages are parsed and written here and not by the transport, so that nothing of a caller is read before it is known
who calls, and nothing is sent that is too large to be received.
"""

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import grpc
from cryptography import x509
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from shoal.rpc import Identity, peer_identity

from shoal_scheduler.api.sizes import encoded
from shoal_scheduler.api.status import abort
from shoal_scheduler.control.joining import check_not_revoked
from shoal_scheduler.model.refusal import Refused

Context = grpc.aio.ServicerContext[Any, Any]
Check = Callable[[Message], None]
Parse = Callable[[Any], Any]

# What the handlers of a service are about: the control plane, which raises where there is none, or where we stand.
Subject = Callable[[], Awaitable[Any]]
Unary = Callable[[Any, Any, Identity], Awaitable[Message]]
ServerStream = Callable[[Any, Any, Identity], AsyncGenerator[Message | bytes]]
Handler = Unary | ServerStream


class _CallerGoneError(Exception):
    pass


def handlers_of(
    service: ServiceDescriptor, subject: Subject, role: str, table: Mapping[str, Handler], check: Check
) -> grpc.GenericRpcHandler:
    """One handler a method of the service; every method must be in the table, and nothing else.

    check: refuses a message of this service that is too much to look into.
    """
    missing = {method.name for method in service.methods} ^ set(table)
    if missing:
        raise AssertionError(f"{service.full_name}: the table and the contract differ in {sorted(missing)}")
    return grpc.method_handlers_generic_handler(
        service.full_name,
        {method.name: _handler(method, subject, role, table[method.name], check) for method in service.methods},
    )


def _handler(method: MethodDescriptor, subject: Subject, role: str, handler: Any, check: Check) -> Any:
    parse: Parse = _parser(GetMessageClass(method.input_type), check)
    if method.client_streaming:
        parse = _each(parse)
    if method.client_streaming and not method.server_streaming:
        return grpc.stream_unary_rpc_method_handler(_unary(subject, role, handler, parse), None, None)
    if method.client_streaming:
        return grpc.stream_stream_rpc_method_handler(_stream(subject, role, handler, parse), None, None)
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(_stream(subject, role, handler, parse), None, None)
    return grpc.unary_unary_rpc_method_handler(_unary(subject, role, handler, parse), None, None)


def _unary(subject: Subject, role: str, handler: Unary, parse: Parse) -> Callable[[Any, Context], Awaitable[bytes]]:
    async def call(request: Any, context: Context) -> bytes:
        try:
            caller = authorised(context, role)
            answering = await subject()
            with trusted(answering, caller, context):
                return encoded(await handler(answering, parse(request), caller))
        except Exception as error:
            await abort(context, error)

    return call


def _stream(
    subject: Subject, role: str, handler: ServerStream, parse: Parse
) -> Callable[[Any, Context], Awaitable[None]]:
    """Closes the handler's generator itself, at once, whichever way the call ends."""

    async def call(request: Any, context: Context) -> None:
        try:
            caller = authorised(context, role)
            answering = await subject()
            with trusted(answering, caller, context):
                async with contextlib.aclosing(handler(answering, parse(request), caller)) as answers:
                    async for answer in answers:
                        await _write(context, encoded(answer))
        except _CallerGoneError:
            return
        except Exception as error:
            await abort(context, error)

    return call


async def _write(context: Context, answer: bytes) -> None:
    try:
        await context.write(answer)
    except Exception as error:  # the transport's own, of several types: there is nobody to tell
        raise _CallerGoneError from error


def authorised(context: Context, role: str) -> Identity:
    """The caller's identity, if its certificate names the role. Raises Refused."""
    identity = peer_identity(context)
    if identity is None or identity.role != role:
        said = f"a certificate of role {identity.role!r}" if identity else "a certificate without an identity"
        raise Refused(
            "denied",
            f"This method is for the role {role!r}; {said} may not call it.",
            reason="AccessDeniedException",
        )
    return identity


@contextlib.contextmanager
def trusted(plane: Any, caller: Identity, context: Context) -> Iterator[None]:
    """While an agent is answered (by a ControlPlane), which is as long as its certificate is good and its identity not
    revoked. Raises Refused."""
    if caller.role != "agent":
        yield
        return
    check_not_revoked(plane.tables.instances.get(caller.name))
    (shown,) = context.auth_context()["x509_pem_cert"]
    end = x509.load_pem_x509_certificate(shown).not_valid_after_utc.timestamp()
    with plane.dispatch.call_of(caller.name, end, time.time()):
        yield


def _parser(request_type: type[Message], check: Check) -> Callable[[bytes], Message]:
    def parse(data: bytes) -> Message:
        try:
            message = request_type.FromString(data)
        except DecodeError:
            raise Refused(
                "invalid",
                "The message cannot be read as its type: check that both sides use the same contract and that"
                " texts are UTF-8.",
                reason="InvalidParameterException",
            ) from None
        check(message)
        return message

    return parse


def _each(parse: Parse) -> Callable[[AsyncIterator[bytes]], AsyncIterator[Message]]:
    async def messages(requests: AsyncIterator[bytes]) -> AsyncIterator[Message]:
        async for request in requests:
            yield parse(request)

    return messages
