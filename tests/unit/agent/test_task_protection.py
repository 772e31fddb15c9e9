"""What a task may ask for of its own protection, and how it is answered."""

import json
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from shoal.v1 import agent_pb2, agent_pb2_grpc, resource_pb2, service_pb2
from shoal_agent.metadata.protection import TaskProtection

TASK, ARN = "5e" * 16, f"arn:shoal:ecs:local:000000000000:task/default/{'5e' * 16}"


class Stub:
    """Remembers what it is asked, and answers as it is told."""

    def __init__(self, answer: agent_pb2.ProtectTaskResponse | grpc.StatusCode) -> None:
        self.answer = answer
        self.asked: list[agent_pb2.ProtectTaskRequest] = []

    async def ProtectTask(self, request: agent_pb2.ProtectTaskRequest, timeout: float) -> Any:  # noqa: N802
        self.asked.append(request)
        if isinstance(self.answer, grpc.StatusCode):
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(self.answer, nothing, nothing, details="expiresInMinutes: must be less")
        return self.answer


def protection(answer: agent_pb2.ProtectTaskResponse | grpc.StatusCode) -> tuple[TaskProtection, Stub]:
    made, stub = TaskProtection(), Stub(answer)
    made.stub = cast("agent_pb2_grpc.AgentSessionAsyncStub", stub)
    return made, stub


PROTECTED = agent_pb2.ProtectTaskResponse(
    protected_task=service_pb2.ProtectedTask(task_arn=ARN, protection_enabled=True, expiration_date=1_700_000_000_007)
)


async def test_it_is_protected() -> None:
    asked, stub = protection(PROTECTED)
    body = json.dumps({"ProtectionEnabled": True, "ExpiresInMinutes": 60}).encode()
    told = {"ProtectionEnabled": True, "TaskArn": ARN, "ExpirationDate": "2023-11-14T22:13:20.007Z"}
    assert await asked.answer(TASK, ARN, body) == (200, {"protection": told})
    assert stub.asked == [agent_pb2.ProtectTaskRequest(task_id=TASK, protection_enabled=True, expires_in_minutes=60)]
    await asked.answer(TASK, ARN, None)
    assert stub.asked[-1] == agent_pb2.ProtectTaskRequest(task_id=TASK)


async def test_what_cannot_be_protected_is_told() -> None:
    failure = resource_pb2.Failure(arn=ARN, reason="TASK_NOT_VALID", detail="only tasks of services can be protected")
    asked, _ = protection(agent_pb2.ProtectTaskResponse(failure=failure))
    status, document = await asked.answer(TASK, ARN, b'{"ProtectionEnabled": true}')
    told = {"Arn": ARN, "Reason": "TASK_NOT_VALID", "Detail": "only tasks of services can be protected"}
    assert (status, document) == (200, {"failure": told})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"ProtectionEnabled": "true"}',
        b'{"ProtectionEnabled": true, "ExpiresInMinutes": "60"}',
        b'{"ProtectionEnabled": true, "ExpiresInMinutes": true}',
        b'{"ProtectionEnabled": true, "ExpiresInMinutes": 4294967296}',
        b'{"ProtectionEnabled": true, "Minutes": 1}',
    ],
)
async def test_what_is_no_state_is_refused_here(body: bytes) -> None:
    asked, stub = protection(PROTECTED)
    status, document = await asked.answer(TASK, ARN, body)
    assert (status, document["error"]["Code"]) == (400, "BadRequestException")
    assert stub.asked == []


async def test_without_a_scheduler_there_is_no_answer() -> None:
    status, document = await TaskProtection().answer(TASK, ARN, None)
    assert (status, document["error"]["Code"]) == (500, "ServerException")
    for code, status, name in (
        (grpc.StatusCode.INVALID_ARGUMENT, 400, "InvalidParameterException"),
        (grpc.StatusCode.UNAVAILABLE, 500, "ServerException"),
    ):
        asked, _ = protection(code)
        found, document = await asked.answer(TASK, ARN, b'{"ProtectionEnabled": true, "ExpiresInMinutes": 9999}')
        assert (found, document["error"]["Code"]) == (status, name)
        assert "expiresInMinutes" in document["error"]["Message"]
