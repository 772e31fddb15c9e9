"""Which lifecycle policies are refused, and what is said of each."""

import doctest
import json
from typing import Any

import pytest
from shoal_registry.ecr import shapes
from shoal_registry.ecr.lifecycle_rules import InvalidPolicyError, parse

from tests.registry.ecr.test_lifecycle import count, days, rule, transition


def said(text: str) -> str:
    with pytest.raises(InvalidPolicyError) as refused:
        parse(text)
    return str(refused.value)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([], "rules: Expected `array` of length >= 1"),
        ([rule(0, None, **count(1))], "rules[0].rulePriority: Expected `int` >= 1"),
        ([rule(1, None, **count(0))], "rules[0].selection.countNumber: Expected `int` >= 1"),
        (
            [rule(1, None, countType="x", countNumber=1)],
            "rules[0].selection.countType: is 'x'; must be image",
        ),
        ([rule(1, None, **count(1), extra=1)], "rules[0].selection: Object contains unknown field `extra`"),
        (
            [rule(1, None, **{**days(1), "countUnit": "weeks"})],
            "rules[0].selection.countUnit: is 'weeks'; must be",
        ),
        ([rule(1, None, countUnit="days", **count(1))], "rules[0].selection.countUnit: is not for imageCountMoreThan"),
        ([rule(1, None, countType="sinceImagePushed", countNumber=1)], "rules[0].selection.countUnit: has to be days"),
        ([rule(1, None, **days(1, "sinceImageTransitioned"))], "rules[0].selection.storageClass: has to be archive"),
        ([rule(1, None, storageClass="archive", **count(1))], "rules[0].selection.storageClass: has to be standard"),
        ([rule(1, None, tagPrefixList=["a"], **count(1))], "tagPrefixList: is for tagStatus tagged, not for any"),
        ([rule(1, [], tagPatternList=["a"], **count(1))], "tagPatternList: is for tagStatus tagged, not for untagged"),
        ([rule(1, ["a"], tagPrefixList=["b"], **count(1))], "either tagPatternList or tagPrefixList"),
        ([rule(1, ["a", "*1*2*3*4*"], **count(1))], "selection.tagPatternList[1]: at most 4 of *, not 5"),
        ([rule(1, ["a b"], **count(1))], "selection.tagPatternList[0]: write 1 to 128"),
        ([rule(1, [""], **count(1))], "selection.tagPatternList[0]: write 1 to 128"),
        ([rule(3, ["a"], **count(1)), rule(3, ["b"], **count(1))], "rules[1].rulePriority: 3 is that of rules[0]"),
        ([rule(1, [], **count(1)), rule(2, [], **days(1))], "rules[1].selection: selects the same images as rules[0]"),
        ([rule(1, ["a"], **count(1)), rule(2, ["a"], **days(1))], "rules[1].selection: selects the same images"),
        (
            [rule(2, ["a"], **count(1)), rule(1, None, **days(1))],
            "rules[1].rulePriority: a rule of tagStatus any comes",
        ),
        ([rule(number + 1, [f"v{number}"], **count(1)) for number in range(51)], "rules: Expected `array` of length"),
        (
            [transition(rule(1, None, storageClass="archive", **days(1, "sinceImageTransitioned")))],
            "rules[0].action.type: has to be expire",
        ),
        (
            [{**rule(1, None, **count(1)), "action": {"type": "expire", "targetStorageClass": "archive"}}],
            "rules[0].action.targetStorageClass: is for transition",
        ),
        ([{**rule(1, None, **count(1)), "action": {"type": "transition"}}], "targetStorageClass: has to be archive"),
        ([{**rule(1, None, **count(1)), "selection": {"tagStatus": "tagged"}}], "missing required field"),
        ([rule(1, None, **count(10**400))], "rules[0].selection.countNumber: Expected `int` <= 2147483647"),
        ([rule(2**31, None, **count(1))], "rules[0].rulePriority: Expected `int` <= 2147483647"),
    ],
)
def test_what_is_wrong_is_named(rules: list[dict[str, Any]], words: str) -> None:
    assert words in said(json.dumps({"rules": rules}))


def test_everything_that_is_wrong_is_named_at_once() -> None:
    wrong = [rule(1, ["a b"], **count(1)), rule(1, [], countUnit="days", **count(1))]
    problems = said(json.dumps({"rules": wrong})).split("; ")
    assert [each.partition(":")[0] for each in problems] == [
        "rules[0].selection.tagPatternList[0]",
        "rules[1].selection.countUnit",
        "rules[1].rulePriority",
    ]


def test_the_text_itself() -> None:
    whole = json.dumps({"rules": [rule(1, None, **count(1))]})
    assert "at most 30,720 characters" in said(whole + " " * 30_720)
    assert "missing required field `rules`" in said("{}")
    assert "this is none" in said(whole[:-1])
    assert "there twice" in said(whole.replace('"rulePriority": 1', '"rulePriority": 1, "rulePriority": 2'))
    assert "this is none" in said("[" * 20_000)
    parse(whole)


def test_what_is_wrong_with_a_shape() -> None:
    assert doctest.testmod(shapes).failed == 0
