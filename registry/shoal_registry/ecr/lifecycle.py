"""What a lifecycle policy does to the images of a repository: decided for all of them at once. Pure.

As in ECR ("Lifecycle policy evaluation rules"): all rules are evaluated together, and then applied by priority. An
image is hit by at most one rule. One that a rule selects, whether the rule hits it or not, cannot be hit by a rule of
lower priority, which counts it all the same. The oldest by their push go first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from shoal_registry.ecr.lifecycle_rules import Policy, Rule, Selection
from shoal_registry.image import Image
from shoal_registry.settings import matches

DAY_SECONDS = 24 * 3600.0
# An untagged image may be of an index that is being pushed just now.
YOUNG_SECONDS = 3600.0

Action = Literal["expire", "transition"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image, as far as policies look at it. Times in seconds since 1970."""

    digest: str
    image: Image
    tags: Sequence[str] = ()
    pulled_at: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """What is to happen to an image, and by the rule of which priority."""

    digest: str
    action: Action
    priority: int


@dataclass(frozen=True, slots=True)
class Spared:
    """A hit that does not happen now, and why."""

    hit: Hit
    reason: str


def evaluate(policy: Policy, images: Sequence[Candidate], now: float) -> list[Hit]:
    """By priority, and then the oldest first."""
    oldest_first = sorted(images, key=lambda each: (each.image.pushed_at, each.digest))
    claimed: set[str] = set()
    hits: list[Hit] = []
    for rule in sorted(policy.rules, key=lambda each: each.rule_priority):
        selected = [each for each in oldest_first if selects(rule.selection, each)]
        hits += [
            Hit(each.digest, rule.action.type, rule.rule_priority)
            for each in _taken(rule, selected, now)
            if each.digest not in claimed
        ]
        claimed.update(each.digest for each in selected)
    return hits


def selects(selection: Selection, candidate: Candidate) -> bool:
    """By its storage class and its tags, of which one may match several patterns."""
    if candidate.image.is_archived != (selection.storage_class == "archive"):
        return False
    match selection.tag_status:
        case "any":
            return True
        case "untagged":
            return not candidate.tags
        case "tagged":
            return all(any(matches(pattern, tag) for tag in candidate.tags) for pattern in selection.patterns)


def _taken(rule: Rule, oldest_first: Sequence[Candidate], now: float) -> Sequence[Candidate]:
    number = rule.selection.count_number
    if rule.selection.count_type == "imageCountMoreThan":
        return oldest_first[: max(0, len(oldest_first) - number)]
    since = _SINCE[rule.selection.count_type]
    return [each for each in oldest_first if now - since(each) > number * DAY_SECONDS]


def _pulled(candidate: Candidate) -> float:
    """One that was never pulled counts from its push, and one that was restored from then, until it is pulled again."""
    return max(candidate.image.pushed_at, candidate.pulled_at or 0.0, candidate.image.activated_at or 0.0)


_SINCE: Mapping[str, Callable[[Candidate], float]] = {
    "sinceImagePushed": lambda each: each.image.pushed_at,
    "sinceImagePulled": _pulled,
    "sinceImageTransitioned": lambda each: each.image.archived_at or each.image.pushed_at,
}


def spare(
    hits: Sequence[Hit], images: Mapping[str, Candidate], users: Mapping[str, Sequence[str]], now: float
) -> tuple[list[Hit], list[Spared]]:
    """What is done, in an order in which it can be, and what is not, so that whatever has a tag can be pulled whole.

    `users`: of each image that is hit, the indexes that list it. It expires with the last of them, or after, and is
    archived when all of them are.
    """
    going = {hit.digest: hit for hit in hits}
    spared: list[Spared] = []
    for hit in hits:
        candidate = images[hit.digest]
        if not candidate.tags and now - candidate.image.pushed_at < YOUNG_SECONDS and hit.action == "expire":
            del going[hit.digest]
            spared.append(Spared(hit, "it was pushed within the hour, perhaps for an index that is to come"))
    while needed := [(hit, user) for hit in going.values() for user in [_needing(hit, going, images, users)] if user]:
        for hit, user in needed:
            del going[hit.digest]
            spared.append(Spared(hit, f"the index {user} needs it"))
    return _indexes_first(going, users), spared


def _needing(
    hit: Hit, going: Mapping[str, Hit], images: Mapping[str, Candidate], users: Mapping[str, Sequence[str]]
) -> str | None:
    """An index that needs the image as it is; None if there is none."""
    for user in users.get(hit.digest, ()):
        goes_with_it = user in going and (hit.action == "transition" or going[user].action == "expire")
        is_archived = user in images and images[user].image.is_archived
        if not goes_with_it and not (hit.action == "transition" and is_archived):
            return user
    return None


def _indexes_first(going: Mapping[str, Hit], users: Mapping[str, Sequence[str]]) -> list[Hit]:
    """Nothing before what needs it. Indexes never list each other in a circle: their digests would not allow it."""
    ordered: dict[str, Hit] = {}

    def add(digest: str) -> None:
        for user in users.get(digest, ()):
            if user in going and user not in ordered:
                add(user)
        ordered[digest] = going[digest]

    for digest in going:
        if digest not in ordered:
            add(digest)
    return list(ordered.values())
