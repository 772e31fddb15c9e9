"""What lets a host join a cluster: a secret of which only the hash is kept."""

import msgspec

# What a token may be for.
ROLES = ("agent",)

# The handle of a token: so many digits of its hash.
ID_DIGITS = 12


class JoinToken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`hash`: SHA-256 of the secret, in hexadecimal digits. Times in milliseconds. `uses`: how often in all."""

    hash: str
    cluster: str
    role: str
    created_at: int
    expires_at: int
    uses: int = 1
    created_by: str = ""

    # Fingerprint of the key that joined -> the instance it became: who did not hear the answer may ask again.
    used_by: dict[str, str] = {}

    @property
    def id(self) -> str:
        return self.hash[:ID_DIGITS]

    @property
    def uses_left(self) -> int:
        return self.uses - len(self.used_by)
