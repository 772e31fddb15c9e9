"""Every operation of ECR's API that is answered here, in one table, and the door to it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from shoal.arn import OWNER

from shoal_registry.api.body import whole
from shoal_registry.ecr import errors, images, repository
from shoal_registry.ecr.errors import Failed
from shoal_registry.errors import Refused
from shoal_registry.names import Repository
from shoal_registry.registry import Call
from shoal_registry.rights.callers import Need

# A manifest of 4 MiB, escaped in JSON.
REQUEST_BYTES_MAX = 12 * 1024 * 1024
CONTENT_TYPE = "application/x-amz-json-1.1"


@dataclass(frozen=True, slots=True)
class Operation:
    """`request` is the shape that the JSON must have; `need` what a caller needs, in the repository it names if any."""

    request: type[Any]
    answer: Callable[[Call, Any], Awaitable[Mapping[str, Any]]]
    need: Need


OPERATIONS: Mapping[str, Operation] = {
    "CreateRepository": Operation(repository.CreateRepository, repository.create, "admin"),
    "DescribeRepositories": Operation(repository.DescribeRepositories, repository.describe, "identity"),
    "DescribeImages": Operation(images.DescribeImages, images.describe, "pull"),
}


async def answer(call: Call) -> web.Response:
    """Whatever goes wrong is an answer in ECR's shape."""
    name = call.parts["operation"]
    try:
        return _json(await _answer(call, name), 200)
    except Failed as failed:
        return _failure(failed)
    except Refused as refused:
        if refused.code == "UNAUTHORIZED":
            # Clients that can say who they are do so when they are asked as everywhere else.
            raise
        return _failure(errors.of_refusal(refused))


async def _answer(call: Call, name: str) -> Mapping[str, Any]:
    operation = OPERATIONS.get(name)
    if operation is None:
        known = ", ".join(sorted(OPERATIONS))
        raise Failed("UnknownOperationException", f"There is no operation {name[:100]}; there are {known}.")
    request = _read(await whole(call.request, REQUEST_BYTES_MAX), operation.request)
    if getattr(request, "registry_id", None) not in (None, OWNER):
        raise Failed("InvalidParameterException", f"registryId: this registry is {OWNER}; it knows no other")
    named = getattr(request, "repository_name", None)
    await call.demand(operation.need, None if named is None else Repository.parse(named))
    return await operation.answer(call, request)


def _read(body: bytes, shape: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `")
        field = path.rstrip("`").removeprefix("$").removeprefix(".")
        raise Failed("InvalidParameterException", f"{field}: {problem}" if field else problem) from None
    except msgspec.DecodeError as error:
        raise Failed("InvalidParameterException", f"The body must be a JSON object: {error}.") from None


def _failure(failed: Failed) -> web.Response:
    return _json({"__type": failed.kind, "message": failed.message}, 400)


def _json(document: Mapping[str, Any], status: int) -> web.Response:
    return web.Response(body=json.dumps(document).encode(), status=status, content_type=CONTENT_TYPE)
