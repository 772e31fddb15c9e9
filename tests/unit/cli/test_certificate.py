"""`shoal certificate` and the parts of `shoal agent` that need no cluster."""

from pathlib import Path

import pytest
from cryptography import x509
from shoal.certificates import identity_in, read_certificate
from shoal.cli import checks
from shoal.cli.checks import WARN
from shoal.joining.token import Token, hash_of
from shoal.rpc import Identity
from shoal.v1.container_instance_pb2 import ContainerInstance

from tests.unit.cli.conftest import Shoal


def test_certificates_for_programs_that_run_elsewhere(shoal: Shoal, tmp_path: Path) -> None:
    keeps, etcd = str(tmp_path / "authority"), tmp_path / "etcd-1"
    made = ("certificate", "issue", "etcd", "etcd-1", "--authority", keeps, "--to", str(etcd), "--address", "10.0.0.1")
    assert shoal(*made).out == f"{etcd}/etcd.crt\n"
    certificate = read_certificate(etcd / "etcd.crt")
    assert identity_in(certificate) == Identity("default", "etcd", "etcd-1")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "10.0.0.1" in [str(each) for each in names.get_values_for_type(x509.IPAddress)]
    assert (etcd / "authority.crt").read_bytes() == (tmp_path / "authority/authority.crt").read_bytes()
    assert not (etcd / "authority.key").exists()
    assert (etcd / "etcd.key").stat().st_mode & 0o777 == 0o600
    shoal(*made)
    assert read_certificate(etcd / "etcd.crt") == certificate  # it is good, so it stays
    certificate.verify_directly_issued_by(read_certificate(tmp_path / "authority/authority.crt"))


def test_an_agents_certificate_is_not_issued_by_hand(shoal: Shoal, tmp_path: Path) -> None:
    """Its key would not be made on its host."""
    refused = shoal("certificate", "issue", "agent", "x", "--authority", str(tmp_path), "--to", str(tmp_path))
    assert refused.code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("10.0.0.1:7601",), "--token-file"),
        (("10.0.0.1:7601", "--token", "SHOAL-1-aa"), "not a join token"),
        (("10.0.0.1", "--token", f"SHOAL-1-{'ab' * 32}-{'cd' * 32}"), "is not host:port"),
    ],
)
def test_wrong_usage_of_join(shoal: Shoal, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    refused = shoal("agent", "join", *arguments, "--state", str(tmp_path))
    assert refused.code == 2
    assert said in refused.err
    assert "cdcd" not in refused.err
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_has_not_joined_has_no_agent_to_run(shoal: Shoal, tmp_path: Path) -> None:
    refused = shoal("agent", "run", "--state", str(tmp_path))
    assert refused.code == 1
    assert "has not joined" in refused.err


def test_a_token_is_text_and_back() -> None:
    token = Token("ab" * 32, "cd" * 32)
    assert Token.parse(f" {token.text}\n") == token
    assert "cdcd" not in repr(token)
    assert hash_of("cd" * 31) is hash_of("") is hash_of("é" * 64) is None


@pytest.mark.parametrize(
    "text", ["", "SHOAL-1-", f"SHOAL-2-{'ab' * 32}-{'cd' * 32}", f"SHOAL-1-{'AB' * 32}-{'cd' * 32}"]
)
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(ValueError, match="not a join token"):
        Token.parse(text)


def test_doctor_tells_of_keys_that_were_copied_and_certificates_that_run_out() -> None:
    now_millis = 1_000_000_000
    well = ContainerInstance(ec2_instance_id="a", certificate_expires_at=now_millis + 12 * 3600 * 1000)
    assert checks.identities([well, ContainerInstance(ec2_instance_id="b")], now_millis) is None
    late = ContainerInstance(ec2_instance_id="c", certificate_expires_at=now_millis + 5 * 3600 * 1000)
    copied = ContainerInstance(ec2_instance_id="d", identity_copy_seen_at=now_millis)
    found = checks.identities([well, late], now_millis)
    assert found is not None
    assert (found.verdict, found.found) == (WARN, "the certificate runs out soon on c")
    found = checks.identities([late, copied], now_millis)
    assert found is not None
    assert "has the key of d" in found.found
    copied.identity_copy_seen_at -= 3600 * 1000
    assert checks.identities([well, copied], now_millis) is None
