"""What a repository is set to, in ECR's words: the content of its mark in the store."""

import fnmatch
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from shoal_registry.names import Tag

Mutability = Literal["MUTABLE", "IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION"]
EXCLUSION_FILTERS_MAX = 5
# More would let a filter take long to match; ECR has the same limit.
WILDCARDS_MAX = 2


class ExclusionFilter(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Tags for which the opposite holds; `*` stands for any characters, also none."""

    filter_type: Literal["WILDCARD"]
    filter: Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[0-9a-zA-Z._*-]+$")]

    def matches(self, tag: Tag) -> bool:
        return matches(self.filter, tag.name)


class Settings(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`created_at` in seconds since 1970; 0 of a repository that is older than this record."""

    created_at: float = 0.0
    image_tag_mutability: Mutability = "MUTABLE"
    image_tag_mutability_exclusion_filters: tuple[ExclusionFilter, ...] = ()
    tags: dict[str, str] = {}

    def lets_move(self, tag: Tag) -> bool:
        """Whether the tag may come to mean another image than it does."""
        excluded = any(each.matches(tag) for each in self.image_tag_mutability_exclusion_filters)
        return excluded if self.image_tag_mutability.startswith("IMMUTABLE") else not excluded


_DECODER = msgspec.json.Decoder(Settings)


def decode(content: bytes) -> Settings:
    return _DECODER.decode(content) if content else Settings()


def encode(settings: Settings) -> bytes:
    return msgspec.json.encode(settings)


def matches(pattern: str, tag: str) -> bool:
    """`*` stands for any characters, also none; other wildcards are in no pattern of tags.

    >>> matches("release-*", "release-"), matches("*-dev", "dev")
    (True, False)
    """
    return _compiled(pattern).fullmatch(tag) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    # The library's translation never tries a text twice, whatever number of stars there is.
    return re.compile(fnmatch.translate(pattern))


def filter_problems(mutability: Mutability, filters: Sequence[ExclusionFilter]) -> list[str]:
    """What ECR refuses of the two together, with field paths."""
    field = "imageTagMutabilityExclusionFilters"
    if mutability.endswith("_WITH_EXCLUSION") and not filters:
        return [f"{field}: {mutability} needs at least one filter"]
    if filters and not mutability.endswith("_WITH_EXCLUSION"):
        return [f"{field}: are for IMMUTABLE_WITH_EXCLUSION and MUTABLE_WITH_EXCLUSION, not for {mutability}"]
    problems = []
    if len(filters) > EXCLUSION_FILTERS_MAX:
        problems.append(f"{field}: at most {EXCLUSION_FILTERS_MAX}, not {len(filters)}")
    for number, each in enumerate(filters):
        if each.filter.count("*") > WILDCARDS_MAX:
            problems.append(f"{field}[{number}].filter: at most {WILDCARDS_MAX} of *, as in release-*-*")
        if each in filters[:number]:
            problems.append(f"{field}[{number}].filter: {each.filter!r} is there twice")
    return problems
