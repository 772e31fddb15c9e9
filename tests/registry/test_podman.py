"""Podman and Buildah as they are installed: images, and an index of two architectures."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import demand
from tests.ground.image_registry import ImageRegistry
from tests.registry.client import INDEX, Client


@dataclass(frozen=True, slots=True)
class Workplace:
    """A storage that both programs share, and the cluster's authority where they look for it."""

    folder: Path
    certificates: Path

    def run(self, program: str, command: str, *arguments: str) -> str:
        """What it wrote. Raises with what it said."""
        # Neither overlay mounts nor cgroups, which a test that runs in a container itself may not have.
        storage = ("--root", f"{self.folder}/root", "--runroot", f"{self.folder}/run", "--storage-driver", "vfs")
        certified = [f"--cert-dir={self.certificates}"] if command.split()[-1] in ("push", "pull") else []
        done = subprocess.run(
            [program, *storage, *command.split(), *certified, *arguments], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def build(self, program: str, name: str, architecture: str = "amd64") -> str:
        """An image of one file; its id."""
        context = self.folder / "context"
        context.mkdir(exist_ok=True)
        (context / "file").write_text(f"of {name} for {architecture}\n" * 1000)
        (context / "Containerfile").write_text('FROM scratch\nCOPY file /file\nCMD ["/file"]\n')
        return self.run(program, "build", "--quiet", "--arch", architecture, "--tag", name, str(context))


@pytest.fixture
def workplace(image_registry: ImageRegistry) -> Iterator[Workplace]:
    for program in ("podman", "buildah"):
        demand("" if shutil.which(program) else f"not installed: {program}")
    # Podman refuses long paths.
    with tempfile.TemporaryDirectory(prefix="shoal-podman-") as folder:
        certificates = Path(folder, "certificates")
        certificates.mkdir()
        shutil.copy(image_registry.authority, certificates / "ca.crt")
        yield Workplace(Path(folder), certificates)


@pytest.mark.parametrize("program", ["podman", "buildah"])
async def test_an_image_goes_there_and_comes_back(
    program: str, workplace: Workplace, image_registry: ImageRegistry, client: Client
) -> None:
    name = f"{image_registry.address}/{client.repository}:v1"
    identity = workplace.build(program, name)
    pushed = workplace.folder / "digest"
    workplace.run(program, "push", "--digestfile", str(pushed), name)
    assert (await client.call("HEAD", "manifests/v1")).headers["Docker-Content-Digest"] == pushed.read_text()
    workplace.run(program, "rmi", name)
    assert workplace.run(program, "pull", "--quiet", f"{name.rpartition(':')[0]}@{pushed.read_text()}") == identity
    deleted = await client.call("DELETE", f"manifests/{pushed.read_text()}")
    assert deleted.status == 202
    with pytest.raises(AssertionError, match="manifest unknown"):
        workplace.run(program, "pull", name)


@pytest.mark.parametrize("program", ["podman", "buildah"])
async def test_several_architectures(
    program: str, workplace: Workplace, image_registry: ImageRegistry, client: Client
) -> None:
    """A list is pushed with its images; who pulls it gets the image of the architecture that is asked for."""
    there = f"{image_registry.address}/{client.repository}"
    images = {each: workplace.build(program, f"localhost/{each}", each) for each in ("amd64", "arm64")}
    workplace.run(program, "manifest create", "several", *(f"containers-storage:{each}" for each in images.values()))
    workplace.run(program, "manifest push", "--all", "--format", "oci", "several", f"docker://{there}:v1")
    answer = await client.call("GET", "manifests/v1", headers={"Accept": INDEX})
    assert {each["platform"]["architecture"] for each in answer.json["manifests"]} == set(images)
    workplace.run(program, "rmi", "--all", "--force")
    for architecture, identity in images.items():
        assert workplace.run(program, "pull", "--quiet", "--arch", architecture, f"{there}:v1") == identity
        inspected = json.loads(workplace.run(program, "inspect", *_image_only(program), identity))
        described = inspected[0] if isinstance(inspected, list) else inspected["OCIv1"]
        assert (described.get("Architecture") or described["architecture"]) == architecture


def _image_only(program: str) -> tuple[str, str]:
    return "--type", "image"
