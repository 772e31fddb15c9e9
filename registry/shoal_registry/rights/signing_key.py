"""The key that tokens are signed with: one file, for all processes of a registry."""

import contextlib
import hashlib
import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shoal_registry.rights.tokens import Signer


def load(path: Path) -> Signer:
    """Made at the first call, by whichever process comes first. Raises OSError, ValueError if it holds no such key."""
    if not path.exists():
        _make(path)
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} holds no Ed25519 key")
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return Signer(key, hashlib.sha256(public).hexdigest()[:32])


def _make(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Readable by its owner only, until it is gone.
    with NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.") as beside:
        beside.write(pem)
        beside.flush()
        os.fsync(beside.fileno())
        # Unlike a rename, this leaves the key alone that another process made meanwhile.
        with contextlib.suppress(FileExistsError):
            os.link(beside.name, path)
