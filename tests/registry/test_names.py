"""Whatever text comes: it is refused, or it is a name whose paths stay where they belong."""

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shoal_registry import pages, ranges
from shoal_registry.errors import Refused
from shoal_registry.names import Digest, Repository, Tag, UploadId
from shoal_registry.storage import paths

# What paths are made of, more often than chance would have it.
TEXTS = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="ab0._-/", max_size=40),
    st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+)*\Z"),
)
HEX = st.text(alphabet="0123456789abcdef", min_size=64, max_size=64)
DIGEST = Digest("sha256", "0" * 64)


@given(TEXTS)
def test_paths_of_a_repository_stay_in_it(text: str) -> None:
    try:
        repository = Repository.parse(text)
    except Refused:
        return
    assert repository.name == text
    folder = PurePosixPath("repositories", text)
    for path in (paths.mark(repository), paths.blob(repository, DIGEST), paths.tag(repository, Tag("v1"))):
        assert path.is_relative_to(folder)
        parts = path.relative_to(folder).parts
        assert parts[0].startswith("_"), "no repository of its own could lie there"
        assert ".." not in path.parts


@given(TEXTS)
def test_no_two_repositories_share_a_path(text: str) -> None:
    """One of them may be within the other: a and a/b."""
    try:
        one, other = Repository.parse(text), Repository.parse(f"{text}/{text}")
    except Refused:
        return
    assert not paths.mark(other).is_relative_to(paths.mark(one))
    assert paths.mark(one) != paths.mark(other)


@given(st.one_of(TEXTS, HEX.map("sha256:{}".format), HEX.map("sha512:{}".format)))
@pytest.mark.parametrize("parse", [Digest.parse, Tag.parse, UploadId.parse])
def test_what_was_parsed_is_one_component(parse: Callable[[str], Any], text: str) -> None:
    try:
        parsed = parse(text)
    except Refused:
        return
    component = {Digest: "hex", Tag: "name", UploadId: "text"}[type(parsed)]
    name = getattr(parsed, component)
    assert PurePosixPath("x", name).parts == ("x", name)
    assert name not in (".", "..")
    assert name.isascii()
    assert name.isprintable()


@given(HEX)
def test_a_digest_survives_being_a_file_name(characters: str) -> None:
    digest = Digest("sha256", characters)
    assert paths.digest_named(paths.user(Repository("a"), DIGEST, digest).name) == digest


@given(st.text(alphabet="bytes=0123456789-, ", max_size=30).map("bytes={}".format), st.integers(0, 40))
def test_a_range_lies_in_its_content(header: str, size: int) -> None:
    try:
        span = ranges.asked(header, size)
    except Refused as refused:
        assert refused.headers == {"Content-Range": f"bytes */{size}"}
        return
    assert span is None or (span.length > 0 and 0 <= span.start <= span.last < size)


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=3), unique=True).map(sorted), st.integers(1, 5))
def test_pages_together_are_the_whole(names: list[str], count: int) -> None:
    seen: list[str] = []
    more = True
    while more:
        page = pages.page(names, count, seen[-1] if seen else None)
        assert len(page.names) <= count
        seen, more = [*seen, *page.names], page.more
    assert seen == names
