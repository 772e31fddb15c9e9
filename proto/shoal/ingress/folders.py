"""What lies where between the ingress and its proxies.

wanted                  made once the cluster has a target group: from then on both programs run
certificates/           NAME.crt and NAME.key, for rules to name; yours to put there
port-<port>/routes.yaml what the Traefik of the port routes; it runs while the file is there
port-<port>/internal    where that Traefik is asked for its metrics: 127.0.0.1 and a port
log/port-<port>.log     what it says
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.ingress.traefik import Certificate
from shoal.whole_file import write_whole

_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Folders:
    root: Path

    @property
    def wanted(self) -> Path:
        return self.root / "wanted"

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    def routes(self, port: int) -> Path:
        return self.root / f"port-{port}" / "routes.yaml"

    def internal(self, port: int) -> Path:
        return self.root / f"port-{port}" / "internal"

    def log(self, port: int) -> Path:
        return self.root / "log" / f"port-{port}.log"

    def ports(self) -> set[int]:
        """Those that have routes."""
        found = self.root.glob("port-*/routes.yaml")
        return {int(port) for path in found if (port := path.parent.name.removeprefix("port-")).isdigit()}


def write(folders: Folders, wanted: Mapping[int, Mapping[str, Any]]) -> bool:
    """The routes of all ports, and none of others. Only what is not there yet; True if something was written."""
    changed = False
    for port, configuration in wanted.items():
        # Every JSON is YAML. A key of a certificate may be in it.
        content = json.dumps(configuration, indent=1, sort_keys=True).encode()
        path = folders.routes(port)
        if not path.exists() or path.read_bytes() != content:
            write_whole(path, content, 0o600)
            changed = True
    for port in folders.ports() - set(wanted):
        folders.routes(port).unlink()
        changed = True
    return changed


def certificates(folders: Folders) -> dict[str, Certificate]:
    """By name: those of which both files can be read."""
    found = {}
    for path in sorted(folders.certificates.glob("*.crt")):
        try:
            found[path.stem] = Certificate(path.read_text(), path.with_suffix(".key").read_text())
        except OSError:  # half of a pair is none; the rules that name it are told of
            continue
    return found


def internal(folders: Folders, port: int) -> str:
    """Empty while its Traefik was never started."""
    try:
        return folders.internal(port).read_text().strip()
    except OSError:
        return ""


def complaint(folders: Folders, port: int) -> str:
    """The last error that the Traefik of the port has told of; empty if there is none."""
    for line in _last_lines(folders.log(port)):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") in ("error", "fatal"):
            return _in_words(str(entry.get("error") or entry.get("message") or ""), port)
    return ""


def _in_words(error: str, port: int) -> str:
    """Traefik tells of a socket as a chain of all that its listener was made for."""
    if error.endswith("address already in use"):
        return f"another program listens at port {port}"
    if error.endswith("permission denied") and " listen " in error:
        return f"this user may not listen at port {port}"
    return error


def _last_lines(path: Path) -> Iterator[str]:
    """The newest first."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return
    yield from reversed(lines)
