from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from shoal import context
from shoal.cli.app import execute

from tests.fakes.cluster_service import ClusterService
from tests.fakes.serving import serve


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Shoal = Callable[..., Result]


@pytest.fixture
def shoal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shoal:
    """Runs a command line as a process of its own would, with a configuration of its own."""
    monkeypatch.setenv("SHOAL_CONFIG", str(tmp_path / "contexts.json"))
    monkeypatch.setenv("SHOAL_HOME", str(tmp_path / "state"))
    for name in ("SHOAL_CONTEXT", "SHOAL_CLUSTER", "DOCKER_HOST"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: Any, text: str = "") -> Result:
        with CliRunner().isolation(input=text) as streams:
            code = execute([str(each) for each in arguments])
            return Result(code, streams[0].getvalue().decode(), streams[1].getvalue().decode())

    return run


@pytest.fixture
def cluster(shoal: Shoal, tmp_path: Path) -> Iterator[ClusterService]:
    """A fake cluster, and the context that leads to it."""
    service = ClusterService()  # type: ignore[abstract]
    running = serve(service, tmp_path / "certificates")
    context.save(context.load().with_context(running.context))
    yield service
    running.server.stop(None)
