"""What makes the engines of this machine trust the cluster's image registry: its authority, in the folder where Docker
and podman look for the authorities of a registry, at each pull and push.

    /etc/docker/certs.d/<host:port>/shoal.crt     beside what others have put there; all are believed

A registry on a loopback address needs none: engines take any certificate there.
"""

import contextlib
import ipaddress
import re
from pathlib import Path

from shoal.whole_file import write_whole

FOLDER = Path("/etc/docker/certs.d")
FILE = "shoal.crt"
# It becomes the name of a folder.
_ADDRESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?:[0-9]{1,5}")


def is_address(registry: str) -> bool:
    """Whether images can name a registry like that.

    >>> is_address("10.0.0.5:7680"), is_address("../x:1"), is_address("registry.example")
    (True, False, False)
    """
    return _ADDRESS.fullmatch(registry) is not None


def needs_trust(registry: str) -> bool:
    """
    >>> needs_trust("10.0.0.5:7680"), needs_trust("127.0.0.1:7680"), needs_trust("localhost:7680")
    (True, False, False)
    """
    host = registry.rpartition(":")[0]
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def trust(registry: str, authority: bytes, folder: Path = FOLDER) -> bool:
    """True if something was written, false if it was there. May be called again. Raises OSError."""
    path = folder / registry / FILE
    if _holds(path, authority):
        return False
    missing = [each for each in (path.parent, folder, folder.parent) if not each.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, authority)
    # For clients of every user, whatever the umask of a service is.
    path.chmod(0o644)
    for each in missing:
        each.chmod(0o755)
    return True


def is_trusted(registry: str, authority: bytes, folder: Path = FOLDER) -> bool:
    """Whether the engines of this machine know it, as far as this process may see."""
    return not needs_trust(registry) or any(_holds(path, authority) for path in (folder / registry).glob("*.crt"))


def _holds(path: Path, authority: bytes) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes() == authority
    return False


def forget(registry: str, authority: bytes, folder: Path = FOLDER) -> None:
    """Whatever trusts that authority; others' stay. Raises OSError."""
    for path in (folder / registry).glob("*.crt"):
        if _holds(path, authority):
            path.unlink()
    # Not if others have put something there.
    with contextlib.suppress(OSError):
        (folder / registry).rmdir()
