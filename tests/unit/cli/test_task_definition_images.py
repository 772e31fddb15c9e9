"""Whose image it is that is deployed."""

from typing import Any

import pytest
from shoal.cli.failures import Failed
from shoal.cli.task_definition_images import changed_document


def definition(*containers: tuple[str, str]) -> dict[str, Any]:
    return {"family": "web", "containerDefinitions": [{"name": name, "image": image} for name, image in containers]}


def images(document: dict[str, Any]) -> list[str]:
    return [each["image"] for each in document["containerDefinitions"]]


ONE = definition(("app", "team/web:1"))
TWO = definition(("app", "registry:5000/team/web:1"), ("side", "proxy@sha256:0af3"))


@pytest.mark.parametrize(
    ("document", "given", "after"),
    [
        (ONE, ["other:2"], ["other:2"]),
        (ONE, ["app=team/web@sha256:11"], ["team/web@sha256:11"]),
        (TWO, ["registry:5000/team/web:2"], ["registry:5000/team/web:2", "proxy@sha256:0af3"]),
        (TWO, ["side=proxy:2"], ["registry:5000/team/web:1", "proxy:2"]),
        (TWO, ["proxy:2", "app=web:3"], ["web:3", "proxy:2"]),
        (TWO, [], ["registry:5000/team/web:1", "proxy@sha256:0af3"]),
    ],
)
def test_the_container_is_found(document: dict[str, Any], given: list[str], after: list[str]) -> None:
    before = images(document)
    assert images(changed_document(document, given)) == after
    assert images(document) == before


@pytest.mark.parametrize(
    ("document", "given", "said"),
    [
        (TWO, "team/web:2", "no container runs team/web"),
        (definition(("a", "web:1"), ("b", "web:2")), "web:3", "2 containers run web"),
        (TWO, "none=web:2", "has no container 'none'; it has app, side"),
        (ONE, "app=", "names no image"),
        (ONE, "", "names no image"),
    ],
)
def test_where_it_is_not_clear_nothing_is_guessed(document: dict[str, Any], given: str, said: str) -> None:
    with pytest.raises(Failed) as refused:
        changed_document(document, [given])
    assert said in refused.value.message
