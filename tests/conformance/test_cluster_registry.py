"""A real engine pulls from the cluster's own registry, which asks who somebody is, by what the agent gets for it."""

import base64
import gzip
import hashlib
import io
import json
import os
import ssl
import tarfile
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from shoal import engine_trust
from shoal.joining.identity import IdentityFiles
from shoal_agent.configuration import Configuration
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.engine.port import CannotPull
from shoal_agent.images import pulling
from shoal_agent.images.cluster_registry import ClusterRegistry
from shoal_agent.images.pulling import Puller
from shoal_agent.images.records import ImageRecords

from tests.ground.certificates import Certificates
from tests.ground.engine import Engine
from tests.ground.image_registry import ROOT, ImageRegistry
from tests.registry.client import Client

SLOW_REGISTRY = ROOT / "tests/fakes/programs/slow_registry.py"
pytestmark = pytest.mark.engine


def certified(certificates: Certificates, role: str) -> ssl.SSLContext:
    """The TLS of somebody with that role."""
    issued = certificates.files(role, "somebody")
    context = ssl.create_default_context(cafile=str(certificates.authority))
    context.load_cert_chain(issued.certificate, issued.key)
    return context


@dataclass(frozen=True, slots=True)
class Host:
    """An agent's way to pull, and the registry that it pulls from. `image` is in it."""

    folder: Path
    engine: Engine
    docker: DockerEngine
    source: ImageRegistry
    registry: ClusterRegistry
    image: str

    async def pull(self, image: str = "", **rules: str) -> None:
        records = ImageRecords(self.folder)
        await Puller(self.docker, Configuration(**rules), records, self.registry).pull(image or self.image)  # type: ignore[arg-type]

    async def refusal(self, image: str = "", **rules: str) -> str:
        with pytest.raises(CannotPull) as raised:
            await self.pull(image, **rules)
        return raised.value.message

    async def has(self) -> bool:
        return any(self.image in found.references for found in await self.docker.local_images())


def files(certificates: Certificates, role: str = "agent") -> IdentityFiles:
    issued = certificates.files(role, "somebody")
    return IdentityFiles(certificates.authority, issued.certificate, issued.key)


async def push(certificates: Certificates, source: ImageRegistry, repository: str, layers: int = 1) -> str:
    """An image of small files, as an operator pushes it. What it is called."""
    archives = [layer(number) for number in range(layers)]
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in archives]}
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/0"]}, "rootfs": rootfs}
    async with aiohttp.ClientSession() as session:
        client = Client(session, source.url, certified(certificates, "operator"), repository)
        await client.push_image("1", *map(gzip.compress, archives), config=json.dumps(config).encode())
    return f"{source.address}/{repository}:1"


def layer(number: int) -> bytes:
    """With one small file that no other has."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(str(number))
        entry.size = 32
        tar.addfile(entry, io.BytesIO(os.urandom(32)))
    return archive.getvalue()


@pytest.fixture(params=["loopback"])
async def host(
    tmp_path: Path,
    engine: Engine,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Host]:
    """On loopback, where engines take any certificate; or on an address that they take for another machine's."""
    monkeypatch.setattr(pulling, "PAUSE_SECONDS_MIN", 0.01)
    address = "127.0.0.1" if request.param == "loopback" else str(engine.bridge.address.ip)
    source = ImageRegistry(tmp_path / "source", certificates, host=address, is_open=False)
    source.start()
    image = await push(certificates, source, f"team/{uuid.uuid4().hex}")
    registry = ClusterRegistry(tmp_path, files(certificates), None)
    await registry.learn(source.address)
    docker = DockerEngine(engine.host)
    made = Host(tmp_path, engine, docker, source, registry, image)
    yield made
    if await made.has():
        engine.docker("rmi", "--force", image)
    await docker.close()
    source.end()


async def test_an_agent_pulls_with_nothing_but_its_certificate(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with pytest.raises(CannotPull, match="denied"):
        await host.docker.pull(host.image)
    await host.pull()
    assert await host.has()
    header = await host.registry.auth(host.image)
    assert header is not None
    handed = json.loads(base64.urlsafe_b64decode(header))["identitytoken"]
    assert handed.partition(".")[0] not in caplog.text + host.source.log.read_text(), "no token is logged"
    kept = [path for path in host.folder.rglob("*") if path.is_file() and b"eyJ" in path.read_bytes()]
    assert kept == [], "nor kept"


@pytest.mark.parametrize("host", ["elsewhere"], indirect=True)
async def test_an_engine_learns_to_trust_it(host: Host, certificates: Certificates) -> None:
    said = await host.refusal()
    assert "unknown authority" in said
    assert f"copy {certificates.authority} to {engine_trust.FOLDER / host.source.address}/ca.crt" in said
    trusting = replace(host, registry=ClusterRegistry(host.folder, files(certificates), engine_trust.FOLDER))
    await trusting.registry.learn(host.source.address)
    try:
        await trusting.pull()
        assert await host.has()
    finally:
        engine_trust.forget(host.source.address, certificates.authority.read_bytes())
    assert not (engine_trust.FOLDER / host.source.address).exists()


async def test_what_the_engine_is_handed_is_for_that_repository_alone(host: Host, certificates: Certificates) -> None:
    other = await push(certificates, host.source, f"team/{uuid.uuid4().hex}")
    header = await host.registry.auth(host.image)
    await host.docker.pull(host.image, auth=header)
    with pytest.raises(CannotPull, match="denied"):
        await host.docker.pull(other, auth=header)


@pytest.mark.slow  # an engine keeps a token for a minute at least
async def test_a_pull_may_last_longer_than_a_token(host: Host, certificates: Certificates) -> None:
    host.source.end()
    host.source.program = (str(SLOW_REGISTRY),)
    host.source.start()
    image = await push(certificates, host.source, f"team/{uuid.uuid4().hex}", layers=9)
    began = time.monotonic()
    await host.pull(image)
    assert time.monotonic() - began > 63.0, "the first token was good for less"
    host.engine.docker("rmi", image)


async def test_the_operators_word_comes_first(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "registries.json"
    wrong = base64.b64encode(b"somebody:wrong").decode()
    path.write_text(json.dumps({"auths": {host.source.address: {"auth": wrong}}}))
    assert "unauthorized" in await host.refusal(registry_credentials_file=str(path))
    path.write_text(json.dumps({"auths": {"another.example": {"auth": wrong}}}))
    await host.pull(registry_credentials_file=str(path))


async def test_a_registry_that_is_away_is_asked_again_and_then_named(host: Host) -> None:
    host.source.kill()
    said = await host.refusal()
    assert f"the cluster's registry {host.source.address} gives no token, temporarily: " in said
    host.source.start()
    await host.pull()


async def test_a_registry_of_another_cluster_gets_nothing(host: Host, tmp_path: Path) -> None:
    stranger = Certificates(tmp_path / "elsewhere", "elsewhere")
    other = replace(host, registry=ClusterRegistry(tmp_path, files(stranger), None))
    await other.registry.learn(host.source.address)
    assert f"{host.source.address} is not the cluster's registry" in await other.refusal()


async def test_who_is_no_agent_gets_nothing_either(host: Host, certificates: Certificates, tmp_path: Path) -> None:
    other = replace(host, registry=ClusterRegistry(tmp_path, files(certificates, "etcd"), None))
    await other.registry.learn(host.source.address)
    assert "does not know this host" in await other.refusal()


async def test_a_registry_that_asks_nobody_is_pulled_from_as_it_is(host: Host) -> None:
    host.source.end()
    host.source.is_open = True
    host.source.start()
    await host.pull()


async def test_an_image_without_the_registrys_address_is_another_ones(host: Host) -> None:
    image = f"{uuid.uuid4().hex}:1"
    said = await host.refusal(image)
    assert f"images of the cluster's registry have its address in their names: {host.source.address}/{image}" in said
