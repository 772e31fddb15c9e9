"""Every operation of ECR's API that is answered here, in one table, and the door to it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from shoal.arn import OWNER

from shoal_registry.api.body import whole
from shoal_registry.ecr import (
    authorization,
    errors,
    image_changes,
    image_events,
    images,
    labels,
    lifecycle_policy,
    repository,
    repository_policy,
    shapes,
    templates,
)
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
    """`request` is the shape that the JSON must have; `need` what its caller needs: of the
    repositories that the request names, or, if it names none, of those that the answer tells of."""

    request: type[Any]
    answer: Callable[[Call, Any], Awaitable[Mapping[str, Any]]]
    need: Need


OPERATIONS: Mapping[str, Operation] = {
    "CreateRepository": Operation(repository.CreateRepository, repository.create, "admin"),
    "DescribeRepositories": Operation(repository.DescribeRepositories, repository.describe, "pull"),
    "DeleteRepository": Operation(repository.DeleteRepository, repository.delete, "admin"),
    "PutImageTagMutability": Operation(repository.PutImageTagMutability, repository.put_image_tag_mutability, "admin"),
    # These know of which repository they are once they have read its ARN.
    "TagResource": Operation(labels.TagResource, labels.tag, "identity"),
    "UntagResource": Operation(labels.UntagResource, labels.untag, "identity"),
    "ListTagsForResource": Operation(labels.ListTagsForResource, labels.listed, "identity"),
    "CreateRepositoryCreationTemplate": Operation(
        templates.CreateRepositoryCreationTemplate, templates.create, "admin"
    ),
    "UpdateRepositoryCreationTemplate": Operation(
        templates.UpdateRepositoryCreationTemplate, templates.update, "admin"
    ),
    "DescribeRepositoryCreationTemplates": Operation(
        templates.DescribeRepositoryCreationTemplates, templates.describe, "admin"
    ),
    "DeleteRepositoryCreationTemplate": Operation(
        templates.DeleteRepositoryCreationTemplate, templates.delete, "admin"
    ),
    "GetAccountSetting": Operation(templates.GetAccountSetting, templates.account_setting, "admin"),
    "PutAccountSetting": Operation(templates.PutAccountSetting, templates.put_account_setting, "admin"),
    "ListImages": Operation(images.ListImages, images.listed, "pull"),
    "DescribeImages": Operation(images.DescribeImages, images.describe, "pull"),
    "BatchGetImage": Operation(images.BatchGetImage, images.batch_get, "pull"),
    "ListImageReferrers": Operation(images.ListImageReferrers, images.referrers, "pull"),
    "BatchCheckLayerAvailability": Operation(images.BatchCheckLayerAvailability, images.layer_availability, "push"),
    "PutImage": Operation(image_changes.PutImage, image_changes.put, "push"),
    "BatchDeleteImage": Operation(image_changes.BatchDeleteImage, image_changes.batch_delete, "delete"),
    "UpdateImageStorageClass": Operation(
        image_changes.UpdateImageStorageClass, image_changes.update_storage_class, "admin"
    ),
    "PutLifecyclePolicy": Operation(lifecycle_policy.PutLifecyclePolicy, lifecycle_policy.put, "admin"),
    "GetLifecyclePolicy": Operation(lifecycle_policy.OneRepository, lifecycle_policy.read, "admin"),
    "DeleteLifecyclePolicy": Operation(lifecycle_policy.OneRepository, lifecycle_policy.delete, "admin"),
    "StartLifecyclePolicyPreview": Operation(
        lifecycle_policy.StartLifecyclePolicyPreview, lifecycle_policy.start_preview, "admin"
    ),
    "GetLifecyclePolicyPreview": Operation(
        lifecycle_policy.GetLifecyclePolicyPreview, lifecycle_policy.preview, "admin"
    ),
    "ListImageEvents": Operation(image_events.ListImageEvents, image_events.listed, "identity"),
    "GetAuthorizationToken": Operation(authorization.GetAuthorizationToken, authorization.give, "identity"),
    "SetRepositoryPolicy": Operation(repository_policy.SetRepositoryPolicy, repository_policy.put, "admin"),
    "GetRepositoryPolicy": Operation(repository_policy.OneRepository, repository_policy.read, "admin"),
    "DeleteRepositoryPolicy": Operation(repository_policy.OneRepository, repository_policy.delete, "admin"),
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
    # Before what may be long is read.
    await call.demand("admin" if operation.need == "admin" else "identity")
    request = _read(await whole(call.request, REQUEST_BYTES_MAX), operation.request)
    if getattr(request, "registry_id", None) not in (None, OWNER):
        raise Failed("InvalidParameterException", f"registryId: this registry is {OWNER}; it knows no other")
    if operation.need not in ("admin", "identity"):
        # Before anything is looked up: what one may not see is answered alike whether it is there or not.
        for repository_named in _named(request):
            await call.demand(operation.need, repository_named)
    return await operation.answer(call, request)


def _named(request: Any) -> list[Repository]:
    """Raises Refused."""
    name = getattr(request, "repository_name", None)
    names = [name] if name is not None else getattr(request, "repository_names", None) or []
    return [Repository.parse(each) for each in names]


def _read(body: bytes, shape: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except msgspec.ValidationError as error:
        raise Failed("InvalidParameterException", shapes.problem(error, shape)) from None
    except msgspec.DecodeError as error:
        raise Failed("InvalidParameterException", f"The body must be a JSON object: {error}.") from None


def _failure(failed: Failed) -> web.Response:
    return _json({"__type": failed.kind, "message": failed.message}, 400)


def _json(document: Mapping[str, Any], status: int) -> web.Response:
    return web.Response(body=json.dumps(document).encode(), status=status, content_type=CONTENT_TYPE)
