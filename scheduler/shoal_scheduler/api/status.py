"""Refusals and faults as gRPC statuses with google.rpc details."""

import logging
from collections.abc import Iterator
from typing import NoReturn

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2
from shoal import errors
from shoal.rpc import LEADER_KEY, RETRY_AFTER_KEY

from shoal_scheduler.admission import ComeLater
from shoal_scheduler.api.gate import NotLeading
from shoal_scheduler.engine import OutcomeLost, Unavailable
from shoal_scheduler.model.refusal import Kind, Refused

log = logging.getLogger(__name__)

DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "shoal"

# A status travels in HTTP/2 headers, of which clients take 8 KiB: the message once percent-encoded, and once more in
# the details. A few problems are enough to mend a file.
TEXT_BYTES_MAX = 1000
DETAILS_BYTES_MAX = 3000
PROBLEM_OVERHEAD_BYTES = 10

_CODES: dict[Kind, grpc.StatusCode] = {
    "invalid": grpc.StatusCode.INVALID_ARGUMENT,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "conflict": grpc.StatusCode.ALREADY_EXISTS,
    "failed_precondition": grpc.StatusCode.FAILED_PRECONDITION,
    "exhausted": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "denied": grpc.StatusCode.PERMISSION_DENIED,
    "out_of_range": grpc.StatusCode.OUT_OF_RANGE,
    "unimplemented": grpc.StatusCode.UNIMPLEMENTED,
}


def status_of(error: Exception) -> status_pb2.Status:
    """What the caller is told. A fault of this program says no more than that it is one."""
    if isinstance(error, Refused):
        return _refused(error)
    if isinstance(error, OutcomeLost):
        message = f"{error}; the request may have been stored or not: look before you repeat it without a client token"
        return _status(grpc.StatusCode.UNAVAILABLE, message, errors.OUTCOME_UNKNOWN)
    if isinstance(error, Unavailable):
        return _status(grpc.StatusCode.UNAVAILABLE, str(error), "ServerException")
    log.error("a call failed", exc_info=error)
    return _status(
        grpc.StatusCode.INTERNAL,
        "The scheduler failed on this request; its log says more. Nothing was stored.",
        "ServerException",
    )


def code_of(status: status_pb2.Status) -> grpc.StatusCode:
    return next(code for code in grpc.StatusCode if code.value[0] == status.code)


async def abort(context: grpc.aio.ServicerContext, error: Exception) -> NoReturn:  # type: ignore[type-arg]
    status = status_of(error)
    metadata = ((DETAILS_KEY, status.SerializeToString()), *_where_and_when(error))
    await context.abort(code_of(status), status.message, metadata)


def _where_and_when(error: Exception) -> Iterator[tuple[str, str]]:
    """Where the caller is served instead, and when."""
    if isinstance(error, NotLeading) and error.leader:
        yield LEADER_KEY, error.leader
    if isinstance(error, ComeLater):
        yield RETRY_AFTER_KEY, str(round(error.after_seconds * 1000))


def _refused(error: Refused) -> status_pb2.Status:
    status = _status(_CODES[error.kind], error.message, error.reason)
    room_bytes = DETAILS_BYTES_MAX - status.ByteSize()
    bad_request = error_details_pb2.BadRequest()
    for problem in error.problems:
        field, description = _bounded(problem.field), _bounded(problem.message)
        room_bytes -= len(field.encode()) + len(description.encode()) + PROBLEM_OVERHEAD_BYTES
        if room_bytes < 0 and bad_request.field_violations:
            break
        bad_request.field_violations.add(field=field, description=description)
    if error.problems:
        status.details.append(_packed(bad_request))
    return status


def _status(code: grpc.StatusCode, message: str, reason: str) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=_bounded(message))
    status.details.append(_packed(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)))
    return status


def _packed(message: error_details_pb2.BadRequest | error_details_pb2.ErrorInfo) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed


def _bounded(text: str) -> str:
    """No longer than a header may be, and nothing a terminal would obey."""
    head = text[:TEXT_BYTES_MAX]
    clean = "".join(character if character.isprintable() else "\ufffd" for character in head).encode()
    if len(text) <= TEXT_BYTES_MAX and len(clean) <= TEXT_BYTES_MAX:
        return clean.decode()
    return clean[: TEXT_BYTES_MAX - 3].decode("utf-8", "ignore") + "..."
