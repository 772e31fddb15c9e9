"""How a call becomes an answer, for every method alike: who calls, is it well formed, do we lead, then the handler."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from shoal.rpc import Identity, peer_identity

from shoal_scheduler.api.gate import Gate
from shoal_scheduler.api.status import abort
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.refusal import Refused

Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[ControlPlane, Any, Identity], Awaitable[Message]]
ServerStream = Callable[[ControlPlane, Any, Identity], AsyncIterator[Message]]
Handler = Unary | ServerStream


class _Malformed:
    """A message that is not what its type says, such as text that is not UTF-8."""


def handlers_of(
    service: ServiceDescriptor, gate: Gate, role: str, table: Mapping[str, Handler]
) -> grpc.GenericRpcHandler:
    """One handler a method of the service; every method must be in the table, and nothing else."""
    missing = {method.name for method in service.methods} ^ set(table)
    if missing:
        raise AssertionError(f"{service.full_name}: the table and the contract differ in {sorted(missing)}")
    return grpc.method_handlers_generic_handler(
        service.full_name,
        {method.name: _handler(method, gate, role, table[method.name]) for method in service.methods},
    )


def _handler(method: MethodDescriptor, gate: Gate, role: str, handler: Any) -> Any:
    request_type = GetMessageClass(method.input_type)

    def deserialize(data: bytes) -> Message | _Malformed:
        try:
            return request_type.FromString(data)
        except DecodeError:
            return _Malformed()

    serialize = GetMessageClass(method.output_type).SerializeToString
    if method.client_streaming and not method.server_streaming:
        unary_answer = _unary(gate, role, handler)
        return grpc.stream_unary_rpc_method_handler(unary_answer, deserialize, serialize)
    if method.client_streaming:
        return grpc.stream_stream_rpc_method_handler(_stream(gate, role, handler), deserialize, serialize)
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(_stream(gate, role, handler), deserialize, serialize)
    return grpc.unary_unary_rpc_method_handler(_unary(gate, role, handler), deserialize, serialize)


def _unary(gate: Gate, role: str, handler: Unary) -> Callable[[Any, Context], Awaitable[Message]]:
    async def call(request: Any, context: Context) -> Message:
        try:
            caller = authorised(context, role)
            return await handler(gate.plane, _well_formed(request), caller)
        except Exception as error:
            await abort(context, error)

    return call


def _stream(gate: Gate, role: str, handler: ServerStream) -> Callable[[Any, Context], AsyncIterator[Message]]:
    async def call(request: Any, context: Context) -> AsyncIterator[Message]:
        try:
            caller = authorised(context, role)
            async for answer in handler(gate.plane, _well_formed(request), caller):
                yield answer
        except Exception as error:
            await abort(context, error)

    return call


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


def _well_formed(request: Any) -> Any:
    """The request; a stream of requests checks each as it comes."""
    if isinstance(request, _Malformed):
        raise Refused(
            "invalid",
            "The message cannot be read as its type: check that both sides use the same contract and that texts"
            " are UTF-8.",
            reason="InvalidParameterException",
        )
    if isinstance(request, Message):
        return request
    return _each_well_formed(request)


async def _each_well_formed(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _well_formed(request)
