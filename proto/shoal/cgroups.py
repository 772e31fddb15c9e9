"""Where the cgroups of an instance's tasks lie, and their removal: for the agent that makes them, and for who removes
all that an instance had.

    /sys/fs/cgroup/docker/shoal.<instance>.<task>                  version 2
    /sys/fs/cgroup/<controller>/docker/shoal.<instance>.<task>     version 1
    system-shoal_<instance>_<task>.slice                           where systemd makes them

Each lies beside the cgroups of other containers, where the engine puts them: shares of the cpu are weighed between
neighbours.
"""

import logging
import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

ROOT = Path("/sys/fs/cgroup")
PARENT = "docker"
SYSTEMCTL_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Systemd:
    """How a service manager is spoken to, and where it keeps what it was told."""

    command: Sequence[str] = ("systemctl",)
    control: Path = Path("/run/systemd/system.control")

    def ask(self, *arguments: str) -> None:
        """Raises OSError with what it said."""
        try:
            done = subprocess.run(
                [*self.command, *arguments], capture_output=True, text=True, timeout=SYSTEMCTL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise OSError(f"systemctl {arguments[0]} did not answer in time") from None
        if done.returncode != 0:
            raise OSError(f"systemctl {arguments[0]}: {done.stderr.strip()}")


def name_of(instance: str, task_id: str) -> str:
    return f"shoal.{instance}.{task_id}"


def slice_of(instance: str, task_id: str) -> str:
    """Hyphens part the levels of a slice's name: this one lies in system.slice."""
    return f"system-shoal_{instance}_{task_id}.slice"


def remove(instance: str, task_id: str, root: Path = ROOT, systemd: Systemd | None = None) -> None:
    """In every hierarchy: the engine makes some that nobody asked for. One with a process in it stays; systemd ends
    what runs in a slice."""
    manager = systemd or Systemd()
    for parent in _parents(root):
        _remove_folder(parent / name_of(instance, task_id))
    if (manager.control / f"{slice_of(instance, task_id)}.d").is_dir():
        _remove_slice(slice_of(instance, task_id), manager)


def keep_only(instance: str, task_ids: Collection[str], root: Path = ROOT, systemd: Systemd | None = None) -> None:
    """Removes those of the instance's other tasks."""
    control = (systemd or Systemd()).control
    places = [(parent, name_of(instance, "{}")) for parent in _parents(root)]
    places.append((control, f"{slice_of(instance, '{}')}.d"))
    found = {task_id for folder, form in places for task_id in _ids(folder, form)}
    for task_id in found - set(task_ids):
        remove(instance, task_id, root, systemd)


def _ids(folder: Path, form: str) -> Iterator[str]:
    """Of the names in a folder that have the form, what stands for {}."""
    before, _, after = form.partition("{}")
    for path in folder.glob(f"{before}*{after}"):
        yield path.name.removeprefix(before).removesuffix(after)


def _parents(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        return
    hierarchies = [path for path in root.iterdir() if path.is_dir() and not path.is_symlink()]
    for hierarchy in (root, *hierarchies):
        if (hierarchy / PARENT).is_dir():
            yield hierarchy / PARENT


def _remove_folder(folder: Path) -> None:
    """rmdir takes no cgroup that has a process or a child."""
    if not folder.is_dir():
        return
    try:
        for child in folder.iterdir():
            if child.is_dir():
                _remove_folder(child)
        folder.rmdir()
    except OSError as error:
        log.warning("cgroup stays path=%s error=%s", folder, error)


def _remove_slice(name: str, systemd: Systemd) -> None:
    try:
        systemd.ask("stop", name)
        systemd.ask("revert", name)
    except OSError as error:
        log.warning("cgroup stays slice=%s error=%s", name, error)
