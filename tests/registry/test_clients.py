"""Clients as they are installed: skopeo with its own certificate folder, and a Docker Engine."""

import asyncio
import json
import random
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import demand
from tests.ground.certificates import Certificates
from tests.ground.engine import Engine
from tests.ground.image_registry import ImageRegistry
from tests.ground.proxy import Proxy
from tests.registry.client import CONFIG, IMAGE, LAYER, descriptor, digest_of, image_manifest, index

LAYER_BYTES = 24 * 1024 * 1024


@pytest.fixture
def skopeo(tmp_path: Path, image_registry: ImageRegistry) -> Any:
    """Runs it with the cluster's authority in its `--cert-dir`; what it wrote. Raises with what it said."""
    demand("" if shutil.which("skopeo") else "not installed: skopeo")
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    shutil.copy(image_registry.authority, certificates / "ca.crt")

    def run(command: str, *arguments: str, options: tuple[str, ...] = ("--cert-dir",)) -> str:
        certified = [f"{option}={certificates}" for option in options]
        done = subprocess.run(
            ["skopeo", "--insecure-policy", command, *certified, *arguments], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def write_layout(folder: Path) -> str:
    """An OCI image layout with an index of two architectures, tagged `v1`; the index's digest."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def keep(content: bytes) -> bytes:
        (blobs / digest_of(content).removeprefix("sha256:")).write_bytes(content)
        return content

    children = []
    for architecture in ("amd64", "arm64"):
        layer = keep(architecture.encode() * 100_000)
        rootfs = {"type": "layers", "diff_ids": [digest_of(layer)]}
        config = keep(json.dumps({"architecture": architecture, "os": "linux", "rootfs": rootfs}).encode())
        plain = LAYER.removesuffix("+gzip")
        manifest = keep(json.dumps(image_manifest(descriptor(config, CONFIG), [descriptor(layer, plain)])).encode())
        platform = {"architecture": architecture, "os": "linux"}
        children.append(descriptor(manifest, IMAGE) | {"platform": platform})
    whole = index(*children)
    content = keep(json.dumps(whole).encode())
    named = descriptor(content, whole["mediaType"]) | {"annotations": {"org.opencontainers.image.ref.name": "v1"}}
    (folder / "index.json").write_text(json.dumps(index(named)))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return digest_of(content)


def test_skopeo(skopeo: Any, image_registry: ImageRegistry, tmp_path: Path) -> None:
    """An index of two architectures goes there and comes back byte for byte; is listed, inspected and deleted."""
    digest, there = write_layout(tmp_path / "from"), f"docker://{image_registry.address}/skopeo/several"
    whole, both = ("--all", "--preserve-digests"), ("--src-cert-dir", "--dest-cert-dir")
    skopeo("copy", *whole, f"oci:{tmp_path}/from:v1", f"{there}:v1", options=both[1:])
    skopeo("copy", *whole, f"{there}:v1", f"docker://{image_registry.address}/skopeo/copied:v2", options=both)
    skopeo("copy", *whole, f"{there}@{digest}", f"oci:{tmp_path}/to:v1", options=both[:1])
    for path in (tmp_path / "from" / "blobs" / "sha256").iterdir():
        assert (tmp_path / "to" / "blobs" / "sha256" / path.name).read_bytes() == path.read_bytes()
    assert json.loads(skopeo("list-tags", there))["Tags"] == ["v1"]
    assert json.loads(skopeo("inspect", f"{there}:v1"))["Digest"] == digest
    skopeo("delete", f"{there}:v1")
    assert not json.loads(skopeo("list-tags", there))["Tags"]


@pytest.fixture
def bridged_registry(tmp_path: Path, certificates: Certificates, engine: Engine) -> Iterator[ImageRegistry]:
    """On an address that engines take for another machine's: on loopback they verify nothing."""
    registry = ImageRegistry(tmp_path, certificates, host=str(engine.bridge.address.ip))
    registry.start()
    yield registry
    registry.end()


def test_an_engine(bridged_registry: ImageRegistry, engine: Engine, busybox_image: str) -> None:
    """Pushes and pulls once the authority lies in its certificate folder, and not before."""
    name = f"{bridged_registry.address}/team/busybox:v1"
    engine.docker("tag", busybox_image, name)
    identity = engine.docker("image", "inspect", "--format", "{{.Id}}", name)
    with pytest.raises(RuntimeError, match="unknown authority"):
        engine.docker("push", "--quiet", name)
    trusted = Path("/etc/docker/certs.d", bridged_registry.address)
    trusted.mkdir(parents=True)
    try:
        shutil.copy(bridged_registry.authority, trusted / "ca.crt")
        assert engine.docker("push", "--quiet", name) == name
        engine.docker("rmi", name)
        assert name in engine.docker("pull", name)
        assert engine.docker("image", "inspect", "--format", "{{.Id}}", name) == identity
        assert engine.docker("run", "--rm", "--network=none", name, "echo", "it runs") == "it runs"
    finally:
        shutil.rmtree(trusted)
        engine.docker("rmi", name)


async def test_an_engine_goes_on_where_it_was_cut(
    image_registry: ImageRegistry, engine: Engine, tmp_path: Path
) -> None:
    """A pull whose connection breaks twice asks for the rest of the layer only. On loopback engines verify nothing."""
    (tmp_path / "content").write_bytes(random.Random(0).randbytes(LAYER_BYTES))
    name = f"{image_registry.address}/team/large:v1"
    with tarfile.open(tmp_path / "image.tar", "w") as image:
        image.add(tmp_path / "content", "content")
    engine.docker("import", str(tmp_path / "image.tar"), name)
    identity = engine.docker("image", "inspect", "--format", "{{.Id}}", name)
    engine.docker("push", "--quiet", name)
    engine.docker("rmi", name)
    breaks = (LAYER_BYTES // 4, LAYER_BYTES // 4)
    async with Proxy(image_registry.host, image_registry.port, breaks) as proxy:
        through = f"{proxy.endpoint}/team/large:v1"
        await asyncio.to_thread(engine.docker, "pull", "--quiet", through)
        assert not proxy.breaks
        assert LAYER_BYTES < proxy.carried < 1.3 * LAYER_BYTES
    assert engine.docker("image", "inspect", "--format", "{{.Id}}", through) == identity
    engine.docker("rmi", through)
