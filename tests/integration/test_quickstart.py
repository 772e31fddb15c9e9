"""The one command from nothing to a task that ran."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground.engine import Engine
from tests.ground.home import ROOT, Home


@pytest.fixture
def home(engine: Engine, short_folder: Path) -> Iterator[Home]:
    if not (ROOT / ".venv" / "bin" / "shoal").exists():
        pytest.skip("no .venv: ./deploy/test makes it")
    made = Home(short_folder, engine.host)
    made.settle()
    yield made
    made.end()


def test_it_shows_a_task_from_its_submission_to_its_exit_code(home: Home) -> None:
    said = home.types("deploy/quickstart", 300.0)
    for expected in ("hello:1 placed on", "RUNNING on", "STOPPED on", "Hello from", "left with exit code 0"):
        assert expected in said
    assert "\x1b" not in said, "colours are for terminals"
    for command in next_commands(said):
        home.types(command)
    assert_the_second_run_changes_nothing(home)


def next_commands(said: str) -> list[str]:
    _, _, after = said.partition("Try next:")
    found = [line.strip() for line in after.splitlines() if line.startswith("  ")]
    assert len(found) == 3
    return found


def assert_the_second_run_changes_nothing(home: Home) -> None:
    before = home.types("shoal up -o json | grep -i pid")
    said = home.types("deploy/quickstart")
    assert "is up already" in said
    assert "Installing" not in said
    assert "hello:2" not in said
    assert home.types("shoal up -o json | grep -i pid") == before


def test_without_python_it_says_in_one_line_what_to_install(tmp_path: Path) -> None:
    """A PATH with the shell's own tools only, and no right to install anything."""
    for tool in ("bash", "dirname", "basename", "id", "sha256sum", "cat", "rm"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    script = (ROOT / "deploy" / "setup.sh").read_text().replace("/usr/local/sbin:/usr/sbin:/sbin", "/nowhere")
    (tmp_path / "try").write_text(f"set -euo pipefail\n{script}\nmay_be_root() {{ false; }}\ndemand_python\n")
    done = subprocess.run(
        ["/bin/bash", str(tmp_path / "try")],
        env={"PATH": str(tmp_path), "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"try: needs Python 3\.11 or newer.*apt-get install python3-venv\n", done.stderr)
