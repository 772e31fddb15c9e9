"""Lifecycle policies: PutLifecyclePolicy, GetLifecyclePolicy, DeleteLifecyclePolicy, and the preview."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from shoal.arn import OWNER

from shoal_registry import grace
from shoal_registry.ecr import lifecycle_run, page_tokens
from shoal_registry.ecr.errors import Failed
from shoal_registry.ecr.image_ids import ImageId, ImageIds, existing
from shoal_registry.ecr.lifecycle_rules import InvalidPolicyError, Policy, parse
from shoal_registry.ecr.lifecycle_run import Outcome
from shoal_registry.names import Repository
from shoal_registry.registry import Call
from shoal_registry.storage import paths

PAGE = 100


class PutLifecyclePolicy(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    lifecycle_policy_text: str
    registry_id: str | None = None


class OneRepository(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    registry_id: str | None = None


class StartLifecyclePolicyPreview(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Of the repository's own policy, if no text is given."""

    repository_name: str
    lifecycle_policy_text: str | None = None
    registry_id: str | None = None


class PreviewFilter(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    tag_status: Literal["TAGGED", "UNTAGGED", "ANY"] = "ANY"


class GetLifecyclePolicyPreview(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str
    registry_id: str | None = None
    image_ids: ImageIds | None = None
    next_token: str | None = None
    max_results: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    filter: PreviewFilter = msgspec.field(default_factory=PreviewFilter)


async def put(call: Call, request: PutLifecyclePolicy) -> Mapping[str, Any]:
    repository = await existing(call, request.repository_name)
    checked(request.lifecycle_policy_text)
    async with call.repositories.lock(repository):
        # It may have been deleted since.
        await call.repositories.settings(repository)
        await call.registry.store.delete(paths.lifecycle_evaluated(repository))
        await call.registry.store.put(paths.lifecycle_policy(repository), request.lifecycle_policy_text.encode())
    return _said(repository, request.lifecycle_policy_text)


async def read(call: Call, request: OneRepository) -> Mapping[str, Any]:
    repository = await existing(call, request.repository_name)
    return await _known(call, repository)


async def delete(call: Call, request: OneRepository) -> Mapping[str, Any]:
    repository = await existing(call, request.repository_name)
    async with call.repositories.lock(repository):
        known = await _known(call, repository)
        await call.registry.store.delete(paths.lifecycle_policy(repository))
        await call.registry.store.delete(paths.lifecycle_evaluated(repository))
    return known


async def start_preview(call: Call, request: StartLifecyclePolicyPreview) -> Mapping[str, Any]:
    """Complete when it answers."""
    repository = await existing(call, request.repository_name)
    text = request.lifecycle_policy_text
    if text is None:
        text = (await _known(call, repository))["lifecyclePolicyText"]
    outcome = await lifecycle_run.plan(call.registry, repository, checked(text))
    preview = {"text": text, **_preview(outcome)}
    async with call.repositories.lock(repository):
        await call.repositories.settings(repository)
        await call.registry.store.put(paths.lifecycle_preview(repository), msgspec.json.encode(preview))
    return {**_said(repository, text), "status": "COMPLETE"}


async def preview(call: Call, request: GetLifecyclePolicyPreview) -> Mapping[str, Any]:
    """`keptImages`, which ECR has not: what a rule hits and what stays all the same, and why."""
    repository = await existing(call, request.repository_name)
    content = await call.registry.store.read(paths.lifecycle_preview(repository))
    if content is None:
        raise Failed(
            "LifecyclePolicyPreviewNotFoundException", f"There is no preview of {repository.name}: start one first."
        )
    known = msgspec.json.decode(content)
    found = [each for each in known["results"] if _takes(request, each)]
    begin = page_tokens.begin(request.next_token, page_tokens.DIGEST)
    after = [each for each in found if each["imageDigest"] > begin]
    limit = request.max_results or PAGE
    page = {
        **_said(repository, known["text"]),
        "status": "COMPLETE",
        "previewResults": after[:limit],
        "summary": known["summary"],
        "keptImages": known["kept"],
    }
    return page if len(after) <= limit else {**page, "nextToken": after[limit - 1]["imageDigest"]}


def checked(text: str) -> Policy:
    """Raises Failed."""
    try:
        return parse(text)
    except InvalidPolicyError as error:
        raise Failed("InvalidParameterException", f"lifecyclePolicyText: {error}") from None


def _said(repository: Repository, text: str) -> dict[str, Any]:
    return {"registryId": OWNER, "repositoryName": repository.name, "lifecyclePolicyText": text}


async def _known(call: Call, repository: Repository) -> dict[str, Any]:
    """Raises Failed."""
    text = await call.registry.store.read(paths.lifecycle_policy(repository))
    if text is None:
        raise Failed("LifecyclePolicyNotFoundException", f"{repository.name} has no lifecycle policy.")
    evaluated = grace.parse_moment(await call.registry.store.read(paths.lifecycle_evaluated(repository)))
    said = _said(repository, text.decode())
    return said if evaluated is None else {**said, "lastEvaluatedAt": evaluated}


def _preview(outcome: Outcome) -> dict[str, Any]:
    results = []
    for hit in outcome.hits:
        candidate = outcome.images[hit.digest]
        moves = hit.action == "transition"
        result = {
            "imageTags": list(candidate.tags),
            "imageDigest": hit.digest,
            "imagePushedAt": candidate.image.pushed_at,
            "action": {"type": hit.action.upper(), **({"targetStorageClass": "ARCHIVE"} if moves else {})},
            "appliedRulePriority": hit.priority,
            "storageClass": candidate.image.storage_class,
        }
        results.append(result)
    counts = Counter(hit.action for hit in outcome.hits)
    summary = {
        "expiringImageTotalCount": counts["expire"],
        "transitioningImageTotalCounts": [
            {"targetStorageClass": "ARCHIVE", "imageTotalCount": counts["transition"]},
        ],
    }
    kept = [
        {
            "imageDigest": each.hit.digest,
            "imageTags": list(outcome.images[each.hit.digest].tags),
            "appliedRulePriority": each.hit.priority,
            "reason": each.reason,
        }
        for each in outcome.spared
    ]
    return {"results": sorted(results, key=lambda each: each["imageDigest"]), "summary": summary, "kept": kept}


def _takes(request: GetLifecyclePolicyPreview, result: Mapping[str, Any]) -> bool:
    tags = result["imageTags"]
    if request.filter.tag_status not in ("ANY", "TAGGED" if tags else "UNTAGGED"):
        return False
    return request.image_ids is None or any(_is(wanted, result) for wanted in request.image_ids)


def _is(wanted: ImageId, result: Mapping[str, Any]) -> bool:
    return wanted.image_digest in (None, result["imageDigest"]) and (
        wanted.image_tag is None or wanted.image_tag in result["imageTags"]
    )
