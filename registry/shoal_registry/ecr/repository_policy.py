"""Who else may pull from a repository, push to it and delete there: SetRepositoryPolicy, GetRepositoryPolicy,
DeleteRepositoryPolicy."""

from collections.abc import Mapping
from typing import Any

import msgspec
from shoal.arn import OWNER

from shoal_registry.ecr.errors import Failed
from shoal_registry.ecr.image_ids import existing
from shoal_registry.names import Repository
from shoal_registry.registry import Call
from shoal_registry.rights.policy import InvalidPolicyError


class SetRepositoryPolicy(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """`force` is for who would lock themselves out: no policy does that to an operator."""

    repository_name: str
    policy_text: str
    registry_id: str | None = None
    force: bool = False


class OneRepository(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    registry_id: str | None = None


async def put(call: Call, request: SetRepositoryPolicy) -> Mapping[str, Any]:
    repository = await existing(call, request.repository_name)
    try:
        await call.registry.gate.policies.put(repository, request.policy_text)
    except InvalidPolicyError as error:
        raise Failed("InvalidParameterException", f"policyText: {error}") from None
    return _described(repository, request.policy_text)


async def read(call: Call, request: OneRepository) -> Mapping[str, Any]:
    repository = await existing(call, request.repository_name)
    return _described(repository, await _text(call, repository))


async def delete(call: Call, request: OneRepository) -> Mapping[str, Any]:
    repository = await existing(call, request.repository_name)
    text = await _text(call, repository)
    await call.registry.gate.policies.delete(repository)
    return _described(repository, text)


async def _text(call: Call, repository: Repository) -> str:
    text = await call.registry.gate.policies.text(repository)
    if text is None:
        raise Failed("RepositoryPolicyNotFoundException", f"{repository.name} has no policy.")
    return text


def _described(repository: Repository, text: str) -> Mapping[str, Any]:
    return {"registryId": OWNER, "repositoryName": repository.name, "policyText": text}
