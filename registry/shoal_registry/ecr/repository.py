"""Repositories: CreateRepository, DescribeRepositories, DeleteRepository, PutImageTagMutability."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from shoal.arn import OWNER, repository_arn

from shoal_registry import catalogue, creation
from shoal_registry.ecr import inventory, labels, page_tokens
from shoal_registry.ecr.errors import Failed
from shoal_registry.ecr.labels import Label
from shoal_registry.names import Repository
from shoal_registry.registry import Call
from shoal_registry.repositories import repository_unknown
from shoal_registry.settings import ExclusionFilter, Mutability, Settings, filter_problems

PAGE = 100


class Encryption(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Whether contents are encrypted is up to the registry, for all of them."""

    encryption_type: Literal["AES256"]


class Scanning(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Nothing scans images here."""

    scan_on_push: Literal[False] = False


class CreateRepository(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    registry_id: str | None = None
    tags: list[Label] | None = None
    image_tag_mutability: Mutability = "MUTABLE"
    image_tag_mutability_exclusion_filters: list[ExclusionFilter] | None = None
    image_scanning_configuration: Scanning | None = None
    encryption_configuration: Encryption | None = None


class DescribeRepositories(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    registry_id: str | None = None
    repository_names: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)] | None = None
    next_token: str | None = None
    max_results: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None


class DeleteRepository(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """`force`: with the images in it."""

    repository_name: str
    registry_id: str | None = None
    force: bool = False


class PutImageTagMutability(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    image_tag_mutability: Mutability
    registry_id: str | None = None
    image_tag_mutability_exclusion_filters: list[ExclusionFilter] | None = None


async def create(call: Call, request: CreateRepository) -> Mapping[str, Any]:
    name = Repository.parse(request.repository_name)
    settings = Settings(
        created_at=call.registry.now(),
        image_tag_mutability=request.image_tag_mutability,
        image_tag_mutability_exclusion_filters=filters(
            request.image_tag_mutability, request.image_tag_mutability_exclusion_filters
        ),
        tags=labels.checked(request.tags),
    )
    if not await creation.create(call.registry.store, name, settings):
        raise Failed("RepositoryAlreadyExistsException", f"There is a repository {name.name} already.")
    return {"repository": _described(call, name, settings)}


async def describe(call: Call, request: DescribeRepositories) -> Mapping[str, Any]:
    if request.repository_names is not None:
        if request.next_token or request.max_results:
            raise Failed("InvalidParameterException", "repositoryNames: not with nextToken or maxResults")
        return {"repositories": [await _named(call, Repository.parse(name)) for name in request.repository_names]}
    limit = request.max_results or PAGE
    found: list[dict[str, Any]] = []
    begin = page_tokens.begin(request.next_token, page_tokens.NAME)
    async for name in catalogue.repositories(call.registry.store, begin):
        if not await call.may("pull", name):
            continue
        if len(found) == limit:
            return {"repositories": found, "nextToken": found[-1]["repositoryName"]}
        found.append(await _described_now(call, name))
    return {"repositories": found}


async def delete(call: Call, request: DeleteRepository) -> Mapping[str, Any]:
    name = Repository.parse(request.repository_name)
    settings = await call.repositories.settings(name)
    images = [kept.digest async for kept in inventory.images(call.registry, name)] if request.force else []
    if not await call.repositories.delete(name, with_images=request.force):
        raise Failed(
            "RepositoryNotEmptyException",
            f"{name.name} has images: delete them first, or delete it with them by force.",
        )
    for digest in images:
        call.deleted(name, digest)
    return {"repository": _described(call, name, settings)}


async def put_image_tag_mutability(call: Call, request: PutImageTagMutability) -> Mapping[str, Any]:
    name = Repository.parse(request.repository_name)
    mutability = request.image_tag_mutability
    exclusions = filters(mutability, request.image_tag_mutability_exclusion_filters)
    changed = await call.repositories.change_settings(
        name,
        lambda now: msgspec.structs.replace(
            now, image_tag_mutability=mutability, image_tag_mutability_exclusion_filters=exclusions
        ),
    )
    return {"registryId": OWNER, "repositoryName": name.name, **mutability_document(changed)}


def filters(mutability: Mutability, given: Sequence[ExclusionFilter] | None) -> tuple[ExclusionFilter, ...]:
    """Raises Failed."""
    if problems := filter_problems(mutability, given or ()):
        raise Failed("InvalidParameterException", "; ".join(problems))
    return tuple(given or ())


def mutability_document(settings: Settings | creation.Template) -> dict[str, Any]:
    document: dict[str, Any] = {"imageTagMutability": settings.image_tag_mutability}
    if exclusions := settings.image_tag_mutability_exclusion_filters:
        document["imageTagMutabilityExclusionFilters"] = msgspec.to_builtins(exclusions)
    return document


async def _named(call: Call, name: Repository) -> dict[str, Any]:
    """Raises Refused."""
    if not await call.repositories.exists(name):
        raise repository_unknown(name)
    return await _described_now(call, name)


async def _described_now(call: Call, name: Repository) -> dict[str, Any]:
    return _described(call, name, await call.repositories.settings(name))


def _described(call: Call, name: Repository, settings: Settings) -> dict[str, Any]:
    """As ECR's Repository."""
    return {
        "repositoryArn": repository_arn(name.name),
        "registryId": OWNER,
        "repositoryName": name.name,
        # As the caller reaches the registry, which is how images are named.
        "repositoryUri": f"{call.request.host}/{name.name}",
        "createdAt": settings.created_at,
        "imageScanningConfiguration": {"scanOnPush": False},
        **mutability_document(settings),
    }
