import stat
from dataclasses import replace
from pathlib import Path

import pytest
from shoal import context
from shoal.context import Context, Contexts
from shoal.errors import NoContext


def made(name: str) -> Context:
    return Context(name, ("127.0.0.1:1",), name, Path("/a"), Path("/c"), Path("/k"))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOAL_CONTEXT", raising=False)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "contexts.json"
    contexts = Contexts(path).with_context(made("a")).with_context(made("b"))
    context.save(contexts)
    assert context.load(path) == contexts
    assert contexts.current == "b"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_cluster_may_have_a_registry_and_files_from_before_name_none(tmp_path: Path) -> None:
    path = tmp_path / "contexts.json"
    context.save(Contexts(path).with_context(replace(made("a"), registry="10.0.0.5:7680")).with_context(made("b")))
    loaded = context.load(path)
    assert loaded.choose("a").registry == "10.0.0.5:7680"
    assert loaded.choose("b").registry is None
    assert "registry" not in loaded.choose("b").document()


def test_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = Contexts(tmp_path).with_context(made("a")).with_context(made("b")).with_context(made("c"))
    assert contexts.choose().name == "c"
    monkeypatch.setenv("SHOAL_CONTEXT", "b")
    assert contexts.choose().name == "b"
    assert contexts.choose("a").name == "a"
    with pytest.raises(NoContext, match="no context 'x'"):
        contexts.choose("x")


def test_without_the_current_one_another_is_current(tmp_path: Path) -> None:
    contexts = Contexts(tmp_path).with_context(made("b")).with_context(made("a"))
    assert contexts.without("a").current == "b"
    assert contexts.without("b").current == "a"
    assert contexts.without("a").without("b").current is None


def test_no_file_is_no_context(tmp_path: Path) -> None:
    with pytest.raises(NoContext, match="No cluster is known"):
        context.load(tmp_path / "nothing").choose()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"contexts": 1}', '{"contexts": {"a": {}}}', '{"contexts": {"a": null}}',
     '{"contexts": {"a": {"endpoints": [], "cluster": "a", "authority": "", "certificate": "", "key": ""}}}'],
)  # fmt: skip
def test_a_broken_file_is_said_in_words(tmp_path: Path, text: str) -> None:
    path = tmp_path / "contexts.json"
    path.write_text(text)
    with pytest.raises(NoContext):
        context.load(path)
