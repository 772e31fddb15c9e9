"""Repositories: CreateRepository, DescribeRepositories."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from shoal.arn import OWNER, repository_arn

from shoal_registry import catalogue
from shoal_registry.ecr.errors import Failed, repository_not_found
from shoal_registry.names import Repository
from shoal_registry.registry import Call
from shoal_registry.settings import ExclusionFilter, Mutability, Settings, filter_problems

PAGE = 100


class Label(msgspec.Struct, rename="pascal", forbid_unknown_fields=True):
    """A tag of a resource."""

    key: str
    value: str


class CreateRepository(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    registry_id: str | None = None
    tags: list[Label] | None = None
    image_tag_mutability: Mutability = "MUTABLE"
    image_tag_mutability_exclusion_filters: list[ExclusionFilter] | None = None


class DescribeRepositories(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    registry_id: str | None = None
    repository_names: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)] | None = None
    next_token: str | None = None
    max_results: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None


async def create(call: Call, request: CreateRepository) -> Mapping[str, Any]:
    name = Repository.parse(request.repository_name)
    filters = request.image_tag_mutability_exclusion_filters or []
    if problems := filter_problems(request.image_tag_mutability, filters):
        raise Failed("InvalidParameterException", "; ".join(problems))
    settings = Settings(
        created_at=call.registry.now(),
        image_tag_mutability=request.image_tag_mutability,
        image_tag_mutability_exclusion_filters=tuple(filters),
        tags={each.key: each.value for each in request.tags or ()},
    )
    if not await call.repositories.create(name, settings):
        raise Failed("RepositoryAlreadyExistsException", f"There is a repository {name.name} already.")
    return {"repository": described(call, name, settings)}


async def describe(call: Call, request: DescribeRepositories) -> Mapping[str, Any]:
    if request.repository_names is not None:
        if request.next_token or request.max_results:
            raise Failed("InvalidParameterException", "repositoryNames: not with nextToken or maxResults")
        names = [Repository.parse(name) for name in request.repository_names]
        for name in names:
            await call.demand("pull", name)
            if not await call.repositories.exists(name):
                raise repository_not_found(name)
        return {"repositories": [await _describe(call, name) for name in names]}
    limit, names = request.max_results or PAGE, []
    async for name in catalogue.repositories(call.registry.store, request.next_token or ""):
        if not await call.may("pull", name):
            continue
        if len(names) == limit:
            return {"repositories": [await _describe(call, each) for each in names], "nextToken": names[-1].name}
        names.append(name)
    return {"repositories": [await _describe(call, each) for each in names]}


async def _describe(call: Call, name: Repository) -> dict[str, Any]:
    return described(call, name, await call.repositories.settings(name))


def described(call: Call, name: Repository, settings: Settings) -> dict[str, Any]:
    """As ECR's Repository."""
    document: dict[str, Any] = {
        "repositoryArn": repository_arn(name.name),
        "registryId": OWNER,
        "repositoryName": name.name,
        # As the caller reaches the registry, which is how images are named.
        "repositoryUri": f"{call.request.host}/{name.name}",
        "createdAt": settings.created_at,
        "imageTagMutability": settings.image_tag_mutability,
    }
    if filters := settings.image_tag_mutability_exclusion_filters:
        document["imageTagMutabilityExclusionFilters"] = msgspec.to_builtins(filters)
    return document
