"""Images made by other programs, and what other programs get."""

import contextlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from shoal.bridge import manifest
from shoal.bridge.exchange import Exchange
from shoal.bridge.known import KnownLayers
from shoal.bridge.manifest import Platform
from shoal.bridge.push import Intake, described, take_in
from shoal.bridge.steps import nobody
from shoal.bridge.tars import TarReader
from shoal.bridge.transfer import Repository

from tests.bridge.conftest import Bridge, BridgeFactory, Builder
from tests.conftest import demand
from tests.ground.certificates import Certificates
from tests.ground.engine import Engine
from tests.ground.image_registry import ImageRegistry
from tests.registry.client import Client, descriptor, digest_of, index

LINUX = Platform("linux", "amd64")


@pytest.fixture
def bridged_registry(tmp_path: Path, certificates: Certificates, engine: Engine) -> Iterator[ImageRegistry]:
    """On an address that engines take for another machine's, with its authority where this machine's look for it."""
    registry = ImageRegistry(tmp_path / "registry", certificates, host=str(engine.bridge.address.ip))
    registry.start()
    trusted = Path("/etc/docker/certs.d", registry.address)
    trusted.mkdir(parents=True)
    shutil.copy(registry.authority, trusted / "ca.crt")
    yield registry
    shutil.rmtree(trusted)
    registry.end()


def test_docker_push_and_pull(bridged_registry: ImageRegistry, bridge_to: BridgeFactory, builder: Builder) -> None:
    """What docker pushed is loaded; what was pushed here, docker pulls."""
    bridge, there = bridge_to(bridged_registry), bridged_registry.address
    identity = bridge.identity(builder.image(f"{there}/by/docker:v1", b"from docker"))
    bridge.engine.docker("push", "--quiet", f"{there}/by/docker:v1")
    bridge.engine.docker("rmi", f"{there}/by/docker:v1")
    assert bridge.image("load", "by/docker:v1")["local"]["id"] == identity
    assert bridge.engine.docker("run", "--rm", "--network=none", "by/docker:v1") == "from docker"
    uri = bridge.image("push", "by/docker:v1", "by/shoal:v1")["imageUri"]
    bridge.engine.docker("rmi", "by/docker:v1")
    bridge.engine.docker("pull", "--quiet", uri)
    assert bridge.identity(uri) == identity
    assert bridge.engine.docker("run", "--rm", "--network=none", uri) == "from docker"
    bridge.engine.docker("rmi", uri)


def layer_of(content: bytes) -> bytes:
    """A tar with one file."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        entry = tarfile.TarInfo("content")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()


async def test_several_platforms(bridge: Bridge, image_registry: ImageRegistry, tmp_path: Path) -> None:
    """Of an index the engine's platform is loaded, or the one that was asked for; of an image, no other than it is."""
    children, configs = [], {}
    async with aiohttp.ClientSession() as session:
        client = Client(session, image_registry.url, bridge.tls(), "several")
        for architecture in ("arm64", "amd64", "s390x"):
            layer, platform = layer_of(architecture.encode()), {"architecture": architecture, "os": "linux"}
            config = json.dumps(platform | {"rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]}}).encode()
            image = await client.image(layer, config=config)
            content = json.dumps(image).encode()
            await client.push_manifest(digest_of(content), image)
            configs[architecture] = digest_of(config)
            children.append(descriptor(content, image["mediaType"]) | {"platform": platform})
        # As builders list what they say about an image.
        statement = children[0] | {"platform": {"architecture": "unknown", "os": "unknown"}}
        await client.push_manifest("v1", index(*children, statement))
    ours = bridge.engine.docker("version", "--format", "{{.Server.Arch}}")
    assert bridge.image("load", "several:v1")["local"] == {"id": configs[ours], "name": "several:v1"}
    for architecture in ("arm64", "s390x"):
        loaded = bridge.image("load", "several:v1", "several:other", "--platform", f"linux/{architecture}")
        assert loaded["local"]["id"] == configs[architecture]
    code, said = bridge.refused("load", "several:v1", "--platform", "linux/riscv64")
    assert (code, "only for linux/amd64, linux/arm64, linux/s390x" in said) == (3, True), said
    bridge.image("load", "several:v1", "several:ours")
    bridge.image("push", "several:ours", "several/one")
    saved = str(tmp_path / "one.tar")
    bridge.image("save", "several/one", saved, "--platform", f"linux/{ours}")
    for words in (("load", "several/one"), ("save", "several/one", "-"), ("load", "--input", saved)):
        code, said = bridge.refused(*words, "--platform", "linux/riscv64")
        assert (code, f"is for linux/{ours} only, not for linux/riscv64" in said) == (3, True), said
    described = bridge.run("describe", "several:v1").out
    assert f"{children[0]['digest']}  linux/arm64" in described


async def test_layers_that_the_config_does_not_name(bridge: Bridge, image_registry: ImageRegistry) -> None:
    """Each blob is what its digest says, but not what the image says: the engine refuses it, and that is told."""
    layer = layer_of(b"some")
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(b"other")]}}
    async with aiohttp.ClientSession() as session:
        client = Client(session, image_registry.url, bridge.tls(), "wrong")
        await client.push_image("v1", layer, config=json.dumps(config).encode())
    code, said = bridge.refused("load", "wrong:v1")
    assert (code, "The engine refuses: invalid diffID" in said) == (1, True), said


@contextlib.asynccontextmanager
async def reached(bridge: Bridge, name: str) -> AsyncIterator[Repository]:
    async with Exchange(bridge.registry.address, bridge.tls()) as exchange:
        yield Repository(exchange, name)


async def taken_in(archive: Path, repository: Repository, folder: Path) -> Intake:
    """As an engine's archive would be."""

    async def pieces() -> AsyncIterator[bytes]:
        with archive.open("rb") as file:
            while piece := file.read(100_000):
                yield piece

    (folder / "layers").mkdir(exist_ok=True)
    known = KnownLayers(folder / "known")
    return await take_in(TarReader(pieces()), repository, {}, known, folder / "layers", nobody)


async def test_archives_of_newer_engines(bridge: Bridge, builder: Builder, tmp_path: Path) -> None:
    """Docker with containerd's image store saves what registries keep: the manifest stays what it was.

    Such an archive is what `shoal image save` writes, too.
    """
    builder.image("newer:v1", b"content")
    digest = bridge.image("push", "newer:v1")["image"]["imageId"]["imageDigest"]
    bridge.image("save", "newer:v1", str(tmp_path / "newer.tar"))
    async with reached(bridge, "newer/again") as repository:
        taken = await taken_in(tmp_path / "newer.tar", repository, tmp_path)
        config, image = described(taken, LINUX)
        assert image.descriptor.digest == digest
        await repository.push_bytes(image.config.digest, config)
        await repository.put_manifest("v1", image.content, image.media_type)
        again = await taken_in(tmp_path / "newer.tar", repository, tmp_path)
        assert described(again, LINUX)[1] == image
        assert again.sent == 0
    bridge.engine.docker("rmi", "newer:v1")
    assert bridge.image("load", "newer/again:v1")["image"]["imageId"]["imageDigest"] == digest


def skopeo_copy(certificates: Path, source: str, target: str) -> None:
    command = ["skopeo", "--insecure-policy", "copy", f"--src-cert-dir={certificates}", source, target]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


async def test_archives_of_skopeo(bridge: Bridge, builder: Builder, tmp_path: Path) -> None:
    """Docker's layout with plain layers, and an OCI layout without a word of Docker's."""
    demand("" if shutil.which("skopeo") else "not installed: skopeo")
    identity = bridge.identity(builder.image("foreign:v1", b"content"))
    bridge.image("push", "foreign:v1")
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    issued = bridge.registry.certificates.files("operator", "operator")
    shutil.copy(bridge.registry.authority, certificates / "ca.crt")
    shutil.copy(issued.certificate, certificates / "client.cert")
    shutil.copy(issued.key, certificates / "client.key")
    source = f"docker://{bridge.registry.address}/foreign:v1"
    for kind in ("docker-archive", "oci-archive"):
        target = f"{kind}:{tmp_path}/{kind}.tar"
        skopeo_copy(certificates, source, target)
        async with reached(bridge, f"foreign/{kind}") as repository:
            taken = await taken_in(tmp_path / f"{kind}.tar", repository, tmp_path)
            config, image = described(taken, LINUX)
            # Of what it writes as OCI, skopeo rewrites the config.
            assert kind == "oci-archive" or manifest.digest_of(config) == identity
            assert {each.digest for each in image.layers} == {each.digest for each in taken.layers.values()}
    bridge.engine.docker("rmi", "foreign:v1")
    result = bridge.run("load", "--input", str(tmp_path / "oci-archive.tar"), "foreign:v2")
    assert (result.code, result.out) == (0, "foreign:v2\n"), result
    assert bridge.identity("foreign:v2") == manifest.digest_of(config)
    assert bridge.engine.docker("run", "--rm", "--network=none", "foreign:v2") == "content"


def ctr(engine: Engine, *words: str) -> str:
    """containerd's own command line, against the containerd of the engine, in a namespace of its own."""
    address = f"--address={engine.folder}/exec/containerd/containerd.sock"
    command = ["ctr", address, "--namespace=bridge-test", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


async def test_archives_of_containerd(bridge: Bridge, builder: Builder, tmp_path: Path) -> None:
    """It imports what was saved here; what it exports, as engines with its image store do, keeps its digest."""
    demand("" if shutil.which("ctr") else "not installed: containerd")
    builder.image("contained:v1", b"content", b"more")
    digest = bridge.image("push", "contained:v1")["image"]["imageId"]["imageDigest"]
    bridge.image("save", "contained:v1", str(tmp_path / "saved.tar"))
    ctr(bridge.engine, "images", "import", "--digests", str(tmp_path / "saved.tar"))
    try:
        listed = ctr(bridge.engine, "images", "list")
        assert digest in listed
        assert "docker.io/library/contained:v1" in listed
        exported = str(tmp_path / "exported.tar")
        ctr(bridge.engine, "images", "export", exported, "docker.io/library/contained:v1")
    finally:
        names = ctr(bridge.engine, "images", "list", "--quiet").split()
        ctr(bridge.engine, "images", "remove", "--sync", *names)
    async with reached(bridge, "contained/again") as repository:
        taken = await taken_in(tmp_path / "exported.tar", repository, tmp_path)
        _, image = described(taken, LINUX)
    assert image.descriptor.digest == digest
