"""Where a host keeps what it is in a cluster.

<folder>/agent.key        made here at the first try to join, readable by its owner only; leaves the host never
<folder>/authority.crt    the cluster's authority, as the token's pin said
<folder>/agent.json       {"cluster", "instance", "schedulers": [gRPC], "https": [HTTPS]}
<folder>/agent.crt        written last: with it the host has joined
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Member:
    """What a host has become. `schedulers` and `https`: host:port of each scheduler's two doors."""

    cluster: str
    instance: str
    schedulers: Sequence[str]
    https: Sequence[str]


@dataclass(frozen=True, slots=True)
class IdentityFiles:
    """PEM files."""

    authority: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class IdentityFolder:
    root: Path

    @property
    def key(self) -> Path:
        return self.root / "agent.key"

    @property
    def authority(self) -> Path:
        return self.root / "authority.crt"

    @property
    def certificate(self) -> Path:
        return self.root / "agent.crt"

    @property
    def files(self) -> IdentityFiles:
        return IdentityFiles(self.authority, self.certificate, self.key)

    @property
    def description(self) -> Path:
        return self.root / "agent.json"

    def member(self) -> Member | None:
        """None before the host has joined. Raises ValueError if what is there cannot be understood."""
        if not self.certificate.exists():
            return None
        try:
            return Member(**json.loads(self.description.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"{self.description} is not what `shoal agent join` writes: {error}") from None


def described(member: Member) -> bytes:
    return json.dumps(asdict(member), indent=2).encode() + b"\n"
