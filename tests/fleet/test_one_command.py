"""./deploy/hosts: from nothing to tasks on several hosts."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ground.engine import Engine
from tests.ground.home import ROOT, Home


@pytest.fixture
def home(engine: Engine, short_folder: Path) -> Iterator[Home]:
    """The engine is there so that all of this is skipped or fails where hosts cannot be; hosts have their own."""
    if not (ROOT / ".venv" / "bin" / "shoal").exists():
        pytest.skip("no .venv: ./deploy/test makes it")
    made = Home(short_folder, engine.host)
    yield made
    made.types(f"SHOAL_HOME={made.folder}/.local/state/shoal-hosts shoal down --purge")


def test_it_shows_tasks_on_every_host(home: Home) -> None:
    said = home.types("deploy/hosts 2", 300.0)
    assert "shoal-hello:latest is pushed" in said
    assert len(re.findall(r"^[0-9a-f]{32}$", said, re.MULTILINE)) == 2
    assert re.search(r"host1 +ACTIVE +connected", said)
    assert "This cluster has 2 hosts." in home.types("deploy/hosts 3 2>&1 || true")
