"""An engine, a registry that it knows nothing of, and a command line that reaches both."""

import json
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from shoal import context
from shoal.cli.app import execute

from tests.ground import images
from tests.ground.certificates import Certificates
from tests.ground.engine import Engine
from tests.ground.image_registry import ImageRegistry
from tests.ground.shell import Shell


class Result(NamedTuple):
    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Bridge:
    """`shell`: for what has to be a process of its own.

    `cache`: where it is kept which layer became which blob. `spool`: where layers lie while they are sent.
    """

    registry: ImageRegistry
    engine: Engine
    shell: Shell
    folder: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    def run(self, *words: str) -> Result:
        """`shoal image …`, within this process; in a thread of its own, for who has a loop running."""
        with CliRunner().isolation() as streams, ThreadPoolExecutor(1) as thread:
            code = thread.submit(execute, ["image", *words]).result()
            return Result(code, streams[0].getvalue().decode(), streams[1].getvalue().decode())

    def image(self, *words: str) -> Any:
        """What it answers to `-o json`. Raises with all it said if it fails."""
        result = self.run(*words, "-o", "json")
        assert result.code == 0, result
        return json.loads(result.out)

    def refused(self, *words: str) -> tuple[int, str]:
        """Exit code and stderr of one that fails."""
        result = self.run(*words)
        assert result.code != 0, result
        assert not list(self.spool.iterdir())
        return result.code, result.err

    def tls(self) -> ssl.SSLContext:
        """With the operator's certificate."""
        issued, tls = self.registry.certificates.files("operator", "operator"), self.registry.tls()
        tls.load_cert_chain(issued.certificate, issued.key)
        return tls

    def identity(self, local: str) -> str:
        """The engine's id of an image."""
        return self.engine.docker("image", "inspect", "--format", "{{.Id}}", local)


BridgeFactory = Callable[..., Bridge]


@pytest.fixture
def bridge_to(
    engine: Engine, busybox_image: str, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BridgeFactory]:
    """To a registry, at `address` if it is not the registry's own. `busybox:shoal-test` is on the engine.

    Which other images tests leave there is forgotten.
    """

    def make(registry: ImageRegistry, address: str = "") -> Bridge:
        issued = certificates.files("operator", "operator")
        folder = tmp_path / "operator"
        (folder / "spool").mkdir(parents=True, exist_ok=True)
        chosen = context.Context(
            "default",
            ("127.0.0.1:1",),
            "default",
            certificates.authority,
            issued.certificate,
            issued.key,
            address or registry.address,
        )
        path = folder / "contexts.json"
        context.save(context.Contexts(path).with_context(chosen))
        variables = {
            "SHOAL_CONFIG": str(path),
            "DOCKER_HOST": engine.host,
            "XDG_CACHE_HOME": str(folder / "cache"),
            "TMPDIR": str(folder / "spool"),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(tempfile, "tempdir", None)
        return Bridge(registry, engine, Shell(os.environ | variables), folder)

    before = _names(engine)
    yield make
    for name in _names(engine) - before:
        engine.docker("rmi", "--force", name)


def _names(engine: Engine) -> set[str]:
    return set(engine.docker("images", "--filter", "dangling=false", "--format", "{{.Repository}}:{{.Tag}}").split())


@pytest.fixture(scope="module")
def image_registry(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[ImageRegistry]:
    registry = ImageRegistry(tmp_path_factory.mktemp("registry"), certificates, is_open=False)
    registry.start()
    yield registry
    registry.end()


@pytest.fixture
def bridge(bridge_to: BridgeFactory, image_registry: ImageRegistry) -> Bridge:
    """To the registry that the tests of a module share."""
    return bridge_to(image_registry)


@dataclass(frozen=True, slots=True)
class Builder:
    """Makes images on an engine, layer by layer."""

    engine: Engine
    folder: Path

    def image(self, tag: str, *files: bytes, command: str = "cat /file0", below: str = images.BUSYBOX) -> str:
        """What is below and one layer for each file; its tag."""
        name = below
        for number, content in enumerate(files):
            (self.folder / "file").write_bytes(content)
            stopped = self.engine.docker("create", name, "true")
            self.engine.docker("cp", str(self.folder / "file"), f"{stopped}:/file{number}")
            name = self.engine.docker("commit", f"--change=CMD {command}", stopped, tag)
            self.engine.docker("rm", stopped)
        return tag


@pytest.fixture
def builder(engine: Engine, busybox_image: str, tmp_path: Path) -> Builder:
    return Builder(engine, tmp_path)


def damage(store: Path, size: int) -> None:
    """Changes one byte of what the registry has of the smallest blob that has at least that size."""
    sizes = [(path.stat().st_size, path) for path in store.rglob("*") if path.is_file()]
    with min(each for each in sizes if each[0] >= size)[1].open("r+b") as file:
        file.seek(size // 2)
        byte = file.read(1)[0]
        file.seek(size // 2)
        file.write(bytes([byte ^ 1]))
