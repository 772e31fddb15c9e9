"""Docker, skopeo, Podman and Buildah as they are installed log in, push, pull and log out."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import demand
from tests.ground.certificates import Certificates
from tests.ground.engine import Engine
from tests.ground.image_registry import ImageRegistry
from tests.registry.rights.administration import create_account
from tests.registry.test_clients import write_layout

# Which of them it is, is for clients to say.
REFUSED = r"denied|unauthorized"


@pytest.fixture
def bridged(tmp_path: Path, certificates: Certificates, engine: Engine) -> Iterator[ImageRegistry]:
    """On an address that engines take for another machine's, and trusted there."""
    registry = ImageRegistry(tmp_path, certificates, host=str(engine.bridge.address.ip), is_open=False)
    registry.start()
    trusted = Path("/etc/docker/certs.d", registry.address)
    trusted.mkdir(parents=True)
    shutil.copy(registry.authority, trusted / "ca.crt")
    yield registry
    shutil.rmtree(trusted)
    registry.end()


def log_in(engine: Engine, folder: Path, registry: ImageRegistry, name: str, secret: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "secret").write_text(secret)
    with (folder / "secret").open() as told:
        command = ("--config", str(folder), "login", "--username", name, "--password-stdin", registry.address)
        engine.docker(*command, stdin=told.fileno())


def test_docker(bridged: ImageRegistry, engine: Engine, busybox_image: str, tmp_path: Path) -> None:
    """Who may push pushes; who may only pull does that; and nobody does either after logging out."""
    pusher = create_account(bridged, "pusher", "team/*", "pull", "push")
    puller = create_account(bridged, "puller", "team/*", "pull")
    name = f"{bridged.address}/team/busybox:v1"
    push = ("--config", str(tmp_path / "pusher"))
    pull = ("--config", str(tmp_path / "puller"))
    engine.docker("tag", busybox_image, name)
    try:
        with pytest.raises(RuntimeError, match=REFUSED):
            engine.docker(*push, "push", "--quiet", name)
        with pytest.raises(RuntimeError, match=REFUSED):
            log_in(engine, tmp_path / "pusher", bridged, "pusher", "wrong")
        log_in(engine, tmp_path / "pusher", bridged, "pusher", pusher)
        kept = (tmp_path / "pusher" / "config.json").read_text()
        assert pusher not in kept and json.loads(kept)["auths"][bridged.address]["identitytoken"]
        assert engine.docker(*push, "push", "--quiet", name) == name
        log_in(engine, tmp_path / "puller", bridged, "puller", puller)
        with pytest.raises(RuntimeError, match=REFUSED):
            engine.docker(*pull, "push", "--quiet", name)
        engine.docker("rmi", name)
        engine.docker(*pull, "pull", name)
        with pytest.raises(RuntimeError, match=REFUSED):
            engine.docker(*pull, "pull", f"{bridged.address}/private/busybox:v1")
        engine.docker(*pull, "logout", bridged.address)
        with pytest.raises(RuntimeError, match=REFUSED):
            engine.docker(*pull, "pull", name)
    finally:
        engine.docker("rmi", "--force", name)


def test_skopeo(certificates: Certificates, tmp_path: Path) -> None:
    """With credentials on its command line: copies, also from one repository to another, inspects and deletes."""
    demand("" if shutil.which("skopeo") else "not installed: skopeo")
    registry = ImageRegistry(tmp_path / "registry", certificates, is_open=False)
    registry.start()
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    shutil.copy(registry.authority, trusted / "ca.crt")
    secret = create_account(registry, "ci", "team/*", "pull", "push", "delete")
    digest = write_layout(tmp_path / "from")

    def skopeo(command: str, *arguments: str) -> str:
        done = subprocess.run(
            ["skopeo", "--insecure-policy", command, *arguments], capture_output=True, text=True, timeout=60
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout

    there, credentials = f"docker://{registry.address}/team/web", f"ci:{secret}"
    one = (f"--cert-dir={trusted}", f"--creds={credentials}")
    to = (f"--dest-cert-dir={trusted}", f"--dest-creds={credentials}")
    both = (*to, f"--src-cert-dir={trusted}", f"--src-creds={credentials}")
    try:
        skopeo("copy", "--all", "--preserve-digests", *to, f"oci:{tmp_path}/from:v1", f"{there}:v1")
        skopeo("copy", "--all", *both, f"{there}:v1", f"docker://{registry.address}/team/copied:v2")
        assert json.loads(skopeo("inspect", *one, f"{there}:v1"))["Digest"] == digest
        with pytest.raises(RuntimeError, match=REFUSED):
            skopeo("copy", "--all", *both, f"{there}:v1", f"docker://{registry.address}/private/web:v1")
        with pytest.raises(RuntimeError, match=REFUSED):
            skopeo("inspect", f"--cert-dir={trusted}", "--no-creds", f"{there}:v1")
        skopeo("delete", *one, f"{there}:v1")
        assert not json.loads(skopeo("list-tags", *one, there))["Tags"]
    finally:
        registry.end()


@pytest.mark.parametrize("program", ["podman", "buildah"])
def test_podman(program: str, certificates: Certificates, tmp_path: Path) -> None:
    """Logs in, pushes, pulls and logs out; so does Buildah."""
    demand("" if shutil.which(program) else f"not installed: {program}")
    registry = ImageRegistry(tmp_path / "registry", certificates, is_open=False)
    registry.start()
    secret = create_account(registry, "ci", "team/*", "pull", "push")
    # It refuses long paths.
    folder = Path(tempfile.mkdtemp(prefix="shoal-podman-"))
    shutil.copy(registry.authority, folder / "ca.crt")
    (folder / "auth.json").write_text("{}")
    (folder / "Containerfile").write_text("FROM scratch\nCOPY ca.crt /file\n")
    # Neither overlay mounts nor cgroups, which a test that runs in a container itself may not have.
    storage = ("--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs")

    def run(command: str, *arguments: str, told: str = "") -> str:
        certified = [f"--cert-dir={folder}"] if command in ("push", "pull", "login") else []
        kept = [f"--authfile={folder}/auth.json"] if command in ("push", "pull", "login", "logout") else []
        done = subprocess.run(
            [program, *storage, command, *certified, *kept, *arguments],
            input=told,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    name, login = f"{registry.address}/team/podman:v1", ("--username", "ci", "--password-stdin", registry.address)
    try:
        identity = run("build", "--quiet", "--tag", name, str(folder))
        with pytest.raises(RuntimeError, match=REFUSED):
            run("push", name)
        with pytest.raises(RuntimeError, match="invalid username/password"):
            run("login", *login, told="wrong")
        run("login", *login, told=secret)
        run("push", name)
        with pytest.raises(RuntimeError, match=REFUSED):
            run("push", name, f"docker://{registry.address}/private/podman:v1")
        run("rmi", name)
        assert run("pull", "--quiet", name) == identity
        run("rmi", name)
        run("logout", registry.address)
        with pytest.raises(RuntimeError, match=REFUSED):
            run("pull", name)
    finally:
        registry.end()
        shutil.rmtree(folder, ignore_errors=True)
