"""An authority of the tests' own, and a certificate for whoever asks."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shoal.certificates import Issued, ensure_authority, ensure_certificate
from shoal.rpc import Credentials, Identity


@dataclass(frozen=True, slots=True)
class Certificates:
    folder: Path
    cluster: str = "default"

    @property
    def authority(self) -> Path:
        """The file to verify peers with."""
        return ensure_authority(self.folder, self.cluster, datetime.now(UTC)).path

    def files(self, role: str, name: str) -> Issued:
        """Made at the first call, the same ones later. Roles as in shoal.rpc, and `etcd`."""
        now = datetime.now(UTC)
        authority = ensure_authority(self.folder, self.cluster, now)
        return ensure_certificate(authority, self.folder, f"{role}-{name}", Identity(self.cluster, role, name), now)

    def of_registry(self, name: str, folder: Path, host: str) -> Issued:
        """An image registry's, which serves by it at that address."""
        now = datetime.now(UTC)
        authority = ensure_authority(self.folder, self.cluster, now)
        return ensure_certificate(authority, folder, "registry", Identity(self.cluster, "registry", name), now, [host])

    def credentials(self, role: str, name: str) -> Credentials:
        issued = self.files(role, name)
        return Credentials.load(self.authority, issued.certificate, issued.key)
