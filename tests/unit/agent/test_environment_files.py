"""Files of environment variables: what a line may be, and what file may be read."""

import os
from pathlib import Path

import pytest
from shoal_agent.definition.environment_files import FILE_BYTES_MAX, file_variables, parse
from shoal_agent.definition.refusal import Refused


def test_a_file_is_read_as_ecs_reads_it() -> None:
    """Quotes, blanks and further = belong to the value; of a name that is there twice the first counts."""
    text = '# comment\n\nA=1\nB= "two" \nC=a=b\nD=\nA=again\r\n'
    assert parse("f", text) == {"A": "1", "B": ' "two" ', "C": "a=b", "D": ""}


@pytest.mark.parametrize("line", ["export", "=x", "A\0=1", "  indented"])
def test_a_line_that_is_no_variable_is_told_by_its_number(line: str) -> None:
    with pytest.raises(Refused, match="f: line 2 is not NAME=VALUE"):
        parse("f", f"A=1\n{line}\n")


def read(path: Path, folder: Path) -> dict[str, str]:
    return file_variables([{"type": "file", "value": f"file://{path}"}], (str(folder),))


def test_what_is_no_plain_small_text_is_refused(tmp_path: Path) -> None:
    for name, content in (("big.env", b"A=" + b"x" * FILE_BYTES_MAX), ("latin.env", b"A=\xe9")):
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "pipe.env")
    reasons = {"big.env": "KiB", "latin.env": "UTF-8", "gone.env": "No such file"}
    for name, reason in {**reasons, "pipe.env": "not a plain file", ".": "not a plain file"}.items():
        with pytest.raises(Refused, match=rf"environmentFiles\[0\]\.value: .*{reason}"):
            read(tmp_path / name, tmp_path)


def test_a_link_that_stays_inside_is_followed(tmp_path: Path) -> None:
    (tmp_path / "v2.env").write_text("A=2\n")
    (tmp_path / "current.env").symlink_to("v2.env")
    assert read(tmp_path / "current.env", tmp_path) == {"A": "2"}


def test_without_a_configuration_nothing_is_read(tmp_path: Path) -> None:
    (tmp_path / "web.env").write_text("A=1\n")
    with pytest.raises(Refused, match="environment_file_folders"):
        file_variables([{"type": "file", "value": f"file://{tmp_path / 'web.env'}"}], ())
