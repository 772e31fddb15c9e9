"""The task protection endpoint, as the ECS agent serves it to containers: a task says itself that it is not to be
stopped by a deployment or a scale-in for a while.

    GET, PUT  $ECS_AGENT_URI/task-protection/v1/state
              {"ProtectionEnabled": true, "ExpiresInMinutes": 60}

Answered with {"protection": {...}}, with {"failure": {...}} of a task that cannot be protected, or with
{"error": {...}}. The scheduler knows it; it is asked over the session there is.
"""

import json
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.message import Message
from shoal.v1 import agent_pb2, agent_pb2_grpc

ASK_SECONDS = 10.0
BODY_BYTES_MAX = 1024
_MEMBERS = {"ProtectionEnabled", "ExpiresInMinutes"}


class BadState(Exception):  # noqa: N818 - reads as what it says
    """What a task said that cannot be asked for, in words."""


class TaskProtection:
    """`stub`: of the session there is; None while there is none."""

    def __init__(self) -> None:
        self.stub: agent_pb2_grpc.AgentSessionAsyncStub | None = None

    async def answer(self, task_id: str, task_arn: str, body: bytes | None) -> tuple[int, dict[str, Any]]:
        """Status and document. `body`: of a PUT; None only asks."""
        try:
            request = _request(task_id, body)
        except BadState as bad:
            return _error(400, task_arn, "BadRequestException", str(bad))
        if self.stub is None:
            return _error(500, task_arn, "ServerException", "The scheduler cannot be reached: ask again later.")
        try:
            answer = await self.stub.ProtectTask(request, timeout=ASK_SECONDS)
        except grpc.aio.AioRpcError as error:
            bad_input = error.code() is grpc.StatusCode.INVALID_ARGUMENT
            code = "InvalidParameterException" if bad_input else "ServerException"
            return _error(400 if bad_input else 500, task_arn, code, error.details() or error.code().name)
        return 200, _document(answer)


def _request(task_id: str, body: bytes | None) -> agent_pb2.ProtectTaskRequest:
    request = agent_pb2.ProtectTaskRequest(task_id=task_id)
    if body is None:
        return request
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("ProtectionEnabled"), bool):
        raise BadState('The body must be a JSON object such as {"ProtectionEnabled": true, "ExpiresInMinutes": 60}.')
    if unknown := said.keys() - _MEMBERS:
        raise BadState(f"There is no member {sorted(unknown)[0]!r}: use ProtectionEnabled and ExpiresInMinutes.")
    minutes = said.get("ExpiresInMinutes")
    if minutes is not None and (type(minutes) is not int or not 0 < minutes < 2**31):
        raise BadState("ExpiresInMinutes must be a whole number of minutes.")
    request.protection_enabled = said["ProtectionEnabled"]
    if minutes is not None:
        request.expires_in_minutes = minutes
    return request


def _document(answer: Message) -> dict[str, Any]:
    assert isinstance(answer, agent_pb2.ProtectTaskResponse)
    if answer.HasField("failure"):
        failure = answer.failure
        return {"failure": {"Arn": failure.arn, "Detail": failure.detail, "Reason": failure.reason}}
    known = answer.protected_task
    document: dict[str, Any] = {"ProtectionEnabled": known.protection_enabled, "TaskArn": known.task_arn}
    if known.HasField("expiration_date"):
        when = datetime.fromtimestamp(known.expiration_date / 1000, UTC)
        document["ExpirationDate"] = f"{when:%Y-%m-%dT%H:%M:%S}.{known.expiration_date % 1000:03d}Z"
    return {"protection": document}


def _error(status: int, task_arn: str, code: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"Arn": task_arn, "Code": code, "Message": message}}
