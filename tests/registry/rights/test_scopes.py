"""What somebody may ask a token for, and what is no way to ask."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shoal_registry.errors import Refused
from shoal_registry.names import Repository
from shoal_registry.rights import scopes

WEB = Repository("team/web")


@pytest.mark.parametrize(
    ("texts", "asked"),
    [
        ([], {}),
        ([""], {}),
        (["repository:team/web:pull"], {WEB: {"pull"}}),
        (["repository:team/web:pull,push"], {WEB: {"pull", "push"}}),
        (["repository:team/web:pull repository:team/web:push"], {WEB: {"pull", "push"}}),
        (["repository:team/web:pull", "repository:b:push"], {WEB: {"pull"}, Repository("b"): {"push"}}),
        (["repository:team/web:*"], {WEB: {"pull", "push", "delete"}}),
        (["repository:team/web:administer"], {WEB: set()}),
        (["registry:catalog:*"], {}),
        (["repository(plugin):team/web:pull"], {}),
    ],
)
def test_scopes(texts: list[str], asked: dict[Repository, set[str]]) -> None:
    assert scopes.parse(texts) == asked


@pytest.mark.parametrize(
    "text",
    [
        *("*", "repository", "repository:*", "repository:*:pull", "repository:team/*:pull", "repository::pull"),
        *("repository:team/web", "repository:team/web:", "repository:team/web:pull,", "repository:team/web:pull,,push"),
        *("repository:team/web:PULL", "repository:Team/web:pull", "repository:a/../b:pull", "repository:a:b:pull"),
        *("repository:a:pull\n", "repository:a:pull,*", ":::", " ".join(["repository:a:pull"] * 101)),
    ],
)
def test_no_scopes(text: str) -> None:
    with pytest.raises(Refused) as refused:
        scopes.parse([text])
    assert refused.value.status == 400


@given(st.lists(st.text() | st.text("repositoy:/,pulsh* -a", max_size=40), max_size=3))
def test_whatever_is_asked(texts: list[str]) -> None:
    try:
        asked = scopes.parse(texts)
    except Refused as refused:
        assert refused.status == 400
        return
    for repository, actions in asked.items():
        assert Repository.parse(repository.name) == repository
        assert actions <= {"pull", "push", "delete"}
