"""ORAS, by its Python package: artifacts, and what refers to an image."""

import hashlib
from pathlib import Path

import pytest
from oras.client import OrasClient
from oras.oci import Subject

from tests.ground.image_registry import ImageRegistry
from tests.registry.client import IMAGE, Client

SBOM = "application/vnd.example.sbom"


@pytest.fixture
def oras(image_registry: ImageRegistry) -> OrasClient:
    return OrasClient(hostname=image_registry.address, tls_verify=str(image_registry.authority))


async def test_an_artifact_goes_there_and_comes_back(
    oras: OrasClient, image_registry: ImageRegistry, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"model weights" * 200_000
    (tmp_path / "weights.bin").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    target = f"{image_registry.address}/{client.repository}:v1"
    oras.push(target=target, files=["weights.bin:application/vnd.example.weights"])
    assert oras.get_tags(target) == ["v1"]
    (pulled,) = oras.pull(target=target, outdir=str(tmp_path / "pulled"))
    assert Path(pulled).read_bytes() == content
    oras.delete_tag(target, "v1")
    assert not (await client.call("GET", "tags/list")).json["tags"]


async def test_an_artifact_that_refers_to_an_image(
    oras: OrasClient, image_registry: ImageRegistry, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is among the image's referrers, by its type; and not any more once it is deleted."""
    image = await client.push_image("v1", b"layer")
    size = int((await client.call("HEAD", f"manifests/{image}")).headers["Content-Length"])
    (tmp_path / "sbom.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    answer = oras.push(
        target=f"{image_registry.address}/{client.repository}:sbom",
        files=[f"sbom.json:{SBOM}"],
        subject=Subject(IMAGE, image, size),
        manifest_config=f"/dev/null:{SBOM}",
    )
    assert answer.headers["OCI-Subject"] == image
    found = (await client.call("GET", f"referrers/{image}", artifactType=SBOM)).json["manifests"]
    assert [each["digest"] for each in found] == [answer.headers["Docker-Content-Digest"]]
    assert not (await client.call("GET", f"referrers/{image}", artifactType="application/other")).json["manifests"]
    oras.delete_tag(f"{image_registry.address}/{client.repository}", "sbom")
    await client.call("DELETE", f"manifests/{found[0]['digest']}")
    assert not (await client.call("GET", f"referrers/{image}")).json["manifests"]
    assert hashlib.sha256((await client.call("GET", f"manifests/{image}")).body).hexdigest() == image[7:]
