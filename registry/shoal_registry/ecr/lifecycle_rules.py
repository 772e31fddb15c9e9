"""Lifecycle policies in ECR's JSON, checked. Pure. ("Lifecycle policy properties in Amazon ECR")

Two things are allowed that ECR refuses: to expire images by their last pull, and to expire what has been archived for
less than 90 days, which there is a matter of prices.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec

from shoal_registry.ecr import shapes

# No policy that says all it has to is shorter than ECR's least, of 100.
TEXT_CHARACTERS_MAX = 30_720
RULES_MAX = 50
WILDCARDS_MAX = 4
# As large as ECR's integers are.
NUMBER_MAX = 2**31 - 1

TagStatus = Literal["tagged", "untagged", "any"]
StorageClass = Literal["standard", "archive"]
CountType = Literal["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"]

_PREFIX = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_PATTERN = re.compile(r"[a-zA-Z0-9_*][a-zA-Z0-9._*-]{0,127}")


class Selection(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    tag_status: TagStatus
    count_type: CountType
    count_number: Annotated[int, msgspec.Meta(ge=1, le=NUMBER_MAX)]
    count_unit: Literal["days"] | None = None
    tag_pattern_list: tuple[str, ...] = ()
    tag_prefix_list: tuple[str, ...] = ()
    storage_class: StorageClass = "standard"

    @property
    def patterns(self) -> Sequence[str]:
        """All of which an image's tags have to match, each by any of them."""
        return (*self.tag_pattern_list, *(f"{prefix}*" for prefix in self.tag_prefix_list))


class Action(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    type: Literal["expire", "transition"]
    target_storage_class: Literal["archive"] | None = None


class Rule(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    rule_priority: Annotated[int, msgspec.Meta(ge=1, le=NUMBER_MAX)]
    selection: Selection
    action: Action
    description: str = ""


class Policy(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    rules: Annotated[tuple[Rule, ...], msgspec.Meta(min_length=1, max_length=RULES_MAX)]


class InvalidPolicyError(ValueError):
    """`problems`: each with the path of its field."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def parse(text: str) -> Policy:
    """Raises InvalidPolicyError, with all that is wrong if the fields have the right types."""
    if len(text) > TEXT_CHARACTERS_MAX:
        limit = f"at most {TEXT_CHARACTERS_MAX:,} characters"
        raise InvalidPolicyError([f"a policy has {limit}, and this one {len(text):,}; spaces and descriptions count"])
    try:
        policy = msgspec.convert(json.loads(text, object_pairs_hook=_once), Policy)
    except msgspec.ValidationError as error:
        raise InvalidPolicyError([shapes.problem(error, Policy)]) from None
    except (ValueError, RecursionError) as error:
        raise InvalidPolicyError([f"a policy is a JSON object, and this is none: {error}"]) from None
    problems = [problem for number, rule in enumerate(policy.rules) for problem in _problems(f"rules[{number}]", rule)]
    problems += _problems_together(policy.rules)
    if problems:
        raise InvalidPolicyError(problems)
    return policy


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is there twice")
    return found


def _problems(path: str, rule: Rule) -> Iterator[str]:
    selection, within = rule.selection, f"{path}.selection"
    yield from _tag_problems(within, selection)
    counts = selection.count_type
    if counts == "imageCountMoreThan" and selection.count_unit is not None:
        yield f"{within}.countUnit: is not for imageCountMoreThan, which counts images"
    if counts != "imageCountMoreThan" and selection.count_unit is None:
        yield f"{within}.countUnit: has to be days for {counts}"
    if counts == "sinceImageTransitioned" and selection.storage_class != "archive":
        yield f"{within}.storageClass: has to be archive for sinceImageTransitioned"
    if counts != "sinceImageTransitioned" and selection.storage_class == "archive":
        yield f"{within}.storageClass: has to be standard, or left out, for {counts}"
    if rule.action.type == "expire" and rule.action.target_storage_class is not None:
        yield f"{path}.action.targetStorageClass: is for transition, not for expire"
    if rule.action.type == "transition" and rule.action.target_storage_class is None:
        yield f"{path}.action.targetStorageClass: has to be archive for transition"
    if rule.action.type == "transition" and counts == "sinceImageTransitioned":
        yield f"{path}.action.type: has to be expire for sinceImageTransitioned, which selects what is archived already"


def _tag_problems(within: str, selection: Selection) -> Iterator[str]:
    lists = {"tagPatternList": selection.tag_pattern_list, "tagPrefixList": selection.tag_prefix_list}
    given = [name for name, values in lists.items() if values]
    if selection.tag_status == "tagged" and len(given) != 1:
        yield f"{within}: with tagStatus tagged, either tagPatternList or tagPrefixList has to be given"
    if selection.tag_status != "tagged":
        yield from (f"{within}.{name}: is for tagStatus tagged, not for {selection.tag_status}" for name in given)
    for number, pattern in enumerate(selection.tag_pattern_list):
        field = f"{within}.tagPatternList[{number}]"
        if not _PATTERN.fullmatch(pattern):
            yield f"{field}: write 1 to 128 of the characters of tags, and * for any, as in release-*"
        elif pattern.count("*") > WILDCARDS_MAX:
            yield f"{field}: at most {WILDCARDS_MAX} of *, not {pattern.count('*')}"
    for number, prefix in enumerate(selection.tag_prefix_list):
        if not _PREFIX.fullmatch(prefix):
            yield f"{within}.tagPrefixList[{number}]: write 1 to 128 of the characters of tags, without *"


def _problems_together(rules: Sequence[Rule]) -> Iterator[str]:
    for number, rule in enumerate(rules):
        for earlier in range(number):
            if rules[earlier].rule_priority == rule.rule_priority:
                yield f"rules[{number}].rulePriority: {rule.rule_priority} is that of rules[{earlier}] already"
            if _selects_alike(rules[earlier].selection, rule.selection):
                yield f"rules[{number}].selection: selects the same images as rules[{earlier}]; keep one of them"
    for number, rule in enumerate(rules):
        after = [
            other
            for other, later in enumerate(rules)
            if later.rule_priority > rule.rule_priority
            and later.selection.storage_class == rule.selection.storage_class
        ]
        if rule.selection.tag_status == "any" and after:
            yield (
                f"rules[{number}].rulePriority: a rule of tagStatus any comes last, because none after it selects "
                f"anything; rules[{after[0]}] has a higher number"
            )


def _selects_alike(one: Selection, other: Selection) -> bool:
    """Then the one of lower priority could never do anything. Hence one rule of untagged images, and one of any."""
    same_tags = one.tag_status == other.tag_status and set(one.patterns) == set(other.patterns)
    return same_tags and one.storage_class == other.storage_class
