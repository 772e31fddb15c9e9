import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from shoal import certificates
from shoal.rpc import Identity

NOW = datetime(2030, 1, 1, tzinfo=UTC)
AGENT = Identity("default", "agent", "1f" * 16)


def test_a_second_call_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        authority = certificates.ensure_authority(tmp_path, "default", NOW)
        certificates.ensure_certificate(authority, tmp_path, "agent", AGENT, NOW)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    authority = certificates.ensure_authority(tmp_path, "default", NOW)
    certificates.ensure_certificate(authority, tmp_path, "agent", AGENT, NOW)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert set(before) == {"authority.crt", "authority.key", "agent.crt", "agent.key"}


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    authority = certificates.ensure_authority(tmp_path / "new" / "folder", "default", NOW)
    issued = certificates.ensure_certificate(authority, tmp_path, "agent", AGENT, NOW)
    for key in (authority.path.with_suffix(".key"), issued.key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("role", "names"),
    [
        ("scheduler", ["scheduler.shoal"]),
        ("etcd", ["etcd.shoal", "localhost"]),
        ("agent", ["agent.shoal"]),
        ("operator", []),
    ],
)
def test_a_certificate_names_its_holder(tmp_path: Path, role: str, names: list[str]) -> None:
    authority = certificates.ensure_authority(tmp_path, "default", NOW)
    identity = Identity("default", role, "me")
    found = certificates.read_certificate(
        certificates.ensure_certificate(authority, tmp_path, role, identity, NOW).certificate
    )
    alternative = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternative.get_values_for_type(x509.UniformResourceIdentifier) == [identity.uri]
    assert alternative.get_values_for_type(x509.DNSName) == names
    assert found.not_valid_before_utc == NOW - timedelta(minutes=5)
    found.verify_directly_issued_by(authority.certificate)


@pytest.mark.parametrize(("later_days", "renewed"), [(200, False), (240, False), (250, True), (400, True)])
def test_it_is_renewed_when_less_than_a_third_of_its_life_is_left(
    tmp_path: Path, later_days: int, renewed: bool
) -> None:
    authority = certificates.ensure_authority(tmp_path, "default", NOW)
    issued = certificates.ensure_certificate(authority, tmp_path, "agent", AGENT, NOW)
    before = issued.certificate.read_bytes()
    later = NOW + timedelta(days=later_days)
    certificates.ensure_certificate(
        certificates.ensure_authority(tmp_path, "default", later), tmp_path, "agent", AGENT, later
    )
    assert (issued.certificate.read_bytes() != before) == renewed


def test_another_holder_or_another_authority_is_another_certificate(tmp_path: Path) -> None:
    authority = certificates.ensure_authority(tmp_path, "default", NOW)
    issued = certificates.ensure_certificate(authority, tmp_path, "agent", AGENT, NOW)
    first = issued.certificate.read_bytes()
    certificates.ensure_certificate(authority, tmp_path, "agent", Identity("default", "agent", "other"), NOW)
    second = issued.certificate.read_bytes()
    other = certificates.ensure_authority(tmp_path / "other", "default", NOW)
    certificates.ensure_certificate(other, tmp_path, "agent", Identity("default", "agent", "other"), NOW)
    assert len({first, second, issued.certificate.read_bytes()}) == 3


def test_an_expired_authority_is_not_replaced_silently(tmp_path: Path) -> None:
    certificates.ensure_authority(tmp_path, "default", NOW)
    with pytest.raises(ValueError, match="has expired"):
        certificates.ensure_authority(tmp_path, "default", NOW + timedelta(days=4000))
