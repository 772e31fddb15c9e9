"""Images changed: PutImage, BatchDeleteImage, UpdateImageStorageClass."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from shoal.arn import OWNER

from shoal_registry.ecr.errors import Failed
from shoal_registry.ecr.image_ids import ImageId, ImageIds, existing, failure, found, named
from shoal_registry.errors import Refused
from shoal_registry.events import ActionType
from shoal_registry.image import StorageClass
from shoal_registry.manifest import MANIFEST_BYTES_MAX
from shoal_registry.names import Digest, Reference, Repository, Tag
from shoal_registry.registry import Call


class PutImage(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    image_manifest: Annotated[str, msgspec.Meta(min_length=1, max_length=MANIFEST_BYTES_MAX)]
    registry_id: str | None = None
    image_manifest_media_type: str = ""
    image_tag: str | None = None
    image_digest: str | None = None


class BatchDeleteImage(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    image_ids: ImageIds
    registry_id: str | None = None


class UpdateImageStorageClass(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    image_id: ImageId
    target_storage_class: StorageClass
    registry_id: str | None = None


async def put(call: Call, request: PutImage) -> Mapping[str, Any]:
    repository = await existing(call, request.repository_name)
    content = request.image_manifest.encode()
    if len(content) > MANIFEST_BYTES_MAX:
        raise Failed("InvalidParameterException", f"imageManifest: at most {MANIFEST_BYTES_MAX} bytes")
    digest = Digest.of(content)
    if request.image_digest not in (None, str(digest)):
        raise Failed(
            "ImageDigestDoesNotMatchException", f"imageDigest: the manifest has {digest}, not {request.image_digest}"
        )
    reference: Reference = digest if request.image_tag is None else Tag.parse(request.image_tag)
    if await _is_there(call, repository, reference, digest):
        raise Failed("ImageAlreadyExistsException", f"{repository.name} has this image under that name already.")
    try:
        _, parsed = await call.repositories.put_manifest(
            repository, reference, content, request.image_manifest_media_type
        )
    except Refused as refused:
        raise _put_failure(refused, content) from None
    call.pushed(repository, digest, request.image_tag, parsed.media_type)
    image = {
        "registryId": OWNER,
        "repositoryName": repository.name,
        "imageId": named(digest, request.image_tag),
        "imageManifest": request.image_manifest,
        "imageManifestMediaType": parsed.media_type,
    }
    return {"image": image}


async def batch_delete(call: Call, request: BatchDeleteImage) -> Mapping[str, Any]:
    """Tags, and images with all their tags; an image goes with its last tag.

    What an index needs goes after the index, in whichever order they are named.
    """
    repository = await existing(call, request.repository_name)
    gone: list[dict[str, str]] = []
    waiting, failures = list(request.image_ids), []
    while waiting:
        failed: list[tuple[ImageId, dict[str, Any]]] = []
        for wanted in waiting:
            try:
                gone += await _delete(call, repository, wanted)
            except (Failed, Refused) as refused:
                failed.append((wanted, failure(wanted, refused)))
        again = [wanted for wanted, said in failed if said["failureCode"] == "ImageReferencedByManifestList"]
        is_stuck = len(again) == len(waiting)
        failures += [said for wanted, said in failed if is_stuck or wanted not in again]
        waiting = [] if is_stuck else again
    return {"imageIds": gone, "failures": failures}


async def update_storage_class(call: Call, request: UpdateImageStorageClass) -> Mapping[str, Any]:
    repository = await existing(call, request.repository_name)
    kept = await found(call, repository, request.image_id)
    archives = request.target_storage_class == "ARCHIVE"
    move = call.registry.archive.archive if archives else call.registry.archive.restore
    try:
        moved = await move(repository, kept.digest)
    except Refused as refused:
        if refused.code == "UNSUPPORTED":
            raise Failed("ImageStorageClassUpdateNotSupportedException", refused.message) from None
        raise
    if moved.is_archived != kept.image.is_archived:
        action: ActionType = "ARCHIVE" if archives else "RESTORE"
        call.registry.events.note(action, repository, kept.digest, call.caller.name, None, moved.media_type)
    return {
        "registryId": OWNER,
        "repositoryName": repository.name,
        "imageId": named(kept.digest, request.image_id.image_tag),
        "imageStatus": "ARCHIVED" if moved.is_archived else "ACTIVE",
    }


async def _is_there(call: Call, repository: Repository, reference: Reference, digest: Digest) -> bool:
    try:
        known = await call.repositories.find(repository, reference)
    except Refused:
        return False
    return known.digest == digest and not known.image.is_archived


def _put_failure(refused: Refused, content: bytes) -> Failed | Refused:
    if refused.code == "TAG_INVALID":
        return Failed("ImageTagAlreadyExistsException", refused.message)
    if refused.code == "MANIFEST_BLOB_UNKNOWN":
        # It was parsed before.
        if "manifests" in json.loads(content):
            return Failed("ReferencedImagesNotFoundException", refused.message)
        return Failed("LayersNotFoundException", refused.message)
    return refused


async def _delete(call: Call, repository: Repository, wanted: ImageId) -> list[dict[str, str]]:
    """What is gone. Raises Failed, Refused."""
    kept = await found(call, repository, wanted)
    if wanted.image_tag is None:
        await call.repositories.delete_manifest(repository, kept.digest)
        call.deleted(repository, kept.digest)
        return [named(kept.digest, tag) for tag in kept.tags or (None,)]
    only = [wanted.image_tag]
    try:
        if await call.repositories.delete_manifest(repository, kept.digest, lambda tags: list(tags) == only):
            call.deleted(repository, kept.digest)
            return [named(kept.digest, wanted.image_tag)]
    except Refused as refused:
        # An index needs it: it stays, but not under that tag.
        if refused.code != "UNSUPPORTED":
            raise
    # Who says which image means that tag of it and no other, to which it may have been moved meanwhile.
    meant = kept.digest if wanted.image_digest else None
    digest = await call.repositories.delete_tag(repository, Tag.parse(wanted.image_tag), meant)
    call.deleted(repository, digest, wanted.image_tag)
    return [named(digest, wanted.image_tag)]
