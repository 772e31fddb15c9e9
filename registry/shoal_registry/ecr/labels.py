"""The tags of resources (which are no tags of images): TagResource, UntagResource, ListTagsForResource."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from shoal.arn import REPOSITORY_PREFIX

from shoal_registry.ecr.errors import Failed
from shoal_registry.names import Repository
from shoal_registry.registry import Call
from shoal_registry.rights.callers import Need

LABELS_MAX = 50
KEY_CHARACTERS_MAX = 128
VALUE_CHARACTERS_MAX = 256


class Label(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    key: str
    value: str


class TagResource(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    resource_arn: str
    tags: list[Label]


class UntagResource(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    resource_arn: str
    tag_keys: list[str]


class ListTagsForResource(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    resource_arn: str


async def tag(call: Call, request: TagResource) -> Mapping[str, Any]:
    repository = await _allowed(call, request.resource_arn, "admin")
    added = checked(request.tags)
    await call.repositories.change_settings(
        repository, lambda now: msgspec.structs.replace(now, tags=_few({**now.tags, **added}))
    )
    return {}


async def untag(call: Call, request: UntagResource) -> Mapping[str, Any]:
    repository = await _allowed(call, request.resource_arn, "admin")
    gone = frozenset(request.tag_keys)
    await call.repositories.change_settings(
        repository,
        lambda now: msgspec.structs.replace(
            now, tags={key: value for key, value in now.tags.items() if key not in gone}
        ),
    )
    return {}


async def listed(call: Call, request: ListTagsForResource) -> Mapping[str, Any]:
    repository = await _allowed(call, request.resource_arn, "pull")
    return {"tags": document((await call.repositories.settings(repository)).tags)}


def document(labels: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(labels.items())]


def checked(labels: Sequence[Label] | None) -> dict[str, str]:
    """Raises Failed."""
    found: dict[str, str] = {}
    for number, label in enumerate(labels or ()):
        if not 1 <= len(label.key) <= KEY_CHARACTERS_MAX or label.key.lower().startswith("aws:"):
            raise Failed(
                "InvalidTagParameterException",
                f"tags[{number}].Key: write 1 to {KEY_CHARACTERS_MAX} characters, not beginning with aws:",
            )
        if len(label.value) > VALUE_CHARACTERS_MAX:
            raise Failed(
                "InvalidTagParameterException", f"tags[{number}].Value: at most {VALUE_CHARACTERS_MAX} characters"
            )
        if label.key in found:
            raise Failed("InvalidTagParameterException", f"tags[{number}].Key: {label.key!r} is there twice")
        found[label.key] = label.value
    return _few(found)


def _few(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > LABELS_MAX:
        raise Failed("TooManyTagsException", f"tags: a repository has at most {LABELS_MAX}, not {len(labels)}")
    return labels


async def _allowed(call: Call, arn: str, need: Need) -> Repository:
    """Raises Failed, Refused."""
    if not arn.startswith(REPOSITORY_PREFIX):
        raise Failed("InvalidParameterException", f"resourceArn: write it as in {REPOSITORY_PREFIX}team/web")
    repository = Repository.parse(arn.removeprefix(REPOSITORY_PREFIX))
    await call.demand(need, repository)
    return repository
