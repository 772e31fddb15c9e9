"""Images: DescribeImages."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from shoal.arn import OWNER

from shoal_registry.ecr import inventory
from shoal_registry.ecr.errors import Failed, repository_not_found
from shoal_registry.ecr.inventory import Kept
from shoal_registry.names import Digest, Reference, Repository, Tag
from shoal_registry.registry import Call

PAGE = 100


class ImageId(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    image_digest: str | None = None
    image_tag: str | None = None


ImageIds = Annotated[list[ImageId], msgspec.Meta(min_length=1, max_length=100)]


class ImageFilter(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    tag_status: Literal["TAGGED", "UNTAGGED", "ANY"] = "ANY"
    image_status: Literal["ACTIVE", "ARCHIVED", "ACTIVATING", "ANY"] = "ANY"

    def takes(self, kept: Kept) -> bool:
        tagged = "TAGGED" if kept.tags else "UNTAGGED"
        return self.tag_status in ("ANY", tagged) and self.image_status in ("ANY", status(kept))


class DescribeImages(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    registry_id: str | None = None
    image_ids: ImageIds | None = None
    next_token: str | None = None
    max_results: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    filter: ImageFilter = msgspec.field(default_factory=ImageFilter)


async def describe(call: Call, request: DescribeImages) -> Mapping[str, Any]:
    repository = await existing(call, request.repository_name)
    if request.image_ids is not None:
        if request.next_token or request.max_results:
            raise Failed("InvalidParameterException", "imageIds: not with nextToken or maxResults")
        named = [await found(call, repository, each) for each in request.image_ids]
        return {"imageDetails": [_detail(repository, kept) for kept in named if request.filter.takes(kept)]}
    limit = request.max_results or PAGE
    details: list[dict[str, Any]] = []
    async for kept in inventory.images(call.registry.store, repository, request.next_token or ""):
        if not request.filter.takes(kept):
            continue
        if len(details) == limit:
            return {"imageDetails": details, "nextToken": details[-1]["imageDigest"]}
        details.append(_detail(repository, kept))
    return {"imageDetails": details}


async def existing(call: Call, name: str) -> Repository:
    """Raises Failed if there is no such repository."""
    repository = Repository.parse(name)
    if not await call.repositories.exists(repository):
        raise repository_not_found(repository)
    return repository


async def found(call: Call, repository: Repository, wanted: ImageId) -> Kept:
    """Raises Failed."""
    if wanted.image_digest is None and wanted.image_tag is None:
        raise Failed("InvalidParameterException", "imageIds: each needs an imageDigest or an imageTag")
    reference: Reference = (
        Digest.parse(wanted.image_digest) if wanted.image_digest else Tag.parse(wanted.image_tag or "")
    )
    digest = (await call.repositories.find(repository, reference)).digest
    kept = await inventory.read(call.registry.store, repository, digest)
    if kept is None or (wanted.image_tag is not None and wanted.image_tag not in kept.tags):
        said = ", ".join(text for text in (wanted.image_digest, wanted.image_tag) if text)
        raise Failed("ImageNotFoundException", f"{repository.name} has no image {said}.")
    return kept


def status(kept: Kept) -> str:
    return "ARCHIVED" if kept.image.storage_class == "ARCHIVE" else "ACTIVE"


def _detail(repository: Repository, kept: Kept) -> dict[str, Any]:
    """As ECR's ImageDetail; what is not known is left out."""
    image = kept.image
    detail = {
        "registryId": OWNER,
        "repositoryName": repository.name,
        "imageDigest": str(kept.digest),
        "imageTags": list(kept.tags) or None,
        "imageSizeInBytes": image.size_bytes,
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": kept.media_type,
        "artifactMediaType": image.artifact_media_type,
        "subjectManifestDigest": image.subject,
        "imageStatus": status(kept),
        "lastArchivedAt": image.archived_at,
        "lastActivatedAt": image.activated_at,
    }
    return {name: value for name, value in detail.items() if value is not None}
