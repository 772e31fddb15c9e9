"""Where the cgroups of an instance's tasks lie, and their removal: for the agent that makes them, and for who removes
all that an instance had.

    /sys/fs/cgroup/docker/shoal.<instance>.<task>                  version 2
    /sys/fs/cgroup/<controller>/docker/shoal.<instance>.<task>     version 1
"""

import logging
from collections.abc import Collection, Iterator
from pathlib import Path

log = logging.getLogger(__name__)

ROOT = Path("/sys/fs/cgroup")

# The engine's own default parent: shares of the cpu are weighed between those that lie side by side.
PARENT = "docker"


def name_of(instance: str, task_id: str) -> str:
    return f"shoal.{instance}.{task_id}"


def remove(instance: str, task_id: str, root: Path = ROOT) -> None:
    """In every hierarchy: the engine makes some that nobody asked for. One with a process in it stays."""
    for parent in _parents(root):
        _remove(parent / name_of(instance, task_id))


def keep_only(instance: str, task_ids: Collection[str], root: Path = ROOT) -> None:
    """Removes those of the instance's other tasks."""
    prefix = name_of(instance, "")
    found = {path.name.removeprefix(prefix) for parent in _parents(root) for path in parent.glob(f"{prefix}*")}
    for task_id in found - set(task_ids):
        remove(instance, task_id, root)


def _parents(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        return
    hierarchies = [path for path in root.iterdir() if path.is_dir() and not path.is_symlink()]
    for hierarchy in (root, *hierarchies):
        if (hierarchy / PARENT).is_dir():
            yield hierarchy / PARENT


def _remove(folder: Path) -> None:
    """rmdir takes no cgroup that has a process or a child."""
    if not folder.is_dir():
        return
    try:
        for child in folder.iterdir():
            if child.is_dir():
                _remove(child)
        folder.rmdir()
    except OSError as error:
        log.warning("cgroup stays path=%s error=%s", folder, error)
