"""What can go wrong, as one tree.

    ShoalError
    ├── NoContext           no cluster is configured, or the context file is wrong
    ├── Refused             the cluster understood and said no
    │   ├── InvalidInput      a field is wrong; `problems` names each
    │   ├── NotFound          there is no such thing
    │   ├── Conflict          it exists already, or is not in a state that allows it
    │   ├── Denied            this certificate may not do that
    │   └── LimitExceeded     too much, too large, too many
    ├── HistoryLost         a watch asked for events that are no longer kept: list again
    ├── Unreachable         no scheduler of the cluster answered as its leader until the deadline
    ├── TimedOut            no answer until the deadline; what was asked may still happen
    └── ServerFault         the scheduler failed; nothing is wrong with the request

Every error has `message` (one sentence), `hint` (what to do, may be empty), and, when it came from the
cluster, `code` (the gRPC status, "INVALID_ARGUMENT"), `reason` (the ECS exception, "ClientException") and `problems`.
"""
# ruff: noqa: N818 - `except NotFound` reads better than `except NotFoundError`

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shoal.problems import Problem

if TYPE_CHECKING:
    import grpc


# The reason of an UNAVAILABLE after which it is not known whether the request was stored.
OUTCOME_UNKNOWN = "OutcomeUnknownException"


class ShoalError(Exception):
    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        code: str = "",
        reason: str = "",
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.reason = reason
        self.problems = tuple(problems)


class NoContext(ShoalError):
    pass


class Refused(ShoalError):
    pass


class InvalidInput(Refused):
    pass


class NotFound(Refused):
    pass


class Conflict(Refused):
    pass


class Denied(Refused):
    pass


class LimitExceeded(Refused):
    pass


class HistoryLost(ShoalError):
    pass


class Unreachable(ShoalError):
    pass


class TimedOut(ShoalError):
    pass


class ServerFault(ShoalError):
    pass


_BY_CODE: dict[str, type[ShoalError]] = {
    "INVALID_ARGUMENT": InvalidInput,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": Conflict,
    "FAILED_PRECONDITION": Conflict,
    "ABORTED": Conflict,
    "PERMISSION_DENIED": Denied,
    "UNAUTHENTICATED": Denied,
    "RESOURCE_EXHAUSTED": LimitExceeded,
    "OUT_OF_RANGE": HistoryLost,
    "UNAVAILABLE": Unreachable,
    "DEADLINE_EXCEEDED": TimedOut,
    "CANCELLED": Refused,
    "UNIMPLEMENTED": Refused,
}
# ECS says "not found" with exceptions of their own, whatever status carries them.
_NOT_FOUND_SUFFIX = "NotFoundException"


def from_rpc(error: "grpc.RpcError") -> ShoalError:
    """The typed error for a failed call, with what its google.rpc.Status details say."""
    status: Any = error
    return from_status(status.code().name, status.details() or "", packed_status(error))


def from_status(code: str, message: str, packed: bytes | None) -> ShoalError:
    """packed: a serialised google.rpc.Status (the grpc-status-details-bin trailer), if there is one."""
    reason, problems = _details(packed)
    kind = _BY_CODE.get(code, ServerFault)
    if reason.endswith(_NOT_FOUND_SUFFIX):
        kind = NotFound
    return kind(message or code, code=code, reason=reason, problems=problems)


def packed_status(error: "grpc.RpcError") -> bytes | None:
    """The google.rpc.Status a server attached. Absent when the failure never reached a server of ours."""
    status: Any = error
    for key, value in status.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return bytes(value)
    return None


def _details(packed: bytes | None) -> tuple[str, list[Problem]]:
    if packed is None:
        return "", []
    from google.protobuf.message import DecodeError
    from google.rpc import error_details_pb2, status_pb2

    reason, problems = "", []
    try:
        status = status_pb2.Status.FromString(packed)
    except DecodeError:
        return "", []
    for detail in status.details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad):
            problems += [Problem(each.field, each.description) for each in bad.field_violations]
    return reason, problems
