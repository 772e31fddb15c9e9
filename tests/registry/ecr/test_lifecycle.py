"""What a lifecycle policy does, against a slow way to say the same, and against ECR's published examples."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shoal_registry.ecr.lifecycle import DAY_SECONDS, YOUNG_SECONDS, Candidate, Hit, evaluate, selects, spare
from shoal_registry.ecr.lifecycle_rules import InvalidPolicyError, Policy, Rule, parse
from shoal_registry.image import Image, StorageClass

NOW = 1_000 * DAY_SECONDS


def candidate(
    name: str,
    days: float,
    *tags: str,
    pulled: float | None = None,
    archived: float | None = None,
    activated: float | None = None,
) -> Candidate:
    """Times as days ago. It is archived if it was archived and not activated since."""

    def at(days_ago: float | None) -> float | None:
        return None if days_ago is None else NOW - days_ago * DAY_SECONDS

    storage: StorageClass = "ARCHIVE" if archived is not None and activated is None else "STANDARD"
    image = Image("x/y", NOW - days * DAY_SECONDS, 1, None, None, storage, at(archived), at(activated))
    return Candidate(name, image, tags, at(pulled))


def rule(priority: int, patterns: Sequence[str] | None = None, **selection: Any) -> dict[str, Any]:
    """Of images with all of the patterns; of untagged ones if there is no pattern, of any if patterns is None."""
    status = "any" if patterns is None else "tagged" if patterns else "untagged"
    return {
        "rulePriority": priority,
        "description": "so that the text is long enough to be a policy",
        "selection": {"tagStatus": status, **({"tagPatternList": patterns} if patterns else {}), **selection},
        "action": {"type": "expire"},
    }


def count(number: int) -> dict[str, Any]:
    return {"countType": "imageCountMoreThan", "countNumber": number}


def days(number: int, count_type: str = "sinceImagePushed") -> dict[str, Any]:
    return {"countType": count_type, "countUnit": "days", "countNumber": number}


def transition(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "action": {"type": "transition", "targetStorageClass": "archive"}}


def policy(*rules: dict[str, Any]) -> Policy:
    return parse(json.dumps({"rules": rules}))


TWO_TEAMS = [candidate("A", 10, "beta-1", "prod-1"), candidate("B", 9, "beta-2", "prod-2"), candidate("C", 8, "beta-3")]
PATTERNS = [
    candidate("A", 12, "alpha-1"),
    candidate("B", 11, "beta-1"),
    candidate("C", 10, "alpha-2", "beta-2"),
    candidate("D", 4, "alpha-3"),
    candidate("E", 3, "beta-3"),
    candidate("F", 2, "alpha-4", "beta-4"),
]
NOT_EXCLUSIVE = [
    candidate("A", 10, "alpha-1", "beta-1", "gamma-1"),
    candidate("B", 9, "alpha-2", "beta-2"),
    candidate("C", 8, "alpha-3", "beta-3", "gamma-2"),
]
ALL = [candidate("A", 4, "alpha-1"), candidate("B", 3, "beta-1"), candidate("C", 2), candidate("D", 1, "alpha-2")]
ALL_KINDS = [
    candidate("A", 4, "alpha-1", "beta-1"),
    candidate("B", 3),
    candidate("C", 2, "alpha-2"),
    candidate("D", 1, "git-hash"),
    candidate("E", 1),
]


@pytest.mark.parametrize(
    ("images", "rules", "expired"),
    [
        (TWO_TEAMS, [rule(1, ["prod*"], **count(1)), rule(2, ["beta*"], **count(1))], "A"),
        (TWO_TEAMS, [rule(1, ["beta*"], **count(1)), rule(2, ["prod*"], **count(1))], "AB"),
        (PATTERNS, [rule(1, ["alpha*", "beta*"], **days(5))], "C"),
        (NOT_EXCLUSIVE, [rule(1, ["alpha*", "beta*"], **count(1))], "AB"),
        (ALL, [rule(1, None, **count(1))], "ABC"),
        (ALL_KINDS, [rule(1, ["alpha*"], **count(1)), rule(2, [], **days(1)), rule(3, None, **count(1))], "ABD"),
    ],
)
def test_the_published_examples(images: list[Candidate], rules: list[dict[str, Any]], expired: str) -> None:
    hits = evaluate(policy(*rules), images, NOW)
    assert sorted(hit.digest for hit in hits) == sorted(expired)


def test_images_are_archived_and_later_expire() -> None:
    """Two rules of any, because each selects in another storage class."""
    rules = policy(
        transition(rule(1, None, **days(90, "sinceImagePulled"))),
        rule(2, None, storageClass="archive", **days(365, "sinceImageTransitioned")),
    )
    images = [
        candidate("never pulled", 91),
        candidate("pulled", 500, pulled=89),
        candidate("not pulled since", 500, pulled=91),
        candidate("restored", 500, pulled=400, archived=300, activated=89),
        candidate("restored long ago", 500, pulled=400, archived=300, activated=91),
        candidate("archived", 900, archived=365),
        candidate("archived long ago", 900, archived=366),
    ]
    assert {hit.digest: hit.action for hit in evaluate(rules, images, NOW)} == {
        "never pulled": "transition",
        "not pulled since": "transition",
        "restored long ago": "transition",
        "archived long ago": "expire",
    }


# Few tags and times, so that many images are alike.
TAGS = st.lists(st.sampled_from(["a1", "a2", "b1", "b2", "ab", "v1-a"]), max_size=3, unique=True)
DAYS = st.integers(0, 6)
IMAGES = st.lists(
    st.builds(
        lambda pushed, tags, pulled, archived: (pushed, tags, pulled, archived),
        DAYS,
        TAGS,
        st.none() | DAYS,
        st.none() | DAYS,
    ),
    max_size=12,
).map(
    lambda all_: [
        candidate(f"{number:02d}", pushed, *tags, pulled=pulled, archived=archived)
        for number, (pushed, tags, pulled, archived) in enumerate(all_)
    ]
)
COUNTS = st.builds(count, st.integers(1, 4)) | st.builds(
    days, st.integers(1, 5), st.sampled_from(["sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"])
)
PATTERN_LISTS = st.none() | st.lists(st.sampled_from(["a*", "b*", "*1", "*", "v*-a"]), max_size=2, unique=True)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Those that can be put: what is wrong together is left out."""
    rules: list[dict[str, Any]] = []
    for priority in draw(st.lists(st.integers(1, 99), min_size=1, max_size=5, unique=True)):
        counts = draw(COUNTS)
        in_archive = counts["countType"] == "sinceImageTransitioned"
        made = rule(priority, draw(PATTERN_LISTS), **counts, **({"storageClass": "archive"} if in_archive else {}))
        made = transition(made) if not in_archive and draw(st.booleans()) else made
        try:
            policy(*rules, made)
        except InvalidPolicyError:
            continue
        rules.append(made)
    return policy(*(rules or [rule(1, None, **count(1))]))


def slowly(rules: Policy, images: Sequence[Candidate]) -> dict[str, tuple[str, int]]:
    """One image after the other: the first rule that selects it decides, and no other."""
    found: dict[str, tuple[str, int]] = {}
    for image in images:
        selecting = [each for each in rules.rules if selects(each.selection, image)]
        if selecting:
            first = min(selecting, key=lambda each: each.rule_priority)
            if is_hit(first, image, images):
                found[image.digest] = (first.action.type, first.rule_priority)
    return found


def is_hit(first: Rule, image: Candidate, images: Sequence[Candidate]) -> bool:
    number = first.selection.count_number
    last = {
        "imageCountMoreThan": 0.0,
        "sinceImagePushed": image.image.pushed_at,
        "sinceImagePulled": max(image.pulled_at or 0.0, image.image.pushed_at),
        "sinceImageTransitioned": image.image.archived_at or 0.0,
    }[first.selection.count_type]
    if first.selection.count_type != "imageCountMoreThan":
        return last < NOW - number * DAY_SECONDS
    age = (image.image.pushed_at, image.digest)
    alike = [each for each in images if selects(first.selection, each)]
    return len([each for each in alike if (each.image.pushed_at, each.digest) > age]) >= number


@given(policies(), IMAGES, st.randoms(use_true_random=False))
def test_it_does_what_the_slow_way_does(rules: Policy, images: list[Candidate], chance: Any) -> None:
    """In whatever order rules and images are told."""
    hits = evaluate(rules, images, NOW)
    assert {hit.digest: (hit.action, hit.priority) for hit in hits} == slowly(rules, images)
    assert len({hit.digest for hit in hits}) == len(hits)
    shuffled, rules_shuffled = list(images), list(rules.rules)
    chance.shuffle(shuffled)
    chance.shuffle(rules_shuffled)
    assert evaluate(Policy(tuple(rules_shuffled)), shuffled, NOW) == hits
    ages = {each.digest: each.image.pushed_at for each in images}
    assert [(hit.priority, ages[hit.digest]) for hit in hits] == sorted(
        (hit.priority, ages[hit.digest]) for hit in hits
    )


@given(
    st.dictionaries(st.integers(0, 7), st.sampled_from(["expire", "transition"])),
    st.dictionaries(st.integers(0, 7), st.lists(st.integers(0, 7), max_size=3, unique=True)),
    st.sets(st.integers(0, 7)),
)
def test_what_stays_can_be_pulled_whole(hits: dict[int, Any], listed: dict[int, list[int]], archived: set[int]) -> None:
    """Images 0 to 7; an index lists others of higher numbers only. In the order told, every step can be taken."""
    children = {index: [each for each in listed.get(index, []) if each > index] for index in range(8)}
    archived = {each for each in archived if all(up in archived for up in children if each in children[up])}
    images = {str(each): candidate(str(each), 1, archived=0 if each in archived else None) for each in range(8)}
    users = {str(each): [str(up) for up in children if each in children[up]] for each in range(8)}
    wanted = [Hit(str(each), action, 1) for each, action in hits.items()]
    going, spared = spare(wanted, images, users, NOW)
    assert sorted(hit.digest for hit in (*going, *(each.hit for each in spared))) == sorted(map(str, hits))
    there, active = set(images), {name for name in images if int(name) not in archived}
    for hit in going:
        needing = [user for user in users[hit.digest] if user in (there if hit.action == "expire" else active)]
        assert needing == [], "what needs it has gone before"
        (there if hit.action == "expire" else active).discard(hit.digest)
        active.discard(hit.digest)
    for index in active & there:
        assert {str(each) for each in children[int(index)]} <= there
    kept_for_no_reason = [each for each in spared if not any(user in there for user in users[each.hit.digest])]
    assert kept_for_no_reason == []


def test_an_untagged_image_waits_for_its_index() -> None:
    images = [candidate("young", YOUNG_SECONDS / DAY_SECONDS / 2), candidate("old", 1), candidate("tagged", 0, "v1")]
    hits = [Hit(each.digest, "expire", 1) for each in images]
    going, (spared,) = spare(hits, {each.digest: each for each in images}, {}, NOW)
    assert [hit.digest for hit in going] == ["old", "tagged"]
    assert spared.hit.digest == "young"
    assert "within the hour" in spared.reason
