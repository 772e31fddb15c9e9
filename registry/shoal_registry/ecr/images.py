"""Images looked at: ListImages, DescribeImages, BatchGetImage, ListImageReferrers, BatchCheckLayerAvailability."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

import msgspec
from shoal.arn import OWNER

from shoal_registry import image
from shoal_registry.ecr import inventory, page_tokens
from shoal_registry.ecr.errors import Failed
from shoal_registry.ecr.image_ids import ImageIds, existing, failure, found, named
from shoal_registry.ecr.inventory import Kept
from shoal_registry.errors import Refused
from shoal_registry.names import Digest, Repository
from shoal_registry.registry import Call
from shoal_registry.repositories import Found
from shoal_registry.storage import paths

PAGE = 100
REFERRERS_PAGE = 50
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Status = Literal["ACTIVE", "ARCHIVED", "ACTIVATING", "ANY"]


class ImageFilter(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """As in ECR, of what is archived lists say nothing unless they are asked to."""

    tag_status: Literal["TAGGED", "UNTAGGED", "ANY"] = "ANY"
    image_status: Status = "ACTIVE"

    def takes(self, kept: Kept) -> bool:
        tagged = "TAGGED" if kept.tags else "UNTAGGED"
        return self.tag_status in ("ANY", tagged) and self.image_status in ("ANY", kept.status)


class ListImages(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    registry_id: str | None = None
    next_token: str | None = None
    max_results: Limit | None = None
    filter: ImageFilter = msgspec.field(default_factory=ImageFilter)


class DescribeImages(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """`include`, which ECR has not: with MANIFEST also each image's manifest, which is no pull."""

    repository_name: str
    registry_id: str | None = None
    image_ids: ImageIds | None = None
    next_token: str | None = None
    max_results: Limit | None = None
    filter: ImageFilter | None = None
    include: list[Literal["MANIFEST"]] = []


class BatchGetImage(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    image_ids: ImageIds
    registry_id: str | None = None
    accepted_media_types: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)] | None = None


class SubjectId(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    image_digest: str


class ReferrerFilter(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    artifact_types: Annotated[list[str], msgspec.Meta(max_length=5)] | None = None
    artifact_status: Status = "ACTIVE"


class ListImageReferrers(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    subject_id: SubjectId
    registry_id: str | None = None
    filter: ReferrerFilter = msgspec.field(default_factory=ReferrerFilter)
    next_token: str | None = None
    max_results: Annotated[int, msgspec.Meta(ge=1, le=50)] | None = None


class BatchCheckLayerAvailability(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    layer_digests: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]
    registry_id: str | None = None


async def listed(call: Call, request: ListImages) -> Mapping[str, Any]:
    """One for each tag; one without for an image that has none."""
    repository = await existing(call, request.repository_name)
    limit = request.max_results or PAGE
    digest_before, _, tag_before = page_tokens.begin(request.next_token, page_tokens.IMAGE_ID).partition(" ")
    ids: list[dict[str, str]] = []
    # From that image on, of which further tags may follow.
    begin = digest_before[:-1]
    async for kept in inventory.images(call.registry, repository, begin):
        if str(kept.digest) < digest_before or not request.filter.takes(kept):
            continue
        for tag in kept.tags or ("",):
            if str(kept.digest) == digest_before and tag <= tag_before:
                continue
            if len(ids) == limit:
                return {"imageIds": ids, "nextToken": f"{ids[-1]['imageDigest']} {ids[-1].get('imageTag', '')}"}
            ids.append({"imageDigest": str(kept.digest), **({"imageTag": tag} if tag else {})})
    return {"imageIds": ids}


async def describe(call: Call, request: DescribeImages) -> Mapping[str, Any]:
    """By digest, whatever was pushed or deleted since the page before."""
    repository = await existing(call, request.repository_name)
    if request.image_ids is not None:
        if request.next_token or request.max_results:
            raise Failed("InvalidParameterException", "imageIds: not with nextToken or maxResults")
        named_images = [await found(call, repository, each) for each in request.image_ids]
        # Who names one knows that it is there.
        chosen = [kept for kept in named_images if request.filter is None or request.filter.takes(kept)]
        return {"imageDetails": [await _detail(call, repository, kept, request.include) for kept in chosen]}
    limit, wanted = request.max_results or PAGE, request.filter or ImageFilter()
    details: list[dict[str, Any]] = []
    begin = page_tokens.begin(request.next_token, page_tokens.DIGEST)
    async for kept in inventory.images(call.registry, repository, begin):
        if not wanted.takes(kept):
            continue
        if len(details) == limit:
            return {"imageDetails": details, "nextToken": details[-1]["imageDigest"]}
        details.append(await _detail(call, repository, kept, request.include))
    return {"imageDetails": details}


async def batch_get(call: Call, request: BatchGetImage) -> Mapping[str, Any]:
    """Manifests, which counts as a pull."""
    repository = await existing(call, request.repository_name)
    images, failures = [], []
    for wanted in request.image_ids:
        try:
            kept = await found(call, repository, wanted)
        except (Failed, Refused) as refused:
            failures.append(failure(wanted, refused))
            continue
        media_type = kept.image.media_type
        if kept.image.is_archived:
            problem = Failed("ImageNotFoundException", f"{kept.digest} is archived: restore it first.")
            failures.append({**failure(wanted, problem), "failureCode": "ImageInaccessible"})
        elif request.accepted_media_types and media_type not in request.accepted_media_types:
            problem = Failed("ImageNotFoundException", f"{kept.digest} is a {media_type}, which is not accepted.")
            failures.append({**failure(wanted, problem), "failureCode": "ImageNotFound"})
        else:
            content = await call.repositories.read_manifest(kept.digest)
            call.pulled(repository, Found(kept.digest, kept.image, len(content)), wanted.image_tag)
            images.append(
                {
                    "registryId": OWNER,
                    "repositoryName": repository.name,
                    "imageId": named(kept.digest, wanted.image_tag),
                    "imageManifest": content.decode(),
                    "imageManifestMediaType": media_type,
                }
            )
    return {"images": images, "failures": failures}


async def referrers(call: Call, request: ListImageReferrers) -> Mapping[str, Any]:
    repository = await existing(call, request.repository_name)
    subject = Digest.parse(request.subject_id.image_digest)
    after = page_tokens.begin(request.next_token, page_tokens.REFERRER)
    page: list[dict[str, Any]] = []
    wanted = request.filter
    for name in await call.registry.store.names(paths.referrers(repository, subject)):
        digest = paths.digest_named(name)
        if name <= after:
            continue
        link = await call.registry.store.read(paths.manifest(repository, digest))
        described = await call.registry.store.read(paths.referrer(repository, subject, digest))
        if link is None or described is None:
            continue
        status = "ARCHIVED" if image.decode(link).is_archived else "ACTIVE"
        referrer = {**msgspec.json.decode(described), "artifactStatus": status}
        if wanted.artifact_types and referrer.get("artifactType") not in wanted.artifact_types:
            continue
        if wanted.artifact_status not in ("ANY", status):
            continue
        if len(page) == (request.max_results or REFERRERS_PAGE):
            return {"referrers": page, "nextToken": page[-1]["digest"].replace(":", "-", 1)}
        page.append(referrer)
    return {"referrers": page}


async def layer_availability(call: Call, request: BatchCheckLayerAvailability) -> Mapping[str, Any]:
    repository = await existing(call, request.repository_name)
    layers, failures = [], []
    for text in request.layer_digests:
        try:
            digest = Digest.parse(text)
        except Refused as refused:
            said = {"layerDigest": text, "failureCode": "InvalidLayerDigest", "failureReason": refused.message}
            failures.append(said)
            continue
        # Who asks may push a manifest that needs it a while later, and nothing but that.
        size = await call.repositories.promised_blob_size(repository, digest)
        layer: dict[str, Any] = {"layerDigest": text, "layerAvailability": "UNAVAILABLE"}
        layers.append(layer if size is None else {**layer, "layerAvailability": "AVAILABLE", "layerSize": size})
    return {"layers": layers, "failures": failures}


async def _detail(call: Call, repository: Repository, kept: Kept, include: Collection[str]) -> dict[str, Any]:
    """As ECR's ImageDetail; what is not known is left out."""
    known = kept.image
    detail = {
        "registryId": OWNER,
        "repositoryName": repository.name,
        "imageDigest": str(kept.digest),
        "imageTags": list(kept.tags) or None,
        "imageSizeInBytes": known.size_bytes,
        "imagePushedAt": known.pushed_at,
        "imageManifestMediaType": known.media_type,
        "artifactMediaType": known.artifact_media_type,
        "lastRecordedPullTime": kept.pulled_at,
        "subjectManifestDigest": known.subject,
        "imageStatus": kept.status,
        "lastArchivedAt": known.archived_at,
        "lastActivatedAt": known.activated_at,
    }
    if "MANIFEST" in include:
        detail["imageManifest"] = (await call.repositories.read_manifest(kept.digest)).decode()
    return {name: value for name, value in detail.items() if value is not None}
