"""A join token's text: `SHOAL-1-<pin>-<secret>`, both of 64 hexadecimal digits.

The pin is the SHA-256 of the authority's certificate: by it a host knows the cluster before it says the secret.
"""

import hashlib
import re
import secrets
import ssl
from dataclasses import dataclass, field

_TEXT = re.compile(r"SHOAL-1-([0-9a-f]{64})-([0-9a-f]{64})")
_SECRET = re.compile(r"[0-9a-f]{64}")
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Token:
    pin: str
    secret: str = field(repr=False)

    @classmethod
    def draw(cls, authority_pem: bytes) -> "Token":
        return cls(pin_of(authority_pem), secrets.token_hex(SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> "Token":
        """Raises ValueError, in words for people and without the text itself."""
        found = _TEXT.fullmatch(text.strip())
        if found is None:
            raise ValueError("this is not a join token: copy all of SHOAL-1-…, as `shoal token create` printed it")
        return cls(found[1], found[2])

    @property
    def text(self) -> str:
        return f"SHOAL-1-{self.pin}-{self.secret}"


def hash_of(secret: str) -> str | None:
    """What is stored in place of the secret; None for a text that cannot be one."""
    return hashlib.sha256(bytes.fromhex(secret)).hexdigest() if _SECRET.fullmatch(secret) else None


def pin_of(authority_pem: bytes) -> str:
    """Raises ValueError if that is no certificate."""
    der = ssl.PEM_cert_to_DER_cert(authority_pem.decode("ascii", "replace"))
    return hashlib.sha256(der).hexdigest()


def proof_of(nonce: str) -> bytes:
    """What the holder of a key signs to prove it: nothing that means anything elsewhere."""
    return b"shoal renew " + nonce.encode()
