"""Ref:: in the command of a job."""

import pytest
from shoal_scheduler.control.batch.overrides import command_length, with_parameters


@pytest.mark.parametrize(
    ("word", "parameters", "becomes"),
    [
        ("Ref::in", {"in": "a.png"}, "a.png"),
        ("Ref::in", {}, "Ref::in"),
        ("Ref::in.new", {"in": "a", "in.new": "b"}, "b"),
        ("out/Ref::in.png", {"in": "a"}, "out/a.png"),
        ("Ref::in.", {"in": "a"}, "a."),
        ("Ref::input", {"in": "a"}, "Ref::input"),
        ("Ref::a/Ref::b", {"a": "x", "b": "y"}, "x/y"),
        ("echo Ref::a Ref::b", {"a": "1", "b": ""}, "echo 1 "),
        ("Ref::a", {"a": "Ref::b", "b": "deep"}, "Ref::b"),
        ("ref::a", {"a": "1"}, "ref::a"),
        ("Ref::", {"a": "x"}, "Ref::"),
        ("", {"a": "1"}, ""),
    ],
)
def test_a_reference(word: str, parameters: dict[str, str], becomes: str) -> None:
    assert with_parameters([word, "x"], parameters) == [becomes, "x"]
    assert command_length([word, "x"], parameters) == len(becomes) + 1
