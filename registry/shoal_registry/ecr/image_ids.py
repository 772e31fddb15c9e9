"""Images as requests name them: by digest, by tag, or by both, which then have to belong together."""

from typing import Annotated, Any

import msgspec

from shoal_registry.ecr import inventory
from shoal_registry.ecr.errors import Failed
from shoal_registry.ecr.inventory import Kept
from shoal_registry.errors import Refused
from shoal_registry.names import Digest, Reference, Repository, Tag
from shoal_registry.registry import Call
from shoal_registry.repositories import repository_unknown


class ImageId(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    image_digest: str | None = None
    image_tag: str | None = None

    def document(self) -> dict[str, str]:
        said = {"imageDigest": self.image_digest, "imageTag": self.image_tag}
        return {name: value for name, value in said.items() if value is not None}


ImageIds = Annotated[list[ImageId], msgspec.Meta(min_length=1, max_length=100)]


async def existing(call: Call, name: str) -> Repository:
    """Raises Refused if there is no such repository."""
    repository = Repository.parse(name)
    if not await call.repositories.exists(repository):
        raise repository_unknown(repository)
    return repository


async def found(call: Call, repository: Repository, wanted: ImageId) -> Kept:
    """Raises Failed, Refused."""
    if wanted.image_digest is None and wanted.image_tag is None:
        raise Failed("InvalidParameterException", "imageId: needs an imageDigest or an imageTag")
    digest, tag = wanted.image_digest, wanted.image_tag
    reference: Reference = Tag.parse(tag or "") if digest is None else Digest.parse(digest)
    meant = await call.repositories.find(repository, reference)
    kept = await inventory.read(call.registry, repository, meant.digest)
    if kept is None or (tag is not None and tag not in kept.tags):
        said = " with the tag ".join(text for text in (digest, tag) if text)
        raise Failed("ImageNotFoundException", f"{repository.name} has no image {said}.")
    return kept


def named(digest: Digest, tag: str | None) -> dict[str, str]:
    return ImageId(str(digest), tag).document()


def failure(wanted: ImageId, refused: Failed | Refused) -> dict[str, Any]:
    """As ECR's ImageFailure."""
    if wanted.image_digest is None and wanted.image_tag is None:
        code = "MissingDigestAndTag"
    elif isinstance(refused, Refused) and refused.code == "DIGEST_INVALID":
        code = "InvalidImageDigest"
    elif isinstance(refused, Refused) and refused.code == "TAG_INVALID":
        code = "InvalidImageTag"
    elif isinstance(refused, Refused) and refused.code == "UNSUPPORTED":
        code = "ImageReferencedByManifestList"
    elif isinstance(refused, Failed) and wanted.image_digest and wanted.image_tag:
        code = "ImageTagDoesNotMatchDigest"
    else:
        code = "ImageNotFound"
    return {"imageId": wanted.document(), "failureCode": code, "failureReason": refused.message}
