"""Real images without a registry: from the distribution's packages, by its own tools.

busybox:shoal-test              the static busybox of this machine, one link per applet; 0.2 s
nginx, tomcat, gunicorn+Flask   one minimal system with all three, built once per machine and kept as a tar
                                (40 s, then 5 s per engine); the images are that system with another command
redis, postgresql               another one, with both

    python -m tests.ground.images      builds the tars now, in the background of other work
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.ground.engine import Engine

BUSYBOX = "busybox:shoal-test"
WEB_BASE = "shoal-test-web:latest"
DATA_BASE = "shoal-test-data:latest"
# The documents and translations of the packages are a quarter of their size.
_LEAVE_OUT = ("/usr/share/doc/*", "/usr/share/locale/*")


@dataclass(frozen=True, slots=True)
class System:
    """A minimal system with some packages; the folder of that name beside this file has what is arranged in it."""

    name: str
    packages: tuple[str, ...]

    @property
    def recipe(self) -> Path:
        return Path(__file__).parent / self.name

    @property
    def key(self) -> str:
        """Of all that it is made of."""
        digest = hashlib.sha256(repr((_codename(), self.packages, _LEAVE_OUT)).encode())
        for file in sorted(path for path in self.recipe.iterdir() if path.is_file()):
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]

    @property
    def tar(self) -> Path:
        """Where it is kept, once it was built."""
        return _cache_folder() / f"{self.name}-{self.key}.tar"


WEB = System("web", ("nginx-light", "gunicorn", "python3-flask"))
DATA = System("data", ("redis-server", "postgresql"))


@dataclass(frozen=True, slots=True)
class DataImage:
    """command: what the container runs, with its data in /data. check: succeeds when it answers."""

    tag: str
    command: tuple[str, ...]
    check: tuple[str, ...]


DATA_IMAGES = {
    "redis": DataImage(
        "redis:latest", ("redis-server", "--dir", "/data", "--appendonly", "yes"), ("redis-cli", "ping")
    ),
    "postgresql": DataImage(
        "postgres:latest", ("/srv/postgresql/run",), ("psql", "-h", "/tmp", "-U", "postgres", "-c", "select 1")
    ),
}


@dataclass(frozen=True, slots=True)
class WebImage:
    """command: what the container runs. port: where it answers HTTP. body: a piece of what it answers."""

    tag: str
    command: tuple[str, ...]
    port: int
    body: str


# The tags are those which the task definitions published for ECS name.
WEB_IMAGES = {
    "nginx": WebImage("nginx:latest", ("nginx", "-g", "daemon off;"), 80, "Hello from nginx"),
    "tomcat": WebImage("tomcat:latest", ("/srv/tomcat/run",), 8080, "Hello from Tomcat"),
    "gunicorn": WebImage(
        "danriti/gunicorn-flask:latest",
        ("gunicorn", "--chdir=/srv/flask", "--bind=0.0.0.0:5000", "app:app"),
        5000,
        "Hello from gunicorn",
    ),
}


def import_busybox(engine: Engine) -> None:
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            add_busybox(tar)
        archive.seek(0)
        changes = ("CMD /bin/sh", "ENV PATH=/bin")
        options = [f"--change={change}" for change in changes]
        engine.docker("import", *options, "-", BUSYBOX, stdin=archive.fileno())


def add_busybox(tar: tarfile.TarFile) -> None:
    """The folders of a small system, busybox and a link for each of its applets."""
    binary = shutil.which("busybox")
    assert binary is not None, "busybox is not installed"
    for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("root", 0o700), ("proc", 0o555)):
        entry = tarfile.TarInfo(folder)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        tar.addfile(entry)
    tar.add(Path(binary).resolve(), "bin/busybox")
    applets = subprocess.run([binary, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets:
        if applet != "busybox":
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)


def import_web_images(engine: Engine) -> None:
    changes = {image.tag: (_cmd(image.command), f"EXPOSE {image.port}") for image in WEB_IMAGES.values()}
    _import_system(engine, WEB, WEB_BASE, changes)


def import_data_images(engine: Engine) -> None:
    _import_system(engine, DATA, DATA_BASE, {image.tag: (_cmd(image.command),) for image in DATA_IMAGES.values()})


def _cmd(command: tuple[str, ...]) -> str:
    return f"CMD {json.dumps(command)}"


def _import_system(engine: Engine, system: System, base: str, images: Mapping[str, tuple[str, ...]]) -> None:
    """`images`: by tag, what each changes of the system."""
    engine.docker("import", str(build_tar(system)), base)
    for tag, changes in images.items():
        stopped = engine.docker("create", base, "true")
        engine.docker("commit", *(f"--change={change}" for change in changes), stopped, tag)
        engine.docker("rm", stopped)


def build_tar(system: System) -> Path:
    """The minimal system as a tar, from the cache of this machine or built now. Whoever comes second waits."""
    folder, path = _cache_folder(), system.tar
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            for old in folder.glob(f"{system.name}-*.tar"):
                old.unlink()
            beside = folder / "new.tar"
            _debootstrap(system, beside)
            beside.replace(path)
    return path


def missing(system: System) -> str:
    """Why this machine cannot build the images of the system; empty if it can, or has."""
    if system.tar.exists():
        return ""
    if os.geteuid() != 0:
        return "building images of packages needs root"
    lacking = [program for program in ("mmdebstrap", "apt-get") if shutil.which(program) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else ""


def _debootstrap(system: System, target: Path) -> None:
    packages = (_tomcat_package(), *system.packages) if system is WEB else system.packages
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(packages)}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEAVE_OUT),
        f'--customize-hook={system.recipe / "arrange"} "$1"',
        _codename(),
        str(target),
        "-",
    ]
    done = subprocess.run(command, input=_package_sources(), text=True, capture_output=True)
    if done.returncode != 0:
        target.unlink(missing_ok=True)
        raise RuntimeError(f"mmdebstrap failed:\n{done.stderr[-3000:]}")


def _package_sources() -> str:
    """This machine's own package sources of its release, as lines of a sources.list."""
    form = "$(SIGNED_BY)\t$(RELEASE)\t$(COMPONENT)\t$(REPO_URI)"
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    codename, lines = _codename(), []
    wanted = {codename, f"{codename}-updates", f"{codename}-security"}
    for signed_by, release, component, uri in (line.split("\t") for line in listed.splitlines()):
        if release in wanted and component in ("main", "universe"):
            keyring = f"[signed-by={signed_by}] " if signed_by.startswith("/") else ""
            lines.append(f"deb {keyring}{uri} {release} {component}")
    assert lines, "apt knows no package sources of this release"
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _tomcat_package() -> str:
    """The newest one the distribution has."""
    for name in ("tomcat11-user", "tomcat10-user", "tomcat9-user"):
        shown = subprocess.run(["apt-cache", "show", name], capture_output=True, check=False)
        if shown.returncode == 0:
            return name
    raise RuntimeError("the distribution has no Tomcat")


def _codename() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise RuntimeError("/etc/os-release names no release")


def _cache_folder() -> Path:
    named = os.environ.get("XDG_CACHE_HOME")
    return (Path(named) if named else Path.home() / ".cache") / "shoal-test"


if __name__ == "__main__":
    for each in (WEB, DATA):
        print(build_tar(each))
    # Of an example, which has a script of its own.
    subprocess.run([Path(__file__).parents[2] / "deploy" / "pictures-image", "--tar"], check=True)
